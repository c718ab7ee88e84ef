"""`netsvc.net.datagram` over the system's own sockets, driven by the reactor."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater

from netsvc.facts import RECEIVED, REFUSED, SENT, Facts, Row
from netsvc.interfaces import Arrival, IArrivalDatagramTransport
from netsvc.net.datagram import LARGEST, DatagramPort, OwnAddresses
from netsvc.settings import Limits
from tests.net.datagram_rig import Echo, Rows

pytestmark = pytest.mark.live

#: Seconds after which a test that waits for a datagram has failed.
PATIENCE = 20


class AwaitedRows(Rows):
    """Facts that a test can wait for."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def note(self, row: Row) -> None:
        super().note(row)
        for waiting in list(self._waiting):
            if waiting[0]():
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def until(self, holds: Callable[[], bool]) -> Deferred[None]:
        """Wait until a condition on the facts holds."""
        done: Deferred[None] = Deferred()
        if holds():
            done.callback(None)
        else:
            self._waiting.append((holds, done))
        return done.addTimeout(PATIENCE, self._reactor)

    def count(self, kind: str, number: int) -> Deferred[None]:
        """Wait until there are so many facts of a kind."""
        return self.until(lambda: len(self.of(kind)) >= number)


class Live:
    """
    Opens ports and clients for a test, and closes them.

    @ivar facts: of all ports, where a test's own do not say otherwise.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._ports: list[DatagramPort] = []
        self._sockets: list[socket.socket] = []

    def port(
        self,
        host: str = "127.0.0.1",
        protocol: DatagramProtocol | None = None,
        own: OwnAddresses | None = None,
        buffer: int = 4 * 1024 * 1024,
        v6_only: bool = False,
        path: str = "",
        **limits: Any,
    ) -> tuple[DatagramPort, AwaitedRows]:
        """A port on an address, or on a UNIX socket's path, and the facts of it."""
        if path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.bind(path)
        else:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            if ":" in host:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6_only))
            sock.bind((host, 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        rows, facts = AwaitedRows(self.reactor), Facts()
        facts.subscribe(rows)
        port = DatagramPort(
            sock,
            Echo() if protocol is None else protocol,
            self.reactor,
            facts,
            "echo",
            f"unix-datagram://{path}" if path else "udp://",
            "unix-datagram" if path else "udp",
            dataclasses.replace(Limits(), **limits),
            OwnAddresses() if own is None else own,
        )
        port.startListening()
        self._ports.append(port)
        return port, rows

    def client(self, port: DatagramPort, host: str = "127.0.0.1") -> socket.socket:
        """A socket that sends to a port, and to which the system gives only what comes from that address."""
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        client.connect((host, number(port)))
        return self.keep(client)

    def keep(self, client: socket.socket) -> socket.socket:
        """Close a socket at the end of the test."""
        client.setblocking(False)
        self._sockets.append(client)
        return client

    def close(self) -> None:
        """Close everything, and wait until it is closed."""
        for port in self._ports:
            pytest_twisted.blockon(port.stopListening())
        for client in self._sockets:
            client.close()

    async def turns(self, count: int = 5) -> None:
        """Let the reactor go round."""
        for _ in range(count):
            await deferLater(self.reactor, 0)


@pytest.fixture
def live(started_reactor: Any) -> Iterator[Live]:
    """What opens and closes ports."""
    live = Live(started_reactor)
    yield live
    live.close()


def number(port: DatagramPort) -> int:
    """The port's number."""
    return cast(int, cast(Any, port.getHost()).port)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize(
    ("bound", "asked", "client"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("0.0.0.0", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2", "127.0.0.1"),
        ("::", "::1", "::1"),
        ("::", "127.0.0.1", "127.0.0.1"),
        ("::", "127.0.0.2", "127.0.0.1"),
    ],
)
async def test_an_answer_leaves_from_the_address_that_was_asked(
    live: Live, bound: str, asked: str, client: str
) -> None:
    port, rows = live.port(bound)
    sender = live.client(port, asked)
    sender.send(b"hello")
    await rows.count(SENT, 1)
    assert sender.recv(100) == b"hello"
    local = f"[{asked}]:{number(port)}" if ":" in asked else f"{asked}:{number(port)}"
    source: tuple[str, int] = sender.getsockname()[:2]
    for fact in rows.facts:
        assert fact.origin.local == local
        assert (fact.origin.address, fact.origin.port) == source
    assert cast(Echo, port.protocol).got == [(b"hello", source)]
    assert port.arrival_of(source) == Arrival("udp", *source, asked, number(port))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_answer_that_is_written_later_leaves_from_there_too(live: Live) -> None:
    port, rows = live.port("0.0.0.0", DatagramProtocol())
    one, other = live.client(port, "127.0.0.2"), live.client(port, "127.0.0.3")
    one.send(b"hello")
    other.send(b"hello")
    await rows.count(RECEIVED, 2)
    await live.turns()
    for client in (one, other):
        port.write(b"later", client.getsockname())
        assert client.recv(100) == b"later"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_one_client_that_asks_two_addresses_is_answered_from_both(live: Live) -> None:
    port, rows = live.port("0.0.0.0")
    client = live.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    for turn, asked in enumerate(["127.0.0.2", "127.0.0.3", "127.0.0.2"], 1):
        client.sendto(b"hello", (asked, number(port)))
        await rows.count(SENT, turn)
        assert client.recvfrom(100) == (b"hello", (asked, number(port)))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
async def test_who_asks_two_addresses_in_one_turn_is_answered_from_both(live: Live, bound: str) -> None:
    port, rows = live.port(bound)
    client = live.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    asked = ["127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.2"]
    for address in asked:
        client.sendto(address.encode(), (address, number(port)))
    await rows.count(SENT, len(asked))
    for address in asked:
        assert client.recvfrom(100) == (address.encode(), (address, number(port)))
    for fact in rows.facts:
        assert fact.data is not None
        assert fact.origin.local == f"{fact.data.decode()}:{number(port)}"


class _Later(DatagramProtocol):
    """Keeps what each datagram can be answered with."""

    def __init__(self) -> None:
        self.answers: list[Callable[[bytes], None]] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.answers.append(IArrivalDatagramTransport(self.transport).answer_to(addr))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
async def test_each_datagram_can_be_answered_later_from_where_it_asked(live: Live, bound: str) -> None:
    service = _Later()
    port, rows = live.port(bound, service)
    client = live.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    asked = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    for address in asked:
        client.sendto(b"hello", (address, number(port)))
    await rows.count(RECEIVED, len(asked))
    await live.turns()
    for answer, address in zip(service.answers, asked, strict=True):
        answer(b"later")
        assert client.recvfrom(100) == (b"later", (address, number(port)))
        assert rows.of(SENT)[-1].origin.local == f"{address}:{number(port)}"
        # What is not asked to leave from elsewhere leaves from where was asked last.
        port.write(b"last", client.getsockname())
        assert client.recvfrom(100) == (b"last", (asked[-1], number(port)))
    assert port.arrival_of(client.getsockname()).local_address == asked[-1]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_on_one_address_too_a_datagram_can_be_answered_later(live: Live) -> None:
    service = _Later()
    port, rows = live.port(protocol=service)
    client = live.client(port)
    client.send(b"hello")
    await rows.count(RECEIVED, 1)
    await live.turns()
    service.answers[0](b"later")
    assert client.recv(100) == b"later"
    port.answer_to(("127.0.0.1", 9999))(b"who is that?")
    assert rows.reasons() == ["reply_factor"]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_largest_datagrams_come_and_go_whole(live: Live, host: str) -> None:
    port, rows = live.port(host)
    client = live.client(port, host)
    data = os.urandom(LARGEST)
    client.send(data)
    await rows.count(SENT, 1)
    assert client.recv(LARGEST + 1) == data
    assert rows.of(RECEIVED)[0].length == LARGEST


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_none_of_a_thousand_at_once_is_lost(live: Live) -> None:
    port, rows = live.port(protocol=DatagramProtocol())
    # What the system allows may be less than a thousand: then it is as many at once as fit.
    room = port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 4096
    client = live.client(port)
    sent = [b"%04d" % turn + bytes(1196) for turn in range(1000)]
    for start in range(0, len(sent), room):
        for data in sent[start : start + room]:
            client.send(data)
        await rows.count(RECEIVED, min(start + room, len(sent)))
    assert [fact.data for fact in rows.of(RECEIVED)] == sent
    port.check_drops()
    assert port.dropped == 0


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_flood_of_empty_datagrams_leaves_others_their_turns(live: Live) -> None:
    port, rows = live.port(protocol=DatagramProtocol())
    room = port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 1024
    count = min(1000, room)
    client = live.client(port)
    for _ in range(count):
        client.send(b"")
    turns = 0
    while len(rows.of(RECEIVED)) < count:
        before = len(rows.of(RECEIVED))
        await deferLater(live.reactor, 0)
        assert len(rows.of(RECEIVED)) - before <= 64
        turns += 1
    assert turns >= count // 64


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_does_not_fit_into_the_receive_buffer_is_counted(live: Live) -> None:
    port, rows = live.port(protocol=DatagramProtocol(), buffer=0)
    client = live.client(port)
    for _ in range(200):
        client.send(b"x" * 100)
    await rows.count(RECEIVED, 1)
    await live.turns()
    port.check_drops()
    assert port.dropped > 0
    assert port.dropped + len(rows.of(RECEIVED)) == 200
    assert rows.of(REFUSED)[-1].reason == "receive_buffer"
    assert rows.of(REFUSED)[-1].detail == (("count", port.dropped),)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("chains", [1, 20])
async def test_two_echo_ports_of_two_daemons_fall_silent(live: Live, chains: int) -> None:
    one, one_rows = live.port(loop_limit=100)
    other, other_rows = live.port(loop_limit=100)
    for turn in range(chains):
        # Forged: sent as if the one daemon had asked the other.
        one.getHandle().sendto(b"ping %d" % turn, ("127.0.0.1", number(other)))
    await _silence(live, one_rows, other_rows, chains)
    reasons = set(one_rows.reasons() + other_rows.reasons())
    assert reasons == {"loop_limit"}
    assert len(one_rows.of(SENT)) + len(other_rows.of(SENT)) < 100_000


async def _silence(live: Live, one: AwaitedRows, other: AwaitedRows, chains: int) -> None:
    """Wait until each chain of answers has ended in one that was withheld."""
    for _ in range(100_000):
        if len(one.reasons()) + len(other.reasons()) >= chains:
            break
        await live.turns(1)
    before = len(one.facts), len(other.facts)
    await live.turns(20)
    assert (len(one.facts), len(other.facts)) == before


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
async def test_two_ports_of_one_daemon_do_not_answer_each_other_once(live: Live, host: str) -> None:
    own = OwnAddresses()
    one, _ = live.port(own=own)
    other, rows = live.port(host, own=own)
    one.getHandle().sendto(b"ping", ("127.0.0.1", number(other)))
    await rows.count(REFUSED, 1)
    assert rows.reasons() == ["own_listener"]
    assert rows.of(SENT) == []


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_client_that_has_gone_costs_nobody_else_anything(live: Live) -> None:
    port, rows = live.port()
    gone, client = live.client(port), live.client(port)
    gone.send(b"bye")
    gone.close()
    await rows.count(SENT, 1)
    client.send(b"hello")
    await rows.count(SENT, 2)
    assert client.recv(100) == b"hello"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_connected_port_outlives_the_errors_that_come_back(live: Live) -> None:
    port, rows = live.port()
    client = live.client(port)
    client.send(b"hello")
    await rows.count(SENT, 1)
    source = client.getsockname()
    port.connect(*source)
    client.close()
    port.write(b"x", source)
    # The system's "port unreachable" arrives, and the reactor takes it for an end.
    for _ in range(1000):
        if port.errors:
            break
        await live.turns(1)
    assert port.errors
    again = live.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    again.bind(source)
    again.sendto(b"once more", ("127.0.0.1", number(port)))
    await rows.count(RECEIVED, 2)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_unix_datagrams_are_answered_by_name(live: Live, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    port, rows = live.port(path=path)
    client = live.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.bind(str(tmp_path / "client.sock"))
    client.sendto(b"hello", path)
    await rows.count(SENT, 1)
    assert client.recvfrom(100) == (b"hello", path)
    received = rows.of(RECEIVED)[0].origin
    assert (received.address, received.port, received.local) == (str(tmp_path / "client.sock"), None, path)
    assert port.getHost().name == path.encode()  # type: ignore[union-attr]
    assert port.arrival_of(received.address) == Arrival("unix-datagram", received.address, None, path, None)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_unix_sender_without_a_name_is_heard_and_not_answered(live: Live, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    port, rows = live.port(path=path)
    client = live.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.sendto(b"hello", path)
    await rows.count(REFUSED, 1)
    assert cast(Echo, port.protocol).got == [(b"hello", "")]
    assert rows.reasons() == ["no_address"]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_abstract_name_is_shown_with_an_at_sign(live: Live, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    _, rows = live.port(path=path)
    client = live.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.bind(b"\0netsvc test %d" % os.getpid())
    client.sendto(b"hello", path)
    await rows.count(SENT, 1)
    assert client.recv(100) == b"hello"
    assert rows.of(SENT)[0].origin.address == f"@netsvc test {os.getpid()}"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_unix_client_that_has_gone_or_does_not_read_is_a_fact(live: Live, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    port, rows = live.port(path=path)
    client = live.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.bind(str(tmp_path / "client.sock"))
    client.sendto(b"hello", path)
    await rows.count(SENT, 1)
    while not rows.reasons():
        port.write(b"", str(tmp_path / "client.sock"))
    while rows.reasons()[-1] == "reply_factor":
        client.sendto(b"x" * 1000, path)
        await rows.count(RECEIVED, len(rows.of(RECEIVED)) + 1)
        await live.turns()
        port.write(b"", str(tmp_path / "client.sock"))
        port.write(b"", str(tmp_path / "client.sock"))
    assert rows.reasons()[-1] == "send_buffer"
    client.close()
    port.write(b"", str(tmp_path / "client.sock"))
    assert rows.reasons()[-1] == "system_error"
    assert rows.of(REFUSED)[-1].detail == (("error", "ECONNREFUSED"),)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_unix_datagram_that_would_be_cut_is_refused(live: Live, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    port, rows = live.port(path=path)
    client = live.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    client.bind(str(tmp_path / "client.sock"))
    client.sendto(b"x" * 100_000, path)
    client.sendto(b"hello", path)
    await rows.count(SENT, 1)
    assert rows.reasons() == ["message_length"]
    assert [data for data, _ in cast(Echo, port.protocol).got] == [b"hello"]
