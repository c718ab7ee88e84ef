"""Reading the configuration again, with real sockets and services, where something comes in between."""

from __future__ import annotations

import errno
import gc
import os
import socket
import stat
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from netsvc.assembly import serving
from netsvc.assembly.reload import changed_at_start
from netsvc.configuration import CommandLine, Configuration, configuration_of
from netsvc.daemon import Daemon
from netsvc.registry import discover
from netsvc.settings import SettingError
from netsvc.tap import Assembly
from tests.ports import free_port

pytestmark = pytest.mark.live

_REGISTRY = discover()


def configuration(**tables: Any) -> Configuration:
    """What a configuration file with such tables says."""
    return configuration_of(CommandLine(), _REGISTRY, tables, "netsvc.toml")


class _Endpoint:
    """An endpoint that takes its time."""

    def __init__(self) -> None:
        self.opening: Deferred[Any] = Deferred(lambda _: self.cancelled.append(True))
        self.cancelled: list[bool] = []
        self.asked: list[object] = []

    def listen(self, factory: object) -> Deferred[Any]:
        self.asked.append(factory)
        return self.opening


class _Port:
    """What such an endpoint has opened."""

    def __init__(self) -> None:
        self.stopped = 0

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    def stopListening(self) -> None:
        self.stopped += 1


class House:
    """A daemon in this process, whose configuration a test gives."""

    def __init__(self, reactor: Any, **tables: Any) -> None:
        self.reactor = reactor
        self.now: Callable[[], Configuration] = lambda: configuration(**tables)
        assembly = Assembly(self.now(), reactor)
        self.common = assembly._common
        self.daemon: Daemon = assembly.daemon()
        self._reload = assembly.reload(self.daemon, lambda: self.now())
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)  # type: ignore[arg-type]
        self.daemon.startService()

    def _observe(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))

    def again(self, **tables: Any) -> Deferred[None]:
        """Read a configuration with such tables."""
        self.now = lambda: configuration(**tables)
        return Deferred.fromCoroutine(self._reload.again())

    def places(self) -> list[str]:
        return [listener.place().listener for listener in self.daemon.listeners]

    def rates(self, listener: str) -> list[float]:
        """Lines that the log has for a listener's messages, and for its refusals, in a second."""
        log = self.common.log
        return [log._second_of(listener, reason).allowed for reason in ("", "allow")]

    async def end(self) -> None:
        if self.daemon.running:
            await self.daemon.stopService()
        globalLogPublisher.removeObserver(self._observe)  # type: ignore[arg-type]


_ECHO = {"listen": "tcp://127.0.0.1:0"}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> _Endpoint:
    endpoint = _Endpoint()
    monkeypatch.setattr(serving, "serverFromString", lambda reactor, description: endpoint)
    return endpoint


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> dict[str, _Endpoint]:
    """One for each description, from when it is asked for."""
    found: dict[str, _Endpoint] = defaultdict(_Endpoint)
    monkeypatch.setattr(serving, "serverFromString", lambda reactor, description: found[description])
    return found


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_daemon_that_has_stopped_meanwhile_opens_nothing(started_reactor: Any) -> None:
    house = House(started_reactor, echo=_ECHO)
    reading = house.again(echo=_ECHO, chat={"listen": "tcp://127.0.0.1:0"})
    await house.daemon.stopService()
    before = _descriptors()
    await reading
    assert _descriptors() == before
    assert not any("read again" in line for line in house.lines)
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_until_an_endpoint_is_open_nobody_else_is_let_in(started_reactor: Any, slow: _Endpoint) -> None:
    house = House(started_reactor, echo=_ECHO)
    places = house.places()
    port = free_port()
    reading = house.again(
        echo=_ECHO, greeting={"listen": f"tcp://127.0.0.1:{port}"}, timestamp={"listen": "tcp:0"}
    )
    client = await _connected(started_reactor, port)
    await deferLater(started_reactor, 0.05)
    assert house.places() == places
    with pytest.raises(BlockingIOError):
        client.recv(99)
    slow.opening.errback(OSError("not today"))
    await reading
    assert house.places() == places
    assert any("refused" in line and "timestamp.listen tcp:0: not today" in line for line in house.lines)
    await deferLater(started_reactor, 0.01)
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port))
    client.close()
    await house.end()


