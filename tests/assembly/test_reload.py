"""Reading the configuration again, with real sockets and services, where something comes in between."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

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


class House:
    """A daemon in this process, whose configuration a test gives."""

    def __init__(self, reactor: Any, **tables: Any) -> None:
        self.reactor = reactor
        self.now: Callable[[], Configuration] = lambda: configuration(**tables)
        assembly = Assembly(self.now(), reactor)
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
    class Port:
        stopped = 0

        def getHost(self) -> None:
            raise AssertionError("nobody asks")

        def stopListening(self) -> None:
            self.stopped += 1

    house, port = House(started_reactor, echo=_ECHO), Port()
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
