"""`netsvc.net.accept`: a port over a listening socket that is open already."""

from __future__ import annotations

import array
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock

from netsvc.net.accept import AcceptPort, _with_scope

pytestmark = pytest.mark.live

_TRANSPORTS = ("tcp4", "tcp6", "unix")


class _Echo(Protocol):
    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        self.lost.callback(None)

    @property
    def _transport(self) -> Any:
        return self.transport


@implementer(IProtocolFactory)
class _Echoes:
    """Builds echoes and keeps what it built."""

    def __init__(self) -> None:
        self.built: list[_Echo] = []
        self.asked: list[IAddress] = []
        self.running = 0

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        self.asked.append(addr)
        self.built.append(_Echo())
        return self.built[-1]

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1


def _listening(transport: str, path: Path, kind: type[socket.socket] = socket.socket) -> socket.socket:
    wheres: dict[str, tuple[socket.AddressFamily, Any]] = {
        "tcp4": (socket.AF_INET, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, ("::1", 0)),
        "unix": (socket.AF_UNIX, str(path / "sock")),
    }
    family, where = wheres[transport]
    sock = kind(family)
    sock.setblocking(False)
    sock.bind(where)
    sock.listen(100)
    return sock


class _Rig:
    """A port, started in a reactor, and its clients."""

    def __init__(
        self, reactor: Any, sock: socket.socket, factory: IProtocolFactory, start: bool = True
    ) -> None:
        self.reactor = reactor
        self.sock = sock
        self.turned_away: list[IAddress] = []
        self.port = AcceptPort(sock, factory, reactor, self.turned_away.append)
        self._clients: list[socket.socket] = []
        if start:
            self.port.startListening()

    def client(self, bound: str | bytes | None = None) -> socket.socket:
        client = socket.socket(self.sock.family)
        self._clients.append(client)
        if bound is not None:
            client.bind(bound)
        client.connect(self.sock.getsockname())
        client.setblocking(False)
        return client

    async def until(self, true: Callable[[], object]) -> None:
        """Let the reactor run until something holds."""
        for _ in range(5000):
            if true():
                return
            await deferLater(self.reactor, 0.001)
        raise AssertionError("it never came to hold")

    async def answer(self, client: socket.socket, length: int) -> bytes:
        """Read so many bytes, or up to the end; a reset is an end."""
        got = bytearray()
        for _ in range(5000):
            try:
                data = client.recv(length - len(got))
            except BlockingIOError:
                await deferLater(self.reactor, 0.001)
                continue
            except ConnectionResetError:
                break
            got += data
            if not data or len(got) == length:
                break
        else:
            raise AssertionError("no answer came")
        return bytes(got)

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()

    async def end(self, factory: _Echoes | None = None) -> None:
        self.close_clients()
        if factory is not None:
            for echo in factory.built:
                if echo.transport is not None:
                    await echo.lost
        await self.port.stopListening()


@pytest.fixture
def running() -> Any:
    from twisted.internet import reactor

    return reactor


def test_it_is_a_listening_port(tmp_path: Path) -> None:
    with _listening("tcp4", tmp_path) as sock:
        assert verifyObject(IListeningPort, _Rig(MemoryReactorClock(), sock, _Echoes(), start=False).port)


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_clients_are_served_and_a_stop_closes_the_socket(
    transport: str, tmp_path: Path, running: Any
) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening(transport, tmp_path), factory)
    assert factory.running == 1
    one, other = rig.client(), rig.client()
    one.send(b"one")
    other.send(b"other")
    assert await rig.answer(other, 5) == b"other"
    assert await rig.answer(one, 3) == b"one"
    await rig.end(factory)
    assert factory.running == 0
    assert rig.port.fileno() == -1
    await rig.port.stopListening()
    assert factory.running == 0


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_those_inside_stay_when_it_stops(transport: str, tmp_path: Path, running: Any) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening(transport, tmp_path), factory)
    client = rig.client()
    client.send(b"a")
    assert await rig.answer(client, 1) == b"a"
    await rig.port.stopListening()
    client.send(b"b")
    assert await rig.answer(client, 1) == b"b"
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_more_clients_than_one_turn_accepts_are_all_served(tmp_path: Path, running: Any) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening("unix", tmp_path), factory)
    clients = [rig.client() for _ in range(90)]
    await rig.until(lambda: len(factory.built) == 90)
    for client in clients:
        client.send(b"x")
        assert await rig.answer(client, 1) == b"x"
    await rig.end(factory)


