"""Our reactor as a reactor: what it does with events, errors, signals and sockets that others have opened."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet import error, interfaces
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Factory

from netsvc.net.fast import reactor as reactor_module
from netsvc.net.fast.stream import Server
from tests.net.fast.conftest import Make
from tests.net.fast.descriptors import Descriptor, raises
from tests.net.fast.rig import HalfCloseable, Noting, Pair, logged, loopback, reactor_of, until

KINDS = ["epoll", "netsvc"]


@pytest.fixture(params=KINDS)
def reactor(request: pytest.FixtureRequest, make: Make) -> Iterator[Any]:
    """Twisted's reactor and ours, of which the same holds; closed before the descriptors are."""
    with reactor_of(request.param) as made:
        yield made


@pytest.fixture
def ours(make: Make) -> Iterator[Any]:
    """Our reactor alone."""
    with reactor_of("netsvc") as made:
        yield made


@pytest.mark.parametrize(
    "interface",
    [
        interfaces.IReactorCore,
        interfaces.IReactorFDSet,
        interfaces.IReactorTCP,
        interfaces.IReactorSSL,
        interfaces.IReactorUDP,
        interfaces.IReactorMulticast,
        interfaces.IReactorUNIX,
        interfaces.IReactorUNIXDatagram,
        interfaces.IReactorSocket,
        interfaces.IReactorTime,
        interfaces.IReactorThreads,
        interfaces.IReactorProcess,
        interfaces.IReactorDaemonize,
        interfaces.IReactorPluggableNameResolver,
    ],
    ids=lambda interface: interface.__name__,
)
def test_it_provides_what_twisteds_provides(interface: Any) -> None:
    provided = []
    for kind in KINDS:
        with reactor_of(kind) as made:
            provided.append(interface.providedBy(made))
            if provided[-1]:
                verifyObject(interface, made)
    assert provided[0] == provided[1]


@pytest.mark.parametrize(
    "raised", [ZeroDivisionError("as told"), KeyboardInterrupt(), SystemExit()], ids=repr
)
@pytest.mark.parametrize("where", ["doRead", "doWrite", "fileno"])
def test_what_an_event_raises_is_logged_once_and_ends_that_descriptor_alone(
    reactor: Any, make: Make, where: str, raised: BaseException
) -> None:
    wrong, right = make(readable=where != "doWrite"), make()
    (reactor.addWriter if where == "doWrite" else reactor.addReader)(wrong)
    reactor.addReader(right)
    if where == "fileno":
        # Once, for the reactor asks again when it lets go of the descriptor.
        answers: list[Callable[[], Any]] = [raises(raised)]
        wrong.fileno = lambda: (answers.pop() if answers else wrong.sock.fileno)()
    else:
        wrong.at_read = wrong.at_write = raises(raised)
    with logged() as events:
        reactor.iterate(0)
        reactor.iterate(0)
    assert [event["failure"].value for event in events if "failure" in event] == [raised]
    assert wrong.lost == [type(raised)]
    assert wrong not in (*reactor.getReaders(), *reactor.getWriters())
    assert right.served == 2
    assert not right.lost


@pytest.mark.parametrize("raised", [ZeroDivisionError("as told"), SystemExit()], ids=repr)
@pytest.mark.parametrize("where", ["doRead", "doWrite"])
def test_what_connection_lost_raises_is_logged_once(
    reactor: Any, make: Make, where: str, raised: BaseException
) -> None:
    wrong, right = make(readable=where == "doRead"), make()
    (reactor.addReader if where == "doRead" else reactor.addWriter)(wrong)
    reactor.addReader(right)
    wrong.at_read = wrong.at_write = lambda: CONNECTION_LOST
    wrong.at_end = raises(raised)
    with logged() as events:
        reactor.iterate(0)
        reactor.iterate(0)
    assert [event["failure"].value for event in events if "failure" in event] == [raised]
    assert wrong.lost == [error.ConnectionLost]
    assert right.served == 2


def test_an_interrupt_from_connection_lost_ends_the_turn(reactor: Any, make: Make) -> None:
    wrong = make()
    wrong.at_read = lambda: CONNECTION_LOST
    wrong.at_end = raises(KeyboardInterrupt())
    reactor.addReader(wrong)
    with pytest.raises(KeyboardInterrupt):
        reactor.iterate(0)
    reactor.iterate(0)
    assert wrong.lost == [error.ConnectionLost]


def test_an_end_that_is_raised_is_no_half_of_an_end(reactor: Any) -> None:
    pair = Pair(reactor, HalfCloseable())
    pair.protocol.then = lambda _: raises(error.ConnectionDone())()
    pair.peer.sendall(b"hello")
    with logged():
        assert pair.until_lost() is error.ConnectionDone
    assert pair.protocol.told == ["connectionLost"]
    pair.close()


