"""
A reactor, one connection of ours on it, and the socket at its other end: what the tests of streams drive.

The reactor is not installed and does not run: a test turns it by hand, so that it can look between two turns.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zope.interface import implementer

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python import log
from twisted.python.failure import Failure

from netsvc.net.fast.reactor import NetsvcReactor
from netsvc.net.fast.stream import Server, WriteAtOnce

REACTORS: dict[str, Callable[[], Any]] = {
    "epoll": EPollReactor,
    "netsvc": NetsvcReactor,
    "select": SelectReactor,
}

#: Turns in which anything here must have happened, and seconds that one waits for an event at most. Turns in
#: which something happens wait for nothing.
TURNS, WAIT = 2000, 0.01

#: Seconds that a blocking call of a peer may take.
PATIENCE = 30.0


@contextmanager
def reactor_of(kind: str) -> Iterator[Any]:
    """A reactor of `REACTORS` for the time of a with statement; what is left in it is closed."""
    reactor = REACTORS[kind]()
    try:
        yield reactor
    finally:
        for left in reactor.removeAll():
            left.connectionLost(Failure(connectionDone.value))
        for call in reactor.getDelayedCalls():
            call.cancel()
        for internal in list(reactor._internalReaders):
            reactor.removeReader(internal)
            internal.connectionLost(None)
        if hasattr(reactor, "_poller"):
            reactor._poller.close()


def until(reactor: Any, holds: Callable[[], object]) -> None:
    """
    Turn a reactor until something holds.

    @raise AssertionError: it did not hold after many turns.
    """
    for _ in range(TURNS):
        if holds():
            return
        reactor.iterate(WAIT)
    raise AssertionError("it never held")


def loopback() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection: the one that was accepted, and the one that was opened."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        opened = socket.create_connection(listening.getsockname(), PATIENCE)
        accepted, _ = listening.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return accepted, opened


class Noting(Protocol):
    """
    Notes what it is told; tests give it more to do.

    @ivar received: the bytes so far.
    @ivar told: the names of callbacks, in their order, bytes left out.
    @ivar reasons: why the connection was lost, one for each time that it was told.
    @ivar then: called with the bytes when some are received.
    """

    transport: Any

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self.received = bytearray()
        self.told: list[str] = []
        self.reasons: list[type[BaseException] | None] = []
        self.then: Callable[[bytes], object] = lambda _: None
        self.at_end: Callable[[], object] = lambda: None

    def dataReceived(self, data: bytes) -> None:
        """Note and go on."""
        self.received += data
        self.then(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note and go on."""
        self.told.append("connectionLost")
        self.reasons.append(reason.type)
        self.at_end()


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Noting):
    """One that goes on when one direction has ended."""

    def readConnectionLost(self) -> None:
        """Note."""
        self.told.append("readConnectionLost")

    def writeConnectionLost(self) -> None:
        """Note."""
        self.told.append("writeConnectionLost")


class Pair:
    """
    A connection of ours and its peer.

    @ivar reactor: what it is on.
    @ivar protocol: what is told.
    @ivar transport: ours.
    @ivar peer: the other end, a socket that blocks.
    """

    def __init__(
        self,
        reactor: Any,
        protocol: Noting | None = None,
        server: Callable[..., Any] = Server,
        ends: Callable[[], tuple[socket.socket, socket.socket]] = loopback,
    ) -> None:
        """
        @param protocol: an own one, else a `Noting`.
        @param server: makes the transport.
        @param ends: makes both ends' sockets, ours and the peer's.
        """
        self.reactor = reactor
        self.protocol = Noting() if protocol is None else protocol
        accepted, self.peer = ends()
        self.peer.settimeout(PATIENCE)
        self.transport: Any = server(accepted, self.protocol, ("127.0.0.1", 1), None, 1, reactor)
        self.protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def turn(self, times: int = 1) -> None:
        """Turns of the reactor, without waiting."""
        for _ in range(times):
            self.reactor.iterate(0)

    def until(self, holds: Callable[[], object]) -> None:
        """See `until`."""
        until(self.reactor, holds)

    def until_lost(self) -> type[BaseException] | None:
        """Turn until the protocol has lost its connection; gives the reason."""
        self.until(lambda: self.protocol.reasons)
        (reason,) = self.protocol.reasons
        return reason

    def taken(self, size: int) -> bytes:
        """So many bytes from the peer's end, the reactor turning meanwhile."""
        received = bytearray()

        def enough() -> bool:
            received.extend(self.there(size - len(received)))
            return len(received) >= size

        self.until(enough)
        return bytes(received)

    def must_take(self, expected: bytes) -> None:
        """
        Take bytes as with `taken`.

        @raise AssertionError: they were others; it says where, and not what two millions of bytes were.
        """
        received = self.taken(len(expected))
        if received != expected:
            at = next(at for at, byte in enumerate(received) if byte != expected[at])
            raise AssertionError(f"not what was written, from byte {at} on: {received[at : at + 50]!r}")

    def there(self, size: int = 1 << 20) -> bytes:
        """What the peer's end has now, up to a size."""
        self.peer.setblocking(False)
        try:
            return self.peer.recv(size)
        except BlockingIOError:
            return b""
        finally:
            self.peer.settimeout(PATIENCE)

    def fill(self) -> None:
        """Send from the peer's end as much as fits."""
        self.peer.setblocking(False)
        try:
            while True:
                self.peer.send(bytes(1 << 16))
        except BlockingIOError:
            self.peer.settimeout(PATIENCE)

    def writing(self) -> bool:
        """Whether the reactor is asked to tell when there is room to write."""
        return self.transport in self.reactor.getWriters()

    def close(self) -> None:
        """Both ends, whatever they are in."""
        self.peer.close()
        if hasattr(self.transport, "socket"):
            self.transport.connectionLost(Failure(connectionDone.value))


def narrow(pair: Pair) -> None:
    """
    Let less than a megabyte fit between both ends while nobody reads.

    Much less would make the system wait, for windows and acknowledgements, many times a fifth of a second.
    """
    pair.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)


class Failing:
    """
    A socket whose next calls of send fail as told, and which is itself else.

    @ivar errors: the errors of the next calls, the next one first; None for a call that does what it says.
    @ivar sent: how many calls there were.
    """

    def __init__(self, transport: WriteAtOnce, *errors: int | None) -> None:
        """@param transport: it has this socket from now on."""
        self._socket = transport.getHandle()
        self.errors = list(errors)
        self.sent = 0
        transport.socket = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, data: bytes) -> int:
        """As `socket.send`."""
        self.sent += 1
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise OSError(error, "as told")
        return int(self._socket.send(data))


@contextmanager
def logged() -> Iterator[list[LogEvent]]:
    """The events of the log for the time of a with statement."""
    events: list[LogEvent] = []
    observe: Any = events.append
    globalLogPublisher.addObserver(observe)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(observe)


def systems(events: list[LogEvent], *texts: str) -> list[tuple[str, str]]:
    """The lines of the old log, those of the texts where any are given: (what was said, who said it)."""
    lines = [
        (" ".join(map(str, event["message"])) or repr(event["failure"].value), event["system"])
        for event in events
        if "system" in event
    ]
    return [line for line in lines if not texts or line[0] in texts]


def note(text: str) -> None:
    """Write a line of the old log, the one that tells who is at work."""
    log.msg(text)