def test_one_turn_accepts_a_number_and_leaves_the_rest_for_the_next(tmp_path: Path) -> None:
    factory, reactor = _Echoes(), MemoryReactorClock()
    with _listening("unix", tmp_path) as sock:
        rig = _Rig(reactor, sock, factory)
        for _ in range(90):
            rig.client()
        rig.port.doRead()
        assert len(factory.built) == 64
        rig.port.doRead()
        assert len(factory.built) == 90
        rig.port.doRead()
        _close(reactor, rig)


def _close(reactor: MemoryReactorClock, rig: _Rig) -> None:
    """End a port, and what it accepted, in a reactor that does not run by itself."""
    rig.close_clients()
    stopped = rig.port.stopListening()
    reactor.advance(0)
    assert stopped.called
    for reader in list(reactor.getReaders()):
        reader.loseConnection()
        reactor.advance(0)
    reactor.advance(0)
    assert reactor.getReaders() == []
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize("transport", ["tcp4", "tcp6"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_addresses_are_the_clients_and_the_one_that_it_reached(
    transport: str, tmp_path: Path, running: Any
) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening(transport, tmp_path), factory)
    client = rig.client()
    await rig.until(lambda: factory.built)
    kind = IPv4Address if transport == "tcp4" else IPv6Address
    inside: Any = factory.built[0].transport
    for address, name in (
        (rig.port.getHost(), rig.sock.getsockname()),
        (inside.getHost(), client.getpeername()),
        (inside.getPeer(), client.getsockname()),
        (factory.asked[0], client.getsockname()),
    ):
        assert (type(address), address.host, address.port) == (kind, *name[:2])
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_dual_stack_socket_serves_ipv4_clients(tmp_path: Path, running: Any) -> None:
    factory = _Echoes()
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    sock.setblocking(False)
    rig = _Rig(running, sock, factory)
    with socket.create_connection(("127.0.0.1", sock.getsockname()[1])) as client:
        await rig.until(lambda: factory.built)
        inside: Any = factory.built[0].transport
        assert inside.getPeer().host == f"::ffff:{client.getsockname()[0]}"
        client.setblocking(False)
        client.send(b"x")
        assert await rig.answer(client, 1) == b"x"
    await rig.end(factory)


@pytest.mark.parametrize(
    ("bound", "known"),
    [
        (None, None),
        (b"client\xff\x1b\n", b"client\xff\x1b\n"),
        (b"\0netsvc-test-abstract", b"\0netsvc-test-abstract"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_unix_client_has_its_path_or_none(
    bound: bytes | None, known: bytes | None, tmp_path: Path, running: Any
) -> None:
    if bound is not None and not bound.startswith(b"\0"):
        bound = known = os.fsencode(tmp_path) + b"/" + bound
    if bound is not None and bound.startswith(b"\0"):
        bound = known = bound + b"%d" % os.getpid()
    factory = _Echoes()
    rig = _Rig(running, _listening("unix", tmp_path), factory)
    rig.client(bound)
    await rig.until(lambda: factory.built)
    inside: Any = factory.built[0].transport
    assert inside.getPeer().name == known
    assert isinstance(factory.asked[0], UNIXAddress)
    assert factory.asked[0].name == known
    assert inside.getHost().name == os.fsencode(tmp_path / "sock")
    assert rig.port.getHost() == UNIXAddress(str(tmp_path / "sock"))
    assert inside.logPrefix().isprintable()
    await rig.end(factory)


def test_a_link_local_peer_keeps_its_scope() -> None:
    loopback = socket.if_nametoindex("lo")
    assert _with_scope(("fe80::1", 4000, 0, loopback)) == ("fe80::1%lo", 4000, 0, loopback)
    assert _with_scope(("2001:db8::1", 4000, 0, 0)) == ("2001:db8::1", 4000, 0, 0)
    assert _with_scope(("192.0.2.1", 4000)) == ("192.0.2.1", 4000)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_tcp_answers_are_not_held_back(tmp_path: Path, running: Any) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening("tcp4", tmp_path), factory)
    rig.client()
    await rig.until(lambda: factory.built)
    inside: Any = factory.built[0].transport
    assert inside.getTcpNoDelay()
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_descriptor_that_a_client_sends_is_not_kept(tmp_path: Path, running: Any) -> None:
    factory = _Echoes()
    rig = _Rig(running, _listening("unix", tmp_path), factory)
    client = rig.client()
    client.send(b"x")
    assert await rig.answer(client, 1) == b"x"
    reading, writing = os.pipe()
    sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * 10))]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        client.sendmsg([b"0123456789"], sent)
        # The bytes that carry it are data as any other.
        assert await rig.answer(client, 10) == b"0123456789"
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(writing)
    # Whoever kept a copy would keep the pipe from its end.
    assert os.read(reading, 1) == b""
    os.close(reading)
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_whom_the_factory_refuses_is_closed(tmp_path: Path, running: Any) -> None:
    class Refusing(_Echoes):
        def buildProtocol(self, addr: IAddress) -> IProtocol | None:
            return None

    rig = _Rig(running, _listening("tcp4", tmp_path), Refusing())
    assert await rig.answer(rig.client(), 1) == b""
    await rig.end()


