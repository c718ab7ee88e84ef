"""
A socket for the datagrams of a load, UDP or UNIX, that outlives what the peer's machine says of it.

Twisted's own port for datagrams ends for good when a reactor with epoll finds an error on its socket, such as
that of an ICMP message "port unreachable" (RFC 1122 section 4.1.3.3), which a load has to count. And it drops
what a UNIX socket has no room for: only a few datagrams fit into one (unix(7)), and none is ever lost there.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure

from netsvc.commands.datagram_socket import DatagramSocket

#: Bytes that hold any datagram.
_LONGEST = 65536

#: Datagrams that are read before others get their turn.
_AT_ONCE = 64

#: Bytes that may wait to be read; the system gives what it allows.
_BUFFER = 8 << 20

# sock_diag(7): getsockopt with SO_MEMINFO gives nine unsigned integers, the last of which counts drops.
_SO_MEMINFO, _DROPS, _MEMINFO_SIZE = 55, 8, 36


@implementer(IReadDescriptor, IWriteDescriptor)
class ConnectedSocket:
    """
    The socket; it reads from when it is made until `close`.

    @ivar received: takes each datagram that comes.
    @ivar refused: called when the system was told that nobody receives there.
    @ivar drained: called when there is room again, see `is_full`.
    """

    def __init__(self, reactor: Any, opened: DatagramSocket) -> None:
        """@param opened: the socket; it is closed with this."""
        self.received: Callable[[bytes], None] = lambda data: None
        self.refused: Callable[[], None] = lambda: None
        self.drained: Callable[[], None] = lambda: None
        self._reactor = reactor
        self._opened = opened
        self._sock = opened.sock
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        # As many as a flow sends while there was room, which is its depth.
        self._waiting: deque[bytes] = deque()
        reactor.addReader(self)

    def write(self, data: bytes) -> None:
        """
        Send a datagram, or keep it until there is room for it.
        """
        if self._waiting:
            self._waiting.append(data)
        elif not self._sent(data):
            self._waiting.append(data)
            self._reactor.addWriter(self)

    def is_full(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    def dropped(self) -> int:
        """How many datagrams were dropped because the ones before had not been read, if the system tells."""
        try:
            told = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO_SIZE)
        except OSError:
            return 0
        return int(struct.unpack("9I", told)[_DROPS]) if len(told) == _MEMINFO_SIZE else 0

    def close(self) -> None:
        """Close it."""
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._opened.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "bench"

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        for _ in range(_AT_ONCE):
            try:
                data = self._sock.recv(_LONGEST)
            except ConnectionRefusedError:
                self.refused()
                continue
            except OSError:
                return
            self.received(data)
            if self._sock.fileno() < 0:
                return

    def doWrite(self) -> None:
        """See `IWriteDescriptor`."""
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._reactor.removeWriter(self)
            self.drained()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found an error on it: take the error from it, and go on."""
        if self._sock.fileno() < 0:
            return
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.refused()
        self._reactor.addReader(self)
        if self._waiting:
            self._reactor.addWriter(self)

    def _sent(self, data: bytes) -> bool:
        """Try to send; what the system refuses is lost, as datagrams are. False if there is no room yet."""
        for _ in range(2):
            try:
                self._sock.send(data)
            except BlockingIOError:
                return False
            except ConnectionRefusedError:
                # Of one before; this one was not sent.
                self.refused()
                continue
            except OSError:
                return True
            return True
        return True
