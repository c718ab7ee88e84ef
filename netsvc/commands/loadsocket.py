"""
A UDP socket that is connected to one peer, and outlives what the peer's machine says of it.

Twisted's own port for datagrams ends for good when a reactor with epoll finds an error on its socket, such as
that of an ICMP message "port unreachable" (RFC 1122 section 4.1.3.3), which a load has to count.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

#: Bytes that hold any datagram.
_LONGEST = 65536

#: Datagrams that are read before others get their turn.
_AT_ONCE = 64

#: Bytes that may wait to be read; the system gives what it allows.
_BUFFER = 8 << 20

# sock_diag(7): getsockopt with SO_MEMINFO gives nine unsigned integers, the last of which counts drops.
_SO_MEMINFO, _DROPS, _MEMINFO_SIZE = 55, 8, 36


@implementer(IReadDescriptor)
class ConnectedSocket:
    """
    The socket; it reads from when it is made until `close`.

    @ivar received: takes each datagram that comes.
    @ivar refused: called when the system was told that nobody receives there.
    """

    def __init__(self, reactor: Any, family: int, peer: tuple[str, int]) -> None:
        """
        @param family: AF_INET or AF_INET6.
        @param peer: address and port; others are not heard.
        @raise OSError: the system refused.
        """
        self.received: Callable[[bytes], None] = lambda data: None
        self.refused: Callable[[], None] = lambda: None
        self._reactor = reactor
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._sock.connect(peer)
        except OSError:
            self._sock.close()
            raise
        reactor.addReader(self)

    def write(self, data: bytes) -> None:
        """
        Send a datagram; what the system has no room for is lost, as datagrams are.
        """
        for _ in range(2):
            try:
                self._sock.send(data)
            except ConnectionRefusedError:
                # Of one before; this one was not sent.
                self.refused()
                continue
            except OSError:
                return
            return

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
        self._sock.close()

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

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found an error on it: take the error from it, and go on."""
        if self._sock.fileno() < 0:
            return
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.refused()
        self._reactor.addReader(self)