class _FailsAtFirst(_Echoes):
    """Raises for its first client, in one way or another."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        if len(self.asked) or self._how == "connecting":
            protocol: Any = super().buildProtocol(addr)
            if len(self.asked) == 1:
                protocol.connectionMade = self._fail
            return protocol  # type: ignore[no-any-return]
        self.asked.append(addr)
        self._fail()
        return None

    def _fail(self) -> None:
        raise RuntimeError("a fault of this one connection's")


@pytest.mark.parametrize("how", ["building", "connecting"])
@pytest.mark.parametrize("transport", ["tcp4", "unix"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_connection_that_fails_as_it_begins_ends_and_the_port_goes_on(
    how: str, transport: str, tmp_path: Path, running: Any, flush_logged: Callable[[], str]
) -> None:
    factory = _FailsAtFirst(how)
    rig = _Rig(running, _listening(transport, tmp_path), factory)
    before = len(os.listdir("/proc/self/fd"))
    first = rig.client()
    assert await rig.answer(first, 1) == b""
    first.close()
    assert "a fault of this one connection's" in flush_logged()
    await rig.until(lambda: len(os.listdir("/proc/self/fd")) == before)
    second = rig.client()
    second.send(b"x")
    assert await rig.answer(second, 1) == b"x"
    await rig.end(factory)


class _Scripted(socket.socket):
    """A socket whose next accepts fail as a test wants it: the numbers of the errors, 0 for none."""

    errors: list[int]

    def accept(self) -> tuple[socket.socket, Any]:
        number = self.errors.pop(0) if self.errors else 0
        if number:
            raise OSError(number, os.strerror(number))
        return super().accept()


def _script(rig: _Rig, *numbers: int) -> None:
    assert isinstance(rig.sock, _Scripted)
    rig.sock.errors = list(numbers)


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[tuple[_Rig, MemoryReactorClock, _Echoes]]:
    factory, reactor = _Echoes(), MemoryReactorClock()
    with _listening("unix", tmp_path, _Scripted) as sock:
        rig = _Rig(reactor, sock, factory)
        _script(rig)
        yield rig, reactor, factory
        _close(reactor, rig)


_Made = tuple[_Rig, MemoryReactorClock, _Echoes]


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR])
def test_a_client_that_is_gone_before_it_is_accepted_delays_nobody(scripted: _Made, number: int) -> None:
    rig, _, factory = scripted
    rig.client()
    _script(rig, number, number)
    rig.port.doRead()
    assert len(factory.built) == 1


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
def test_when_the_system_cannot_accept_it_rests_with_one_line_and_then_goes_on(
    scripted: _Made, number: int, flush_logged: Callable[[], str]
) -> None:
    rig, reactor, factory = scripted
    rig.client()
    _script(rig, number)
    rig.port.doRead()
    assert rig.port not in reactor.getReaders()
    assert flush_logged().count("cannot accept") == 1
    reactor.advance(1)
    assert rig.port in reactor.getReaders()
    rig.port.doRead()
    assert len(factory.built) == 1


def test_out_of_descriptors_one_newcomer_after_the_other_is_closed_and_told(scripted: _Made) -> None:
    rig, reactor, factory = scripted
    clients = [rig.client() for _ in range(2)]
    # The last one: nobody waits, which shows only once there is a descriptor.
    _script(rig, errno.EMFILE, 0, errno.ENFILE, 0, errno.EMFILE)
    rig.port.doRead()
    assert [client.recv(1) for client in clients] == [b"", b""]
    assert len(rig.turned_away) == 2
    assert factory.built == []
    assert rig.port in reactor.getReaders()


def test_without_even_a_spare_descriptor_it_rests(scripted: _Made, flush_logged: Callable[[], str]) -> None:
    rig, reactor, factory = scripted
    rig.client()
    _script(rig, errno.EMFILE, errno.EMFILE)
    rig.port.doRead()
    assert rig.port not in reactor.getReaders()
    assert flush_logged().count("cannot accept") == 1
    assert rig.turned_away == []
    reactor.advance(1)
    rig.port.doRead()
    assert len(factory.built) == 1


def test_a_port_that_rests_can_be_stopped(scripted: _Made) -> None:
    rig, reactor, _ = scripted
    rig.client()
    _script(rig, errno.ENOMEM)
    rig.port.doRead()
    rig.port.stopListening()
    reactor.advance(0)
    assert reactor.getDelayedCalls() == []
    assert rig.port.fileno() == -1


def test_a_port_that_never_started_closes_its_socket(tmp_path: Path) -> None:
    class Failing(_Echoes):
        def doStart(self) -> None:
            raise RuntimeError("cannot start")

    reactor = MemoryReactorClock()
    rig = _Rig(reactor, _listening("tcp4", tmp_path), Failing(), start=False)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError, match="cannot start"):
        rig.port.startListening()
    assert rig.port.stopListening().called
    assert rig.port.fileno() == -1
    assert len(os.listdir("/proc/self/fd")) == before - 1


# Descriptors cannot run out in the tests' own process without harming others: a process of its own serves.
_SERVER = """
import os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo
from netsvc.net.accept import AcceptPort

