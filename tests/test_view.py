"""`netsvc.view`: the running daemon as plain values."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from netsvc import __version__
from netsvc.bridges import Bridges
from netsvc.clientlist.memory import ClientList
from netsvc.facts import Facts
from netsvc.interfaces import IClientStore, IDaemonView
from netsvc.journal.timeline import Timeline
from netsvc.journal.watch import Watchers
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.net.streamlistener import CarriedListener
from netsvc.net.succession import Succession
from netsvc.settings import Limits
from netsvc.view import LOSS_SECONDS, View
from tests.net.guard_rig import CLIENT, Turns, Wire


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data + data)


class House:
    """A view of one listener, of which a test makes connections."""

    def __init__(self) -> None:
        self.clock = Turns()
        self.clock.advance(100.0)
        self.ready = True
        self.facts = Facts(later=self.clock.callLater)
        timeline = Timeline(1 << 20, self.facts.flush)
        self.facts.keep(timeline)
        self.clients = ClientList(self.clock)
        self.listening = self.make("echo", "tcp://192.0.2.1:7")
        listeners = [CarriedListener(Succession(self.listening), self.clock)]
        self.bridges = Bridges({"echo": "echo", "chat": "chat"}, self.make, self.clock)
        self.view = View(
            facts=self.facts,
            timeline=timeline,
            watchers=Watchers(self.facts, timeline, self.clients, self.clock),
            clients=self.clients,
            journal=None,
            listeners=listeners,
            bridges=self.bridges,
            shared={"chat": "room"}.__getitem__,
            ready=lambda: self.ready,
            hidden=lambda: 5,
            seconds=self.clock.seconds,
        )

    def make(self, service: Any, url: str) -> Listening:
        return Listening(
            service=service,
            listener=url,
            transport=url.partition(":")[0],
            factory=Factory.forProtocol(Echo),
            limits=Limits(max_connections=30),
            facts=self.facts,
            clock=self.clock,
        )

    def connect(self, factory: Any = None) -> Any:
        wire = Wire()
        guard = (factory or GuardFactory(self.listening)).buildProtocol(CLIENT)
        guard.makeConnection(wire)
        return guard


@pytest.fixture
def house() -> House:
    return House()


def test_it_keeps_to_its_interface(house: House) -> None:
    assert verifyObject(IDaemonView, house.view)
    assert verifyObject(IClientStore, house.view.clients)
    assert house.view.version == __version__
    assert abs(house.view.started - time.time()) < 60


def test_a_listener_is_a_row_with_its_counters(house: House) -> None:
    guard = house.connect()
    guard.dataReceived(b"abc")
    (row,) = house.view.listeners()
    json.dumps(row)
    assert row == {
        "service": "echo",
        "listener": "tcp://192.0.2.1:7",
        "transport": "tcp",
        "address": "192.0.2.1",
        "port": 7,
        "max_connections": 30,
        "opened": 1,
        "closed": 0,
        "open": 1,
        "messages_in": 1,
        "bytes_in": 3,
        "messages_out": 1,
        "bytes_out": 6,
        "refused": {},
        "dropped": 0,
    }


def test_a_connection_is_a_row_with_its_clients_name(house: House) -> None:
    house.clients.register("board", "192.0.2.7", 1, 0, 10)
    guard = house.connect()
    guard.dataReceived(b"abc")
    house.clock.advance(5)
    (row,) = house.view.connections()
    json.dumps(row)
    assert abs(int(row.pop("opened")) / 1e9 - (time.time() - 5)) < 2
    assert row == {
        "connection": 1,
        "service": "echo",
        "listener": "tcp://192.0.2.1:7",
        "transport": "tcp",
        "address": "192.0.2.7",
        "port": 4711,
        "local": "192.0.2.1:8009",
        "name": "board",
        "bytes_in": 3,
        "bytes_out": 6,
        "messages_in": 1,
        "messages_out": 1,
    }


def test_connections_come_in_the_order_in_which_they_opened_and_those_that_left_do_not(house: House) -> None:
    guards = [house.connect() for _ in range(25)]
    rows = house.view.connections()
    assert next(rows)["connection"] == 1
    guards[1].abortConnection()
    guards[1].connectionLost(Failure(ConnectionLost()))
    assert [row["connection"] for row in rows] == list(range(3, 26))


def test_health_says_what_is_wrong_and_that_it_is_over(house: House) -> None:
    view = house.view
    assert view.health() == []
    house.facts.missed["Ring"] = 3
    assert view.health() == ["Ring could not take facts: 3 lost so far"]
    house.clock.advance(LOSS_SECONDS - 1)
    house.facts.missed["Ring"] = 4
    assert view.health() == ["Ring could not take facts: 4 lost so far"]
    house.clock.advance(LOSS_SECONDS - 1)
    assert view.health() != []
    house.clock.advance(2)
    assert view.health() == []
    assert view.missed() == {"Ring": 4}
    house.ready = False
    assert view.health() == ["not every listener is open, or the daemon is stopping"]
    assert not view.ready()


def test_small_things_are_passed_on(house: House) -> None:
    assert house.view.lines_hidden() == 5
    assert house.view.stream_services() == ["echo", "chat"]
    assert house.view.shared("chat") == "room"
    with pytest.raises(KeyError):
        house.view.shared("echo")


def test_facts_that_nobody_has_taken_yet_are_lag(house: House) -> None:
    assert house.view.sink_lag() == {"timeline": 0.0}
    house.connect()
    assert 0 < house.view.sink_lag()["timeline"] < 60
    house.clock.advance(0.01)
    assert house.view.sink_lag() == {"timeline": 0.0}


# -- services over WebSocket -------------------------------------------------------------------------------


def test_a_service_over_websocket_is_guarded_counted_and_shown_like_any_listener(house: House) -> None:
    url = "ws://127.0.0.1:8080/ws/echo"
    factory = house.view.guard_for("echo", url)
    assert house.view.guard_for("echo", url) is factory
    guard = house.connect(factory)
    guard.dataReceived(b"ab")
    row = house.view.listeners()[1]
    assert (row["service"], row["listener"], row["transport"]) == ("echo", url, "ws")
    assert (row["address"], row["port"], row["open"], row["bytes_out"]) == ("127.0.0.1", 8080, 1, 4)
    assert [one["listener"] for one in house.view.connections()] == [url]


def test_what_is_no_such_service_cannot_be_reached(house: House) -> None:
    with pytest.raises(KeyError):
        house.view.guard_for("daytime", "ws://127.0.0.1:8080/ws/daytime")
    assert len(house.view.listeners()) == 1


def test_an_idle_connection_over_websocket_is_closed_like_any(house: House) -> None:
    guard = house.connect(house.view.guard_for("echo", "ws://127.0.0.1:8080/ws/echo"))
    house.clock.pump([60.0] * 18)
    assert guard.disconnecting
    house.bridges.stop()
    guard.abortConnection()
    house.clock.pump([1.0] * 5)
    assert not [call for call in house.clock.getDelayedCalls() if "LoopingCall" in str(call)]


def test_their_factories_are_started_and_stopped() -> None:
    asked = []

    class Told(Factory):
        def doStart(self) -> None:
            asked.append("start")

        def doStop(self) -> None:
            asked.append("stop")

    def make(service: Any, url: str) -> Listening:
        return Listening(
            service="echo",
            listener=url,
            transport="ws",
            factory=Told(),
            limits=Limits(),
            facts=Facts(),
            clock=clock,
        )

    clock = Clock()
    bridges = Bridges({"echo": None}, make, clock)
    bridges.factory("echo", "ws://127.0.0.1:1/ws/echo")
    bridges.factory("echo", "ws://127.0.0.1:1/ws/echo")
    bridges.stop()
    assert asked == ["start", "stop"]
