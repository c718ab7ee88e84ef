"""
A conversation in datagrams, UDP or UNIX, with one peer.

It reads its socket itself: Twisted's ports drop what a full UNIX socket cannot take, and cannot say why a
connection to one failed.
"""

from __future__ import annotations

import errno
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.arrivals import Arrivals
from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_socket import DatagramSocket, connected_to, find_peer
from netsvc.commands.datagrams import AT_ONCE, LONGEST
from netsvc.commands.room import NOT_READ, room_in


async def datagram_exchange(
    reactor: Any, address: Address, arrivals: Arrivals, patience: float
) -> DatagramExchange:
    """
    Open a conversation with an address.

    @param address: ``udp`` or ``unix-datagram``.
    @param patience: seconds in which a full UNIX socket must have been read from.
    @raise NotDone: it cannot be opened, or the name has no address.
    """
    opened = connected_to(await find_peer(reactor, address), address)
    return DatagramExchange(reactor, address, arrivals, opened, patience)


@implementer(IReadDescriptor, IWriteDescriptor)
class DatagramExchange:
    """See `netsvc.commands.exchange.Exchange`; each send is one datagram."""

    def __init__(
        self, reactor: Any, address: Address, arrivals: Arrivals, opened: DatagramSocket, patience: float
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._opened = opened
        self._sock = opened.sock
        self._patience = patience
        self._buffer = memoryview(bytearray(LONGEST))
        self._room: Deferred[None] | None = None
        self.arrivals = arrivals
        reactor.addReader(self)

    async def send(self, data: bytes) -> None:
        """See `Exchange.send`."""
        while self.arrivals.end is None:
            self.arrivals.check()
            try:
                self._sock.send(data)
            except BlockingIOError:
                self._room = Deferred()
                self._reactor.addWriter(self)
                if not await room_in(self._reactor, self._room, self._patience):
                    raise NotDone(f"{self._address}: {NOT_READ}") from None
            except OSError as error:
                # The system reports here that an earlier datagram was refused.
                if error.errno == errno.EMSGSIZE:
                    raise NotDone(
                        f"{self._address}: {len(data)} bytes are more than a datagram can carry"
                    ) from None
                self._end(error)
            else:
                return
        raise NotDone(f"{self._address}: {self.arrivals.end}")

    def finish(self) -> None:
        """Nothing to say: datagrams have no end."""

    async def close(self, seconds: float) -> bool:
        """See `Exchange.close`: a datagram has left when it was sent."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._opened.close()
        return True

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "datagrams"

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: there is an error to be read, such as that of a refused datagram."""
        if self.arrivals.end is None and self.fileno() >= 0:
            self._reactor.addReader(self)
            self.doRead()

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        for _ in range(AT_ONCE):
            try:
                size = self._sock.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._end(error)
                return
            self.arrivals.note(bytes(self._buffer[:size]))

    def doWrite(self) -> None:
        """See `IWriteDescriptor`."""
        self._reactor.removeWriter(self)
        room, self._room = self._room, None
        if room is not None and not room.called:
            room.callback(None)

    def _end(self, error: OSError) -> None:
        self._reactor.removeReader(self)
        if self.arrivals.end is None:
            self.arrivals.note_end((error.strerror or str(error)).lower(), broken=True)
