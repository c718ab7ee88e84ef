"""
receiver: takes whatever comes; what arrived, when and from whom is noted by what surrounds every service.

It is silent unless asked to acknowledge: then each message, a datagram or the chunk that one read brought,
is answered with the same text, at once or when it is safe in the journal. An empty datagram is a message too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zope.interface import directlyProvides, implementer, providedBy

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.interfaces import IArrivalDatagramTransport, IJournal, IKeptWhole

#: The most that one UDP datagram over IPv4 carries: 65,535 bytes less IP and UDP header (RFC 768, RFC 791).
LARGEST_DATAGRAM = 65_507

#: Chunks of one connection that may wait for the journal before no more is read. With as many of them in one
#: commit the disk is as busy as it gets, and where the journal cannot keep up, the senders wait.
MOST_UNRECORDED = 64


class Receiver(Protocol):
    """Takes every chunk; answers each with its acknowledgement, if it has one."""

    transport: ITransport

    def __init__(self, acknowledgement: bytes) -> None:
        """@param acknowledgement: sent for each chunk; empty sends nothing."""
        self._acknowledgement = acknowledgement

    def dataReceived(self, data: bytes) -> None:
        if self._acknowledgement:
            self.transport.write(self._acknowledgement)


@implementer(IHalfCloseableProtocol)
class RecordedReceiver(Protocol):
    """
    Takes every chunk; answers each with its acknowledgement once it is on disk.

    All acknowledgements are alike, so that the next one would be taken for one that has to be left out: a
    connection on which something could not be recorded is closed instead.
    """

    transport: Any

    def __init__(self, acknowledgement: bytes, journal: IJournal) -> None:
        """
        @param acknowledgement: sent for each chunk.
        @param journal: tells when it may be.
        """
        self._acknowledgement = acknowledgement
        self._journal = journal
        self._unrecorded = 0
        self._ended = False
        self._gone = False

    def dataReceived(self, data: bytes) -> None:
        self._unrecorded += 1
        self._journal.recorded().addCallback(self._recorded)
        if self._unrecorded == MOST_UNRECORDED:
            self.transport.pauseProducing()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. What the client has sent by now is still acknowledged."""
        self._ended = True
        if not self._unrecorded:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`; this side never closes alone."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True

    def _recorded(self, safe: bool) -> None:
        self._unrecorded -= 1
        if self._gone:
            return
        if not safe:
            self._gone = True
            self.transport.loseConnection()
            return
        self.transport.write(self._acknowledgement)
        if self._ended and not self._unrecorded:
            self.transport.loseConnection()
        elif self._unrecorded == MOST_UNRECORDED - 1:
            self.transport.resumeProducing()


class ReceiverFactory(Factory[Protocol]):
    """Makes the receiver of each connection."""

    noisy = False

    def __init__(
        self, ack: str = "off", ack_text: str = "Got your message!", journal: IJournal | None = None
    ) -> None:
        """
        @param ack: ``off``, ``received`` or ``recorded``.
        @param ack_text: what an acknowledgement says, as it stands. Bytes that are not UTF-8 may come as
            surrogates (`os.fsdecode`).
        @param journal: tells what is on disk; None where nothing is.
        @raise ValueError: acknowledgements of that kind cannot be given; the text is one line.
        """
        text = acknowledgement(ack, ack_text, journal)
        self._make: Callable[[], Protocol] = partial(Receiver, text)
        if ack == "recorded" and journal is not None:
            self._make = partial(RecordedReceiver, text, journal)
            directlyProvides(self, providedBy(self), IKeptWhole)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        receiver = self._make()
        receiver.factory = self
        return receiver


class ReceiverDatagram(DatagramProtocol):
    """
    Takes every datagram; sends its acknowledgement, if there is one, to where the datagram came from.

    Where that is sent once it is recorded, the transport must be an `IArrivalDatagramTransport`.
    """

    noisy = False
    transport: IUDPTransport

    def __init__(
        self, ack: str = "off", ack_text: str = "Got your message!", journal: IJournal | None = None
    ) -> None:
        """
        @param ack: ``off``, ``received`` or ``recorded``.
        @param ack_text: what an acknowledgement says, as it stands; empty gives an empty datagram.
        @param journal: tells what is on disk; None where nothing is.
        @raise ValueError: acknowledgements of that kind cannot be given, or not in one datagram; the text is
            one line.
        """
        self._acknowledges = ack != "off"
        self._acknowledgement = acknowledgement(ack, ack_text, journal)
        self._journal = journal if ack == "recorded" else None
        if self._journal is not None:
            directlyProvides(self, providedBy(self), IKeptWhole)
        if len(self._acknowledgement) > LARGEST_DATAGRAM:
            raise ValueError(f"`ack_text` is longer than one datagram carries ({LARGEST_DATAGRAM:,} bytes)")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        # A sender on a UNIX socket that is bound to no path has no address to answer to.
        if not self._acknowledges or not addr:
            return
        if self._journal is None:
            self.transport.write(self._acknowledgement, addr)
        else:
            answer = IArrivalDatagramTransport(self.transport).answer_to(addr)
            self._journal.recorded().addCallback(self._recorded, answer)

    def _recorded(self, safe: bool, answer: Callable[[bytes], None]) -> None:
        # Its port may be closed by now, and Twisted has taken it away then.
        transport: IUDPTransport | None = self.transport
        if safe and transport is not None:
            answer(self._acknowledgement)


def acknowledgement(ack: str, ack_text: str, journal: IJournal | None) -> bytes:
    """
    What a message is answered with.

    @param ack: the setting of that name.
    @param ack_text: the setting of that name.
    @param journal: tells what is on disk; None where nothing is.
    @return: the bytes; empty where nothing is acknowledged.
    @raise ValueError: nothing can be acknowledged in that way; the text is one line.
    """
    if ack == "off":
        return b""
    if ack == "recorded" and journal is None:
        raise ValueError("`ack = recorded` needs a journal: expected --journal FILE")
    if ack in ("received", "recorded"):
        return ack_text.encode("utf-8", "surrogateescape")
    raise ValueError(f"ack={ack!r}: expected one of off, received, recorded")
