"""`netsvc.bridges`: the services over WebSocket, and what becomes of them when others can be reached."""

from __future__ import annotations

from typing import Any

import pytest

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from netsvc.bridges import Bridges
from netsvc.facts import Facts
from netsvc.net.listening import Listening
from netsvc.settings import Limits, SettingError

_SITE = "127.0.0.1:808"


class _Reluctant(Factory):
    """It cannot start the first time."""

    noisy = False

    def __init__(self) -> None:
        self.asked = 0

    def startFactory(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise OSError("not today")


class _House:
    """Services that can be reached, and how often each was started."""

    def __init__(self, *services: str) -> None:
        self.clock = Clock()
        self.running: list[str] = []
        self.bridges = Bridges({name: name for name in services}, self._listening, self.clock)

    def _listening(self, service: Any, url: str) -> Listening:
        running = self.running

        class Counted(Factory):
            noisy = False

            def startFactory(self) -> None:
                running.append(f"{service} {url}")

            def stopFactory(self) -> None:
                running.remove(f"{service} {url}")

        return Listening(
            service=service,
            listener=url,
            transport="ws",
            factory=Counted(),
            limits=Limits(),
            facts=Facts(),
            clock=self.clock,
        )

    def urls(self) -> list[str]:
        return [listener.place().listener for listener in self.bridges.listeners]


@pytest.fixture
def house() -> _House:
    return _House("echo", "chat")


def test_each_begins_when_it_is_asked_for_and_once(house: _House) -> None:
    factory = house.bridges.factory("echo", f"ws://{_SITE}/ws/echo")
    assert house.bridges.factory("echo", f"ws://{_SITE}/ws/echo") is factory
    assert house.running == [f"echo ws://{_SITE}/ws/echo"]
    house.bridges.stop()
    assert house.running == []
    assert house.clock.getDelayedCalls() == []


def test_of_a_service_that_cannot_be_reached_any_more_all_leave(house: _House) -> None:
    house.bridges.factory("echo", f"ws://{_SITE}/ws/echo")
    house.bridges.factory("chat", f"http://{_SITE}/api/chat")
    left = house.bridges.change({"chat": "chat", "time": "time"}, [])
    assert [listener.place().service for listener in left] == ["echo"]
    assert house.urls() == [f"http://{_SITE}/api/chat"]
    assert house.bridges.names == ["chat", "time"]
    with pytest.raises(KeyError):
        house.bridges.factory("echo", f"ws://{_SITE}/ws/echo")


def test_with_a_web_listener_all_that_it_carries_leaves(house: _House) -> None:
    for url in (f"ws://{_SITE}/ws/echo", f"ws://{_SITE}0/ws/echo", "tcp:8080/ws/echo", "tcp:80801/ws/echo"):
        house.bridges.factory("echo", url)
    house.bridges.factory("chat", f"http://{_SITE}/api/chat")
    left = house.bridges.change({"echo": "echo", "chat": "chat"}, [f"tcp://{_SITE}", "tcp:8080"])
    assert [listener.place().listener for listener in left] == [
        f"ws://{_SITE}/ws/echo",
        "tcp:8080/ws/echo",
        f"http://{_SITE}/api/chat",
    ]
    assert house.urls() == [f"ws://{_SITE}0/ws/echo", "tcp:80801/ws/echo"]


def test_those_that_are_open_are_told_with_their_service_of_now(house: _House) -> None:
    house.bridges.factory("echo", f"ws://{_SITE}/ws/echo")
    house.bridges.change({"echo": "another echo"}, [])
    assert [(service, url) for service, url, _ in house.bridges.open()] == [
        ("another echo", f"ws://{_SITE}/ws/echo")
    ]


def test_what_cannot_start_is_told_once_a_second_and_tried_again() -> None:
    clock, factory, url = Clock(), _Reluctant(), f"ws://{_SITE}/ws/echo"

    def listening(service: Any, url: str) -> Listening:
        if service == "chat":
            raise SettingError("service chat: it needs a journal")
        return Listening(
            service=service,
            listener=url,
            transport="ws",
            factory=factory,
            limits=Limits(),
            facts=Facts(),
            clock=clock,
        )

    bridges = Bridges({"echo": "echo", "chat": "chat"}, listening, clock)
    with capturedLogs() as events:
        with pytest.raises(SettingError, match="service echo: not today"):
            bridges.factory("echo", url)
        assert bridges.listeners == []
        assert bridges.open() == []
        bridges.factory("echo", url)
        for _ in range(3):
            with pytest.raises(SettingError, match="needs a journal"):
                bridges.factory("chat", f"ws://{_SITE}/ws/chat")
    assert [formatEvent(event) for event in events] == [
        f"{url} cannot be served: service echo: not today",
        f"ws://{_SITE}/ws/chat cannot be served: service chat: it needs a journal",
    ]
    assert (factory.asked, len(bridges.listeners)) == (2, 1)
    bridges.stop()
    assert clock.getDelayedCalls() == []
