"""
A conversation in datagrams, UDP or UNIX, with one peer.

It reads its socket itself: Twisted's ports drop what a full UNIX socket cannot take, and cannot say why a
connection to one failed.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.arrivals import Arrivals
from netsvc.commands.naming import look_up
from netsvc.commands.running import NotDone

#: Bytes of the longest datagram: more than UDP's; a UNIX socket's may be as long as its buffers allow.
_LONGEST = 1 << 20

#: Datagrams that are read before others get their turn.
_AT_ONCE = 64


async def datagram_exchange(reactor: Any, address: Address, arrivals: Arrivals) -> DatagramExchange:
    """
    Open a socket that is connected to an address, so that only its datagrams arrive.

    @param address: ``udp`` or ``unix-datagram``.
    @raise NotDone: it cannot be opened, or the name has no address.
    """
    own = ""
    if address.scheme == "udp":
        # The first address: silence would not tell that it was the wrong one.
        found = (await look_up(reactor, address.host, address.port, socket.SOCK_DGRAM))[0]
        family = socket.AF_INET6 if found.family == "IPv6" else socket.AF_INET
        peer: Any = (found.address, found.port)
    else:
        family, peer = socket.AF_UNIX, address.path
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        if family == socket.AF_UNIX:
            own = _own_path()
            sock.bind(own)
            # The peer, which may be another user, answers to it.
            os.chmod(own, 0o666)
        sock.connect(peer)
    except OSError as error:
        _close(sock, own)
        raise NotDone(f"{address}: {(error.strerror or str(error)).lower()}") from None
    return DatagramExchange(reactor, address, arrivals, sock, own)


@implementer(IReadDescriptor, IWriteDescriptor)
class DatagramExchange:
    """See `netsvc.commands.exchange.Exchange`; each send is one datagram."""

    def __init__(
        self, reactor: Any, address: Address, arrivals: Arrivals, sock: socket.socket, own: str
    ) -> None:
        """
        @param sock: connected, and not blocking.
        @param own: the path that it is bound to, removed at the end; or ``""``.
        """
        self._reactor = reactor
        self._address = address
        self._sock = sock
        self._own = own
        self._buffer = memoryview(bytearray(_LONGEST))
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
                await self._room
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

    async def close(self) -> None:
        """See `Exchange.close`."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        _close(self._sock, self._own)

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
        for _ in range(_AT_ONCE):
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
        if room is not None:
            room.callback(None)

    def _end(self, error: OSError) -> None:
        self._reactor.removeReader(self)
        if self.arrivals.end is None:
            self.arrivals.note_end((error.strerror or str(error)).lower(), broken=True)


def _own_path() -> str:
    """Where an answer can be sent; the directory can be passed through, and not be read, by everybody."""
    directory = tempfile.mkdtemp(prefix="netsvc-")
    os.chmod(directory, 0o711)
    return str(Path(directory) / "socket")


def _close(sock: socket.socket, own: str) -> None:
    sock.close()
    if own:
        shutil.rmtree(Path(own).parent, ignore_errors=True)