def test_who_has_lost_its_descriptor_is_ended(reactor: Any, make: Make) -> None:
    descriptor = make()
    reactor.addReader(descriptor)
    descriptor.fileno = lambda: -1
    reactor.iterate(0)
    assert descriptor.lost == [error.ConnectionFdescWentAway]
    assert descriptor.served == 0
    assert descriptor not in reactor.getReaders()


@pytest.mark.parametrize("watch", ["addReader", "addWriter"])
def test_who_was_closed_by_an_earlier_event_of_the_turn_has_none(
    reactor: Any, make: Make, watch: str
) -> None:
    two = make(readable=watch == "addReader"), make(readable=watch == "addReader")
    for descriptor, other in (two, two[::-1]):
        getattr(reactor, watch)(descriptor)

        def close(other: Descriptor = other) -> None:
            reactor.removeReader(other)
            reactor.removeWriter(other)
            other.sock.close()

        descriptor.at_read = descriptor.at_write = close
    with logged() as events:
        reactor.iterate(0)
        reactor.iterate(0)
    assert sorted(descriptor.served for descriptor in two) == [0, 2]
    assert events == []
    for descriptor in two:
        reactor.removeReader(descriptor)
        reactor.removeWriter(descriptor)


@pytest.mark.parametrize("watch", ["addReader", "addWriter"])
def test_who_has_the_number_of_one_that_was_closed_in_the_turn_takes_no_harm(
    reactor: Any, make: Make, watch: str
) -> None:
    two = make(readable=watch == "addReader"), make(readable=watch == "addReader")
    pairs: list[Pair] = []
    for descriptor, other in (two, two[::-1]):
        getattr(reactor, watch)(descriptor)

        def put_another_there(descriptor: Descriptor = descriptor, other: Descriptor = other) -> None:
            reactor.removeReader(descriptor)
            reactor.removeWriter(descriptor)
            reactor.removeReader(other)
            reactor.removeWriter(other)

            def ends() -> tuple[socket.socket, socket.socket]:
                number = other.sock.detach()
                accepted, opened = loopback()
                os.dup2(accepted.fileno(), number)
                accepted.close()
                return socket.socket(fileno=number), opened

            pairs.append(Pair(reactor, ends=ends))

        descriptor.at_read = descriptor.at_write = put_another_there
    with logged() as events:
        reactor.iterate(0)
        (pair,) = pairs
        assert sorted(descriptor.served for descriptor in two) == [0, 1]
        pair.peer.sendall(b"hello")
        pair.protocol.then = pair.transport.write
        pair.until(lambda: pair.protocol.received)
        pair.turn(2)
        assert pair.there() == b"hello"
    assert events == []
    assert pair.protocol.told == []
    pair.close()


def test_more_events_than_a_turn_takes_are_served_in_the_next(
    ours: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactor_module, "EVENTS_PER_TURN", 4)
    ready = [make() for _ in range(20)]
    for descriptor in ready:
        ours.addReader(descriptor)
    for rounds in (1, 2, 3):
        for turn in range(5):
            ours.iterate(0)
            assert sum(descriptor.served for descriptor in ready) == 20 * (rounds - 1) + 4 * (turn + 1)
        assert {descriptor.served for descriptor in ready} == {rounds}


class _Poller:
    """An epoll object that fails as told, and notes what it is asked."""

    def __init__(self, failure: OSError | None = None) -> None:
        self.asked: list[tuple[float, int]] = []
        self._failure = failure

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """See `select.epoll`."""
        self.asked.append((timeout, most))
        if self._failure:
            raise self._failure
        return []

    def close(self) -> None:
        """Nothing is open."""


def _with_poller(ours: Any, monkeypatch: pytest.MonkeyPatch, poller: _Poller) -> _Poller:
    monkeypatch.setattr(ours, "_poller", poller)
    return poller


