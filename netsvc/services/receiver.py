"""
receiver: takes whatever comes; what arrived, when and from whom is noted by what surrounds every service.

It is silent unless asked to acknowledge: then each message, a datagram or the chunk that one read brought,
is answered with the same text. An empty datagram is a message too.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

#: The most that one UDP datagram over IPv4 carries: 65,535 bytes less IP and UDP header (RFC 768, RFC 791).
LARGEST_DATAGRAM = 65_507


class Receiver(Protocol):
    """Takes every chunk; answers each with its acknowledgement, if it has one."""

    transport: ITransport

    def __init__(self, acknowledgement: bytes) -> None:
        """@param acknowledgement: sent for each chunk; empty sends nothing."""
        self._acknowledgement = acknowledgement

    def dataReceived(self, data: bytes) -> None:
        if self._acknowledgement:
            self.transport.write(self._acknowledgement)


class ReceiverFactory(Factory[Receiver]):
    """Makes the receiver of each connection."""

    noisy = False

    def __init__(self, ack: str = "off", ack_text: str = "Got your message!") -> None:
        """
        @param ack: ``off``, ``received`` or ``recorded``.
        @param ack_text: what an acknowledgement says, as it stands. Bytes that are not UTF-8 may come as
            surrogates (`os.fsdecode`).
        @raise ValueError: acknowledgements of that kind cannot be given; the text is one line.
        """
        self._acknowledgement = acknowledgement(ack, ack_text)

    def buildProtocol(self, addr: IAddress | None) -> Receiver:
        receiver = Receiver(self._acknowledgement)
        receiver.factory = self
        return receiver


class ReceiverDatagram(DatagramProtocol):
    """Takes every datagram; sends its acknowledgement, if there is one, to where the datagram came from."""

    noisy = False
    transport: IUDPTransport

    def __init__(self, ack: str = "off", ack_text: str = "Got your message!") -> None:
        """
        @param ack: ``off``, ``received`` or ``recorded``.
        @param ack_text: what an acknowledgement says, as it stands; empty gives an empty datagram.
        @raise ValueError: acknowledgements of that kind cannot be given, or not in one datagram; the text is
            one line.
        """
        self._acknowledges = ack != "off"
        self._acknowledgement = acknowledgement(ack, ack_text)
        if len(self._acknowledgement) > LARGEST_DATAGRAM:
            raise ValueError(f"`ack_text` is longer than one datagram carries ({LARGEST_DATAGRAM:,} bytes)")

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        # A sender on a UNIX socket that is bound to no path has no address to answer to.
        if self._acknowledges and addr:
            self.transport.write(self._acknowledgement, addr)


def acknowledgement(ack: str, ack_text: str) -> bytes:
    """
    What a message is answered with.

    @param ack: the setting of that name.
    @param ack_text: the setting of that name.
    @return: the bytes; empty where nothing is acknowledged.
    @raise ValueError: this version cannot acknowledge in that way; the text is one line.
    """
    if ack == "off":
        return b""
    if ack == "received":
        return ack_text.encode("utf-8", "surrogateescape")
    if ack == "recorded":
        raise ValueError("`ack = recorded` needs a journal, and there is none")
    raise ValueError(f"ack={ack!r}: expected one of off, received, recorded")