away, logged = [], []

class Talk(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        self.sendLine(b"%d %d" % (len(away), len(logged)))
    def connectionLost(self, reason):
        reactor.stop()

sock = socket.socket(getattr(socket, sys.argv[1]))
sock.bind(sys.argv[2] if sys.argv[1] == "AF_UNIX" else ("127.0.0.1", 0))
sock.listen(1000)
sock.setblocking(False)
globalLogPublisher.addObserver(logged.append)
AcceptPort(sock, Factory.forProtocol(Echo), reactor, away.append).startListening()
logged.clear()
name = sock.getsockname()
print(name if sys.argv[1] == "AF_UNIX" else name[1], flush=True)
stdio.StandardIO(Talk())
reactor.run()
"""


class _Server:
    """A server in a process that has 64 descriptors."""

    def __init__(self, family: socket.AddressFamily, path: Path) -> None:
        self._family = family
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, family.name, str(path / "sock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        name = self._line()
        self._address: Any = name if family == socket.AF_UNIX else ("127.0.0.1", int(name))

    def connect(self) -> socket.socket:
        client = socket.socket(self._family)
        client.settimeout(30)
        client.connect(self._address)
        return client

    def counts(self) -> tuple[int, int]:
        """How many clients were turned away, and how many lines the log has."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        away, logged = self._line().split()
        return int(away), int(logged)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(params=["AF_INET", "AF_UNIX"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Server]:
    made = _Server(socket.AddressFamily[request.param], tmp_path)
    yield made
    made.close()


def _is_inside(client: socket.socket) -> bool:
    """Whether a client is answered; one that is turned away finds the connection closed, or reset."""
    try:
        client.sendall(b"x")
        return client.recv(1) == b"x"
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_out_of_descriptors_those_inside_go_on_newcomers_are_closed_and_it_recovers(server: _Server) -> None:
    clients = [server.connect() for _ in range(200)]
    inside = [client for client in clients if _is_inside(client)]
    assert 30 < len(inside) < 64
    turned_away = len(clients) - len(inside)
    assert server.counts() == (turned_away, 0)
    assert all(_is_inside(client) for client in inside)
    for client in clients:
        if client not in inside:
            client.close()
    inside.pop().close()
    for _ in range(1000):
        # The place is free when the server has seen its client go.
        newcomer = server.connect()
        if _is_inside(newcomer):
            break
        newcomer.close()
    else:
        pytest.fail("it never recovered")
    assert all(_is_inside(client) for client in inside)
    newcomer.close()
    for client in inside:
        client.close()
