"""
Twisted's own stream transports over sockets that are none.

The connection's code from the socket upwards is the real one: what differs is that the test decides when the
reactor turns, how much of what was written the peer has taken, and when the connection breaks.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, cast

from twisted.internet.interfaces import IProtocol
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.posixbase import _DisconnectSelectableMixin
from twisted.internet.task import Clock

from netsvc.net.accept import UNIXServer
from netsvc.net.fast.stream import Server


class Reactor(_DisconnectSelectableMixin, Clock):
    """A reactor whose sockets are all `Wire`s, and whose time is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[Any, None] = {}
        self._writers: dict[Any, None] = {}

    def addReader(self, reader: Any) -> None:
        self._readers[reader] = None

    def removeReader(self, reader: Any) -> None:
        self._readers.pop(reader, None)

    def addWriter(self, writer: Any) -> None:
        self._writers[writer] = None

    def removeWriter(self, writer: Any) -> None:
        self._writers.pop(writer, None)

    def advance(self, amount: float) -> None:
        """Let time pass and make the calls that are due; those that these ask for are the next turn's."""
        self.rightNow += amount
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in sorted(due, key=lambda one: one.getTime()):
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    def left(self) -> list[object]:
        """What is still being looked at, and what is still to be called."""
        return [*self._readers, *self._writers, *self.getDelayedCalls()]

    def turn(self) -> None:
        """What a reactor does in one turn: calls that are due, then who can read, then who can write."""
        self.advance(0)
        for server in list(self._readers):
            if server in self._readers and server.socket.readable:
                self._end(server, server.doRead(), True)
        for server in list(self._writers):
            if server in self._writers and server.socket.writable:
                self._end(server, server.doWrite(), False)

    def lose(self, wire: Wire) -> None:
        """Have a connection end as one that was reset, whether or not anybody looks at it."""
        if not wire.closed:
            self._end(wire.transport, CONNECTION_LOST, False)

    def _end(self, server: Any, why: Any, reading: bool) -> None:
        if why:
            self._disconnectSelectable(server, why, reading)  # type: ignore[no-untyped-call]


class Wire:
    """
    The socket of one connection, and its peer.

    @ivar arriving: what the peer has sent and nobody has read; an empty piece is the end of it.
    @ivar read: what was read of it.
    @ivar sent: what the peer has got.
    @ivar room: bytes that the peer is ready to take.
    @ivar broken: the number of the error that everything raises from now on; 0 for none.
    @ivar ended: our side is closed.
    @ivar closed: the socket is.
    @ivar transport: the connection that has it.
    """

    family = socket.AF_INET

    def __init__(self, room: int) -> None:
        self.arriving: list[bytes] = []
        self.read = bytearray()
        self.sent = bytearray()
        self.room = room
        self.broken = 0
        self.ended = False
        self.closed = False
        self.transport: Any = None

    @property
    def readable(self) -> bool:
        return bool(self.arriving or self.broken)

    @property
    def writable(self) -> bool:
        return bool(self.room or self.broken)

    def recv(self, size: int) -> bytes:
        if self.broken:
            raise OSError(self.broken, "broken")
        if not self.arriving:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing there")
        data = self.arriving[0]
        if not data:
            return b""
        self.arriving[:1] = [data[size:]] if len(data) > size else []
        self.read += data[:size]
        return data[:size]

    def send(self, data: Any) -> int:
        if self.broken:
            raise OSError(self.broken, "broken")
        if data and not self.room:
            raise BlockingIOError(errno.EWOULDBLOCK, "no room")
        if self.ended and data:
            raise BrokenPipeError(errno.EPIPE, "our side is closed")
        taken = bytes(data[: self.room])
        self.sent += taken
        self.room -= len(taken)
        return len(taken)

    def shutdown(self, how: int) -> None:
        self.ended = True
        if self.broken:
            raise OSError(errno.ENOTCONN, "not connected")

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if self.broken:
            raise OSError(errno.EINVAL, "broken")

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> Any:
        return "/run/netsvc/echo.sock" if self.family == socket.AF_UNIX else ("192.0.2.1", 8009)

    def close(self) -> None:
        self.closed = True


class _Port:
    """As much of a listening port as a connection looks at."""

    _realPortNumber = 8009


def connect(protocol: IProtocol, peer: Any, room: int, reactor: Reactor) -> Wire:
    """
    Connect a protocol.

    @param protocol: what the accepting port would have built.
    @param peer: the address as accept gives it; a str or bytes for a UNIX socket.
    @param room: bytes that the peer takes at first.
    """
    wire = Wire(room)
    sock, port = cast(socket.socket, wire), cast(Any, _Port())
    if isinstance(peer, tuple):
        transport: Any = Server(sock, protocol, peer, port, 1, cast(Any, reactor))
    else:
        wire.family = socket.AF_UNIX
        transport = UNIXServer(sock, protocol, (peer,), port, 1, cast(Any, reactor))
    wire.transport = transport
    protocol.makeConnection(transport)
    return wire
