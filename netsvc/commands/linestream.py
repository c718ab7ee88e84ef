"""
A stream of lines from a server, read one by one: for the client list and the chat room.

What was not read yet is bounded: beyond a few lines the server is not read from. A line may be as long as its
reader says, for a client list is one line.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, dial, half_close, reason_of
from netsvc.commands.room import NOT_READ, Room

#: Lines that may wait to be read before the server has to.
_WAITING = 1024

#: Seconds that a goodbye may take.
_GOODBYE = 2.0


async def open_lines(reactor: Any, address: Address, tls: TLSOptions, longest: int) -> LineStream:
    """
    Connect to a server of lines.

    @param longest: bytes that a line may have.
    @raise NotDone: there is no connection.
    """
    stream: LineStream = await dial(reactor, address, _LineStreams(reactor, address, longest), tls)
    return stream


class LineStream(Protocol):
    """One connection."""

    transport: Any

    def __init__(self, reactor: Any, address: Address, longest: int) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param address: the server's, for messages.
        @param longest: bytes that a line may have.
        """
        self._reactor = reactor
        self._address = address
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0
        self._lines: deque[bytes] = deque()
        self._over = False
        self._problem: str | None = None
        self._reading: Deferred[None] | None = None
        self._room: Room
        self._finished = False
        self._closing = False
        self._closed: Deferred[None] = Deferred()

    async def line(self, patience: float | None = None) -> bytes | None:
        """
        Read a line; by one reader at a time.

        @param patience: seconds without a byte after which the server is given up; None waits for ever.
        @return: it, without its end, which the last one may lack; None at the end of the stream.
        @raise NotDone: the connection broke, the line is too long, or patience is at its end.
        """
        while not self._lines and not self._over:
            self._reading = Deferred()
            call = None if patience is None else self._reactor.callLater(patience, self._give_up, patience)
            try:
                # Each read wakes it, whether or not it brought the end of a line.
                await self._reading
            finally:
                if call is not None and call.active():
                    call.cancel()
        if not self._lines:
            if self._problem is not None:
                raise NotDone(f"{self._address}: {self._problem}")
            return None
        line = self._lines.popleft()
        if len(self._lines) == _WAITING - 1 and not self._over:
            self.transport.resumeProducing()
        return line

    async def send(self, line: bytes) -> None:
        """
        Send a line; what comes after the end of the connection goes nowhere.

        @param line: without its end.
        @return: when there is room for more.
        @raise NotDone: the server does not read.
        """
        if not self._over:
            self.transport.write(line + b"\n")
            if not await self._room.wait():
                self.abort()
                raise NotDone(f"{self._address}: {NOT_READ}")

    def finish(self) -> None:
        """Send nothing more; what the server still sends can be read."""
        if not self._over and not self._finished:
            self._finished = True
            self._room.release()
            half_close(self.transport)

    async def close(self) -> None:
        """End the connection, in order if the server lets it; however it ends is no failure any more."""
        if self._over or self._closing:
            return
        self._closing = True
        self._room.release()
        self.transport.loseConnection()
        call = self._reactor.callLater(_GOODBYE, self.transport.abortConnection)
        await self._closed
        if call.active():
            call.cancel()

    def abort(self) -> None:
        """End the connection now."""
        if not self._over:
            self._closing = True
            self.transport.abortConnection()

    # -- what the transport calls ------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._room = Room(self._reactor, self.transport)

    def dataReceived(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._add(first)
        for part in others:
            self._end_line()
            self._add(part)
        if len(self._lines) >= _WAITING:
            self.transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if self._problem is None and not self._closing and not reason.check(ConnectionDone):
            self._problem = reason_of(reason)
        # Of a line that the connection broke off, nobody knows how it ends.
        if self._size and self._problem is None:
            self._end_line()
        self._wake()
        self._room.stopProducing()
        self._closed.callback(None)

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._longest:
            self._break(f"sent a line of more than {self._longest:,} bytes")

    def _end_line(self) -> None:
        self._lines.append(b"".join(self._parts).removesuffix(b"\r"))
        self._parts, self._size = [], 0

    def _give_up(self, patience: float) -> None:
        self._break(f"no answer in {patience:g} seconds")

    def _break(self, problem: str) -> None:
        self._problem = problem
        self._parts, self._size = [], 0
        self.transport.abortConnection()

    def _wake(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None and not reading.called:
            reading.callback(None)


class _LineStreams(Factory[LineStream]):
    noisy = False

    def __init__(self, reactor: Any, address: Address, longest: int) -> None:
        self._made = reactor, address, longest

    def buildProtocol(self, addr: object) -> LineStream:
        return LineStream(*self._made)
