"""`netsvc.net.progress`: does what was written get any further?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater

from netsvc.net.progress import Progress, outstanding

_SECONDS = 8.0


class _Buffer:
    """The part of a Twisted transport that tells how far its buffer has got."""

    def __init__(self) -> None:
        self.dataBuffer = b"x" * 1000
        self.offset = 0


class _Layer:
    """A layer over another transport, as Twisted's TLS is."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport


class _Watched:
    """A transport that is being watched, and when it was found stuck."""

    def __init__(self, transport: Any, buffer: Any) -> None:
        self.clock = Clock()
        self.buffer = buffer
        self.stuck: list[float] = []
        self.progress = Progress(
            transport, self.clock, _SECONDS, lambda: self.stuck.append(self.clock.seconds())
        )

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.25] * round(seconds * 4))


@pytest.fixture(params=["transport", "layered"])
def watched(request: pytest.FixtureRequest) -> _Watched:
    buffer = _Buffer()
    return _Watched(buffer if request.param == "transport" else _Layer(_Layer(buffer)), buffer)


def test_what_does_not_move_is_stuck_once_at_the_look_behind_its_time(watched: _Watched) -> None:
    watched.wait(5 * _SECONDS)
    assert watched.stuck == [1.125 * _SECONDS]
    assert watched.clock.getDelayedCalls() == []


def test_what_moves_slowly_is_never_stuck(watched: _Watched) -> None:
    for _ in range(20):
        watched.wait(_SECONDS - 2.5)
        watched.buffer.offset += 1
    assert watched.stuck == []
    watched.progress.stop()


def test_a_buffer_that_shrinks_is_progress_too(watched: _Watched) -> None:
    for _ in range(20):
        watched.wait(_SECONDS - 2.5)
        watched.buffer.dataBuffer = watched.buffer.dataBuffer[1:]
    assert watched.stuck == []
    watched.progress.stop()


def test_after_the_last_movement_it_is_stuck_at_most_a_quarter_late(watched: _Watched) -> None:
    watched.wait(3.25)
    watched.buffer.offset += 1
    moved = watched.clock.seconds()
    watched.wait(3 * _SECONDS)
    (stuck,) = watched.stuck
    assert moved + _SECONDS <= stuck <= moved + 1.25 * _SECONDS


def test_stopped_it_watches_no_more(watched: _Watched) -> None:
    watched.wait(3)
    watched.progress.stop()
    watched.progress.stop()
    assert watched.clock.getDelayedCalls() == []
    watched.wait(2 * _SECONDS)
    assert watched.stuck == []


def test_it_can_be_stopped_by_whom_it_calls() -> None:
    clock = Clock()
    stopped: list[Progress] = []

    def stop() -> None:
        stopped.append(progress)
        progress.stop()

    progress = Progress(_Buffer(), clock, 1.0, stop)
    clock.pump([0.25] * 8)
    assert stopped == [progress]


def test_a_transport_that_tells_nothing_has_nothing_outstanding() -> None:
    assert outstanding(object()) == (0, 0, 0)
    assert not Progress.unread(object())


class _Socket:
    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    if request.param == "unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
    with ours, theirs:
        yield ours, theirs


def _fill(sock: socket.socket) -> None:
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sock.send(b"x" * 65536)


def test_the_system_tells_what_the_peer_has_not_taken(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert outstanding(_Socket(ours))[0] == 0
    _fill(ours)
    full = outstanding(_Socket(ours))[0]
    assert full > 0
    while outstanding(_Socket(ours))[0] >= full:
        assert theirs.recv(65536)


def test_the_system_tells_what_nobody_has_read_yet(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert not Progress.unread(_Layer(_Socket(ours)))
    theirs.sendall(b"x")
    while not Progress.unread(_Layer(_Socket(ours))):
        pass
    ours.recv(1)
    assert not Progress.unread(_Socket(ours))


def test_a_closed_socket_has_nothing_outstanding(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    assert outstanding(_Socket(ours)) == (0, 0, 0)
    assert not Progress.unread(_Socket(ours))


class _Flood(Protocol):
    """Writes more than any buffer takes, and is watched."""

    def __init__(self, clock: IReactorTime, seconds: float, stuck: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._stuck = stuck
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"x" * 64 * 1024 * 1024)
        self.progress = Progress(transport, self._clock, self._seconds, self._end)

    def _end(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()
        self._stuck()

    def connectionLost(self, reason: object = None) -> None:
        self.progress.stop()
        self.lost.callback(None)


@pytest.mark.live
@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_client_that_reads_at_times_is_left_alone_and_one_that_does_not_is_stuck(
    transport: str, tmp_path: Path
) -> None:
    from twisted.internet import reactor

    running: Any = reactor
    clock = Clock()
    stuck: list[float] = []
    flood = _Flood(clock, _SECONDS, lambda: stuck.append(clock.seconds()))
    path = tmp_path / "sock"
    endpoint: Any = UNIXServerEndpoint(running, str(path))
    if transport == "tcp":
        endpoint = TCP4ServerEndpoint(running, 0, interface="127.0.0.1")
    port: IListeningPort = await endpoint.listen(Factory.forProtocol(lambda: flood))
    family, address = socket.AF_UNIX, str(path)
    if transport == "tcp":
        host: Any = port.getHost()
        family, address = socket.AF_INET, (host.host, host.port)  # type: ignore[assignment]
    with socket.socket(family) as client:
        client.connect(address)
        client.setblocking(False)
        received = 0
        for _ in range(8):
            # Whatever the system's buffers hold is taken: at least that much is seen to move.
            received += await _take(running, client)
            clock.advance(_SECONDS / 4)
        assert stuck == []
        assert received
        for _ in range(5000):
            # What the system still moves on its own, into buffers that are not full yet, is progress too.
            if stuck:
                break
            await deferLater(running, 0.005)
            clock.advance(_SECONDS / 4)
        assert len(stuck) == 1
        await flood.lost
    await _stop(port)


async def _take(reactor: Any, client: socket.socket) -> int:
    """Read a megabyte."""
    taken = 0
    while taken < 1024 * 1024:
        try:
            taken += len(client.recv(65536))
        except BlockingIOError:
            await deferLater(reactor, 0.001)
    return taken


async def _stop(port: IListeningPort) -> None:
    stopped = port.stopListening()
    if stopped is not None:
        await stopped