def test_a_signal_that_ends_the_wait_ends_the_turn(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_poller(ours, monkeypatch, _Poller(InterruptedError(errno.EINTR, "as told")))
    ours.doIteration(1)
    monkeypatch.undo()


def test_any_other_failure_of_the_wait_is_ours(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_poller(ours, monkeypatch, _Poller(OSError(errno.EBADF, "as told")))
    with pytest.raises(OSError, match="as told"):
        ours.doIteration(1)
    monkeypatch.undo()


def test_it_waits_for_as_long_as_it_is_told(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    poller = _with_poller(ours, monkeypatch, _Poller())
    for seconds in (None, 0, 1.5):
        ours.doIteration(seconds)
    monkeypatch.undo()
    most = reactor_module.EVENTS_PER_TURN
    assert poller.asked == [(-1, most), (0, most), (1.5, most)]


def _factory(*protocols: Noting) -> Any:
    factory, left = Factory(), list(protocols)
    factory.buildProtocol = lambda _: left.pop(0) if left else None  # type: ignore[method-assign,assignment]
    return factory


FAMILIES: dict[socket.AddressFamily, Any] = {
    socket.AF_INET: ("127.0.0.1", 0),
    socket.AF_INET6: ("::1", 0),
    socket.AF_UNIX: "socket",
}


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def listening(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A listening socket of each family."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(request.param) as sock:
        try:
            sock.bind(FAMILIES[request.param])
        except OSError as failure:
            pytest.skip(f"this machine has none: {failure}")
        sock.listen()
        sock.setblocking(False)
        yield sock


def test_a_listening_socket_is_adopted(reactor: Any, listening: socket.socket) -> None:
    protocol = Noting()
    protocol.then = lambda data: protocol.transport.write(data.upper())
    port = reactor.adoptStreamPort(listening.fileno(), listening.family, _factory(protocol))
    with socket.socket(listening.family) as peer:
        peer.connect(listening.getsockname())
        peer.sendall(b"hello")
        until(reactor, lambda: protocol.received)
        reactor.iterate(0)
        assert peer.recv(100) == b"HELLO"
        ended = port.stopListening()
        until(reactor, lambda: ended.called)
        peer.shutdown(socket.SHUT_WR)
        until(reactor, lambda: protocol.reasons)
    own = type(reactor).__name__ == "NetsvcReactor" and listening.family != socket.AF_UNIX
    assert (type(protocol.transport) is Server) == own


def test_a_connection_is_adopted(reactor: Any, listening: socket.socket) -> None:
    protocol = Noting()
    protocol.then = lambda data: protocol.transport.write(data.upper())
    with socket.socket(listening.family) as peer:
        peer.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            accepted.setblocking(False)
            adopt = reactor.adoptStreamConnection
            transport = adopt(accepted.fileno(), listening.family, _factory(protocol))
            assert transport is protocol.transport
            assert adopt(accepted.fileno(), listening.family, _factory()) is None
        peer.sendall(b"hello")
        until(reactor, lambda: protocol.received)
        reactor.iterate(0)
        assert peer.recv(100) == b"HELLO"
        peer.shutdown(socket.SHUT_WR)
        until(reactor, lambda: protocol.reasons)


@pytest.mark.parametrize("adopt", ["adoptStreamPort", "adoptStreamConnection"])
def test_a_family_that_nobody_knows_is_refused(reactor: Any, adopt: str) -> None:
    with socket.socket() as sock, pytest.raises(error.UnsupportedAddressFamily):
        getattr(reactor, adopt)(sock.fileno(), 12345, _factory())


PROGRAM = """
from netsvc.net.fast.reactor import install
install()
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.error import ReactorAlreadyInstalledError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutput
from twisted.protocols.wire import Echo

class Client(Protocol):
    def __init__(self):
        self.received = Deferred()
    def dataReceived(self, data):
        self.received.callback(data)

async def main(reactor):
    try:
        install()
    except ReactorAlreadyInstalledError:
        print("one is enough")
    for server, client in (
        ("tcp:0:interface=127.0.0.1", "tcp:127.0.0.1:{port}"),
        ("unix:socket", "unix:socket"),
    ):
        port = await serverFromString(reactor, server).listen(Factory.forProtocol(Echo))
        at = client.format(port=getattr(port.getHost(), "port", 0))
        protocol = await connectProtocol(clientFromString(reactor, at), Client())
        protocol.transport.write(b"hello")
        print((await protocol.received).decode())
        protocol.transport.loseConnection()
        await port.stopListening()
    print(await deferToThread(lambda: "from a thread"))
    print((await getProcessOutput("/bin/echo", ["from", "a", "process"])).decode().strip())
    print(await task.deferLater(reactor, 0.01, lambda: "later"))
    print(await reactor.resolve("127.0.0.1"))
    print(type(reactor).__name__)

task.react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
"""


def test_endpoints_threads_processes_and_timers_work_on_it(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        *("one is enough", "hello", "hello"),
        *("from a thread", "from a process", "later", "127.0.0.1", "NetsvcReactor"),
    ]


def test_twistd_knows_it(tmp_path: Path) -> None:
    twistd = Path(sys.executable).parent / "twistd"
    ran = subprocess.run(
        [str(twistd), "--help-reactors"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    (line,) = [line.split() for line in ran.stdout.splitlines() if line.split()[:1] == ["netsvc"]]
    assert "epoll(7)" in line
