"""`netsvc.net.accept`: a port over a listening socket that is open already."""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol
from twisted.internet.testing import MemoryReactorClock

from netsvc.net.accept import _with_scope
from tests.net.accept_rig import Echoes, Rig, listening

pytestmark = pytest.mark.live

_TRANSPORTS = ("tcp4", "tcp6", "unix")


@pytest.fixture
def running() -> Any:
    from twisted.internet import reactor

    return reactor


def test_it_is_a_listening_port(tmp_path: Path) -> None:
    with listening("tcp4", tmp_path) as sock:
        assert verifyObject(IListeningPort, Rig(MemoryReactorClock(), sock, Echoes(), start=False).port)


@pytest.mark.parametrize("transport", _TRANSPORTS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_clients_are_served_and_a_stop_closes_the_socket(
    transport: str, tmp_path: Path, running: Any
) -> None:
    factory = Echoes()
    rig = Rig(running, listening(transport, tmp_path), factory)
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
    factory = Echoes()
    rig = Rig(running, listening(transport, tmp_path), factory)
    client = rig.client()
    client.send(b"a")
    assert await rig.answer(client, 1) == b"a"
    await rig.port.stopListening()
    client.send(b"b")
    assert await rig.answer(client, 1) == b"b"
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_more_clients_than_one_turn_accepts_are_all_served(tmp_path: Path, running: Any) -> None:
    factory = Echoes()
    rig = Rig(running, listening("unix", tmp_path), factory)
    clients = [rig.client() for _ in range(90)]
    await rig.until(lambda: len(factory.built) == 90)
    for client in clients:
        client.send(b"x")
        assert await rig.answer(client, 1) == b"x"
    await rig.end(factory)


def test_one_turn_accepts_a_number_and_leaves_the_rest_for_the_next(tmp_path: Path) -> None:
    factory, reactor = Echoes(), MemoryReactorClock()
    with listening("unix", tmp_path) as sock:
        rig = Rig(reactor, sock, factory)
        for _ in range(90):
            rig.client()
        rig.port.doRead()
        assert len(factory.built) == 64
        rig.port.doRead()
        assert len(factory.built) == 90
        rig.port.doRead()
        _close(reactor, rig)


def _close(reactor: MemoryReactorClock, rig: Rig) -> None:
    """End a port, and what it accepted, in a reactor that does not run by itself."""
    rig.close_clients()
    stopped = rig.port.stopListening()
    reactor.advance(0)
    assert stopped.called
    for reader in list(reactor.getReaders()):
        reader.abortConnection()
        reactor.advance(0)
    reactor.advance(0)
    assert reactor.getReaders() == []
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize("transport", ["tcp4", "tcp6"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_addresses_are_the_clients_and_the_one_that_it_reached(
    transport: str, tmp_path: Path, running: Any
) -> None:
    factory = Echoes()
    rig = Rig(running, listening(transport, tmp_path), factory)
    client = rig.client()
    await rig.until(lambda: factory.built)
    kind = IPv4Address if transport == "tcp4" else IPv6Address
    inside: Any = factory.built[0].transport
    told: list[tuple[Any, Any]] = [
        (rig.port.getHost(), rig.sock.getsockname()),
        (inside.getHost(), client.getpeername()),
        (inside.getPeer(), client.getsockname()),
        (factory.asked[0], client.getsockname()),
    ]
    for address, name in told:
        assert (type(address), address.host, address.port) == (kind, *name[:2])
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_dual_stack_socket_serves_ipv4_clients(tmp_path: Path, running: Any) -> None:
    factory = Echoes()
    sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    sock.setblocking(False)
    rig = Rig(running, sock, factory)
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
    factory = Echoes()
    rig = Rig(running, listening("unix", tmp_path), factory)
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
    factory = Echoes()
    rig = Rig(running, listening("tcp4", tmp_path), factory)
    rig.client()
    await rig.until(lambda: factory.built)
    inside: Any = factory.built[0].transport
    assert inside.getTcpNoDelay()
    await rig.end(factory)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_descriptor_that_a_client_sends_is_not_kept(tmp_path: Path, running: Any) -> None:
    factory = Echoes()
    rig = Rig(running, listening("unix", tmp_path), factory)
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
    class Refusing(Echoes):
        def buildProtocol(self, addr: IAddress) -> IProtocol | None:
            return None

    rig = Rig(running, listening("tcp4", tmp_path), Refusing())
    assert await rig.answer(rig.client(), 1) == b""
    await rig.end()


class _FailsAtFirst(Echoes):
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
    rig = Rig(running, listening(transport, tmp_path), factory)
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


def _script(rig: Rig, *numbers: int) -> None:
    assert isinstance(rig.sock, _Scripted)
    rig.sock.errors = list(numbers)


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[tuple[Rig, MemoryReactorClock, Echoes]]:
    factory, reactor = Echoes(), MemoryReactorClock()
    with listening("unix", tmp_path, _Scripted) as sock:
        rig = Rig(reactor, sock, factory)
        _script(rig)
        yield rig, reactor, factory
        _close(reactor, rig)


_Made = tuple[Rig, MemoryReactorClock, Echoes]


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


def test_a_port_that_rests_takes_nobody_in_and_ends_for_good(
    scripted: _Made, flush_logged: Callable[[], str]
) -> None:
    rig, reactor, _ = scripted
    rig.client()
    _script(rig, *[errno.ENOBUFS] * 1000)
    rig.port.take_in()
    rig.port.end()
    assert flush_logged().count("cannot accept") == 1
    assert reactor.getDelayedCalls() == []


def test_a_port_that_has_rested_long_enough_takes_in_who_waits(scripted: _Made) -> None:
    rig, reactor, factory = scripted
    rig.client()
    _script(rig, errno.ENOBUFS)
    rig.port.doRead()
    rig.port.take_in()
    rig.port.end()
    assert len(factory.built) == 1
    assert reactor.getDelayedCalls() == []


def test_a_port_that_never_started_closes_its_socket(tmp_path: Path) -> None:
    class Failing(Echoes):
        def doStart(self) -> None:
            raise RuntimeError("cannot start")

    reactor = MemoryReactorClock()
    rig = Rig(reactor, listening("tcp4", tmp_path), Failing(), start=False)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError, match="cannot start"):
        rig.port.startListening()
    assert rig.port.stopListening().called
    assert rig.port.fileno() == -1
    assert len(os.listdir("/proc/self/fd")) == before - 1


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_all_who_wait_are_taken_in_and_then_it_ends_at_once(tmp_path: Path, running: Any) -> None:
    factory = Echoes()
    rig = Rig(running, listening("tcp4", tmp_path), factory)
    clients = [rig.client() for _ in range(100)]
    rig.port.take_in()
    rig.port.end()
    assert len(factory.built) == 100
    assert (rig.port.fileno(), factory.running) == (-1, 0)
    for client in clients:
        client.send(b"x")
        assert await rig.answer(client, 1) == b"x"
    await rig.end(factory)
    assert factory.running == 0