async def _connected(reactor: Any, port: int) -> socket.socket:
    """A connection to a port, as soon as somebody listens there."""
    while True:
        client = socket.socket()
        try:
            client.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            client.close()
            await deferLater(reactor, 0.005)
        else:
            client.setblocking(False)
            return client


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_daemon_that_stops_while_an_endpoint_opens_gives_it_up(
    started_reactor: Any, slow: _Endpoint
) -> None:
    house, port = House(started_reactor, echo=_ECHO), _Port()
    reading = house.again(echo=_ECHO, timestamp={"listen": "tcp:0"})
    while not slow.asked:
        await deferLater(started_reactor, 0.005)
    await house.daemon.stopService()
    slow.opening.callback(port)
    await reading
    assert port.stopped == 1
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_had_started_is_stopped_when_something_later_cannot_be(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netsvc.services.echo import EchoDatagram, EchoFactory

    told: list[str] = []
    monkeypatch.setattr(EchoFactory, "startFactory", lambda self: told.append("start"))
    monkeypatch.setattr(EchoFactory, "stopFactory", lambda self: told.append("stop"))
    house = House(started_reactor, echo={"listen": "127.0.0.1:0"})
    places, before = house.places(), _descriptors()
    told.clear()

    def fail(self: object) -> None:
        raise OSError("not today")

    monkeypatch.setattr(EchoDatagram, "startProtocol", fail)
    await house.again(
        chat={"listen": "tcp://127.0.0.1:0"}, echo={"listen": "127.0.0.1:0", "write_timeout": 5.0}
    )
    assert told == ["start", "stop"]
    await deferLater(started_reactor, 0.01)
    assert (house.places(), _descriptors()) == (places, before)
    assert any("refused" in line and "not today" in line for line in house.lines)
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_sockets_are_closed_again_whose_listener_cannot_be_made(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from netsvc.services.greeting import GreetingFactory

    def fail(self: object, **settings: object) -> None:
        raise ValueError("not today")

    house = House(started_reactor, echo=_ECHO)
    places, before = house.places(), _descriptors()
    monkeypatch.setattr(GreetingFactory, "__init__", fail)
    path = tmp_path / "greeting"
    await house.again(echo=_ECHO, greeting={"listen": ["tcp://127.0.0.1:0", f"unix://{path}"]})
    await house.again(echo=_ECHO, greeting={"listen": [f"unix://{path}"]})
    assert [line for line in house.lines if "refused" in line and "not today" in line]
    assert (house.places(), _descriptors(), path.exists()) == (places, before, False)
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_the_new_hold_when_the_reactor_turns_next(started_reactor: Any) -> None:
    house = House(started_reactor, echo=_ECHO)
    (echo,) = house.places()
    await house.again(chat={"listen": "tcp://127.0.0.1:0"}, echo=_ECHO)
    assert len(house.places()) == 2
    assert echo in house.places()
    await house.again(chat={"listen": "tcp://127.0.0.1:0"})
    assert echo not in house.places()
    assert "echo leaves " + echo in house.lines
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_cannot_be_read_is_told_and_nothing_else(started_reactor: Any) -> None:
    house = House(started_reactor, echo=_ECHO)
    await house.again(ecoh=_ECHO)
    assert [line for line in house.lines if "refused" in line] == [
        "the configuration is refused, the one before goes on: netsvc.toml: ecoh: no such table or service; "
        "did you mean echo?"
    ]
    await house.end()


def test_what_only_a_restart_changes() -> None:
    echo = {"listen": 7}
    before = configuration(echo=echo)
    assert list(changed_at_start(before, configuration(echo=echo, net={"shutdown_grace": 1}))) == []
    after = configuration(
        echo=echo,
        journal={"file": "j.db", "age": 1},
        timeline={"capture": 5, "timeline_memory": 70_000},
        limits={"idle_timeout": 5},
        web={"max_body": 5},
    )
    assert list(changed_at_start(before, after)) == [
        "timeline.timeline_memory",
        "journal.file",
        "journal.age",
    ]


def test_a_listener_that_is_wanted_twice_is_refused_at_start_too(started_reactor: Any) -> None:
    port = free_port()
    where = {"listen": f"tcp://127.0.0.1:{port}"}
    with pytest.raises(SettingError, match="is in use"):
        Assembly(configuration(echo=where, chat=where), started_reactor).daemon()


# -- endpoints that nothing comes of ---------------------------------------------------------------------


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_endpoint_that_is_open_is_closed_when_something_later_is_refused(
    started_reactor: Any,
) -> None:
    house, port = House(started_reactor, echo=_ECHO), free_port()
    places = house.places()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        await house.again(echo=_ECHO, daytime={"listen": [f"tcp:{port}:interface=127.0.0.1", taken]})
    assert [line for line in house.lines if "refused" in line and "is in use" in line]
    await deferLater(started_reactor, 0.01)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert house.places() == places
    await house.end()


@pytest.mark.parametrize("second", ["opens", "fails", "takes its time"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_when_one_endpoint_fails_nothing_stays_of_another_that_was_asked_for(
    started_reactor: Any, endpoints: dict[str, _Endpoint], second: str
) -> None:
    house, port = House(started_reactor, echo=_ECHO), _Port()
    reading = house.again(echo=_ECHO, timestamp={"listen": ["tcp:0", "tcp:1"]})
    while len(endpoints) < 2:
        await deferLater(started_reactor, 0.005)
    if second == "opens":
        endpoints["tcp:1"].opening.callback(port)
    elif second == "fails":
        endpoints["tcp:1"].opening.errback(OSError("nor me"))
    endpoints["tcp:0"].opening.errback(OSError("not today"))
    await reading
    assert port.stopped == (second == "opens")
    assert endpoints["tcp:1"].cancelled == [True] * (second == "takes its time")
    # A failure that nobody took is told when it is thrown away.
    del reading
    endpoints.clear()
    gc.collect()
    assert [line for line in house.lines if "refused" in line and "tcp:0: not today" in line]
    assert not [line for line in house.lines if "Unhandled" in line]
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_endpoint_that_is_closed_still_says_where_it_was(started_reactor: Any) -> None:
    house = House(started_reactor, echo={"listen": "tcp:0:interface=127.0.0.1"})
    (listener,) = house.daemon.listeners
    await deferLater(started_reactor, 0)
    place = listener.place()
    assert place.address == "127.0.0.1"
    assert place.port
    await house.daemon.stopService()
    assert listener.place() == place
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_endpoints_with_one_description_go_on(started_reactor: Any) -> None:
    two = {"listen": ["tcp:0:interface=127.0.0.1"] * 2}
    house = House(started_reactor, echo=two, daytime=two)
    await deferLater(started_reactor, 0)
    before = [listener.place() for listener in house.daemon.listeners]
    await house.again(daytime=two, echo=two)
    after = [listener.place() for listener in house.daemon.listeners]
    assert sorted(after, key=repr) == sorted(before, key=repr)
    assert len({place.port for place in after}) == 4
    assert [line for line in house.lines if "4 as they were" in line]
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_an_endpoint_says_without_a_word_is_named(
    started_reactor: Any, endpoints: dict[str, _Endpoint]
) -> None:
    endpoints["tcp:0"].opening.errback(TimeoutError())
    house = House(started_reactor, echo=_ECHO)
    await house.again(echo=_ECHO, daytime={"listen": "tcp:0"})
    assert [
        line for line in house.lines if line.endswith("daytime.listen tcp:0: cannot listen: TimeoutError")
    ]
    await house.end()


# -- sockets that another service takes over -------------------------------------------------------------


def _backlog(listener: Any) -> int:
    """Of a socket that listens; the system tells it where it tells others of segments (tcp(7), TCP_INFO)."""
    info = listener.opened.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int.from_bytes(info[28:32], sys.byteorder)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_socket_that_another_service_takes_over_has_that_ones_mode_and_backlog(
    started_reactor: Any, tmp_path: Path
) -> None:
    path, port = tmp_path / "s", free_port()

    def wanted(mode: str, backlog: int) -> dict[str, Any]:
        return {"listen": [f"unix://{path}?mode={mode}", f"tcp://127.0.0.1:{port}?backlog={backlog}"]}

    house = House(started_reactor, echo=wanted("666", 5))
    for tables, mode, backlog in (
        ({"discard": wanted("600", 77)}, 0o600, 77),
        ({"discard": wanted("640", 78)}, 0o640, 78),
        ({"echo": wanted("666", 5)}, 0o666, 5),
    ):
        await house.again(**tables)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert _backlog(house.daemon.listeners[1]) == backlog
    await house.end()
    assert not path.exists()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_without_a_descriptor_for_a_socket_that_is_taken_over_it_is_refused_in_one_line(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    where = {"listen": f"tcp://127.0.0.1:{port}"}
    house = House(started_reactor, echo=where)

    def fail(self: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "dup", fail)
        await house.again(daytime=where)
    text = f"port {port} of 127.0.0.1 cannot be opened: Too many open files"
    assert [line for line in house.lines if "refused" in line and line.endswith(text)]
    await house.end()


# -- lines of the log ------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_refused_reload_leaves_the_rates_of_the_log(started_reactor: Any) -> None:
    where = f"tcp://127.0.0.1:{free_port()}"
    house = House(started_reactor, timestamp={"listen": where, "log_rate": 7.0, "refusal_log_rate": 8.0})
    assert house.rates(where) == [7, 8]
    other = {"listen": where, "log_rate": 1.0, "refusal_log_rate": 2.0}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await house.again(clients=other, echo={"listen": f"tcp://127.0.0.1:{taken.getsockname()[1]}"})
        assert [line for line in house.lines if "refused" in line and "is in use" in line]
        assert house.rates(where) == [7, 8]
    await house.again(clients=other)
    assert house.rates(where) == [1, 2]
    await house.end()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_the_web_service_carries_has_its_services_rate_of_now(started_reactor: Any) -> None:
    house = House(started_reactor, timestamp={**_ECHO, "log_rate": 7.0})
    url = "ws://127.0.0.1:1/ws/timestamp"
    house.common.view.guard_for("timestamp", url)
    assert house.rates(url)[0] == 7
    await house.again(timestamp={**_ECHO, "log_rate": 1.0})
    assert house.rates(url)[0] == 1
    await house.end()
