"""`netsvc.net.succession`: what serves a listener, and what did before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from twisted.internet.protocol import Factory

from netsvc.net.listening import Listening
from netsvc.net.succession import Succession
from netsvc.settings import Limits, Networks
from tests.net.guard_rig import Recorder, Rig, Wire

_FEW = Limits(trusted=Networks(), idle_timeout=100.0)


class _Counted(Factory):
    """A factory that knows whether it has been started."""

    noisy = False
    protocol = Recorder

    def __init__(self) -> None:
        self.told: list[str] = []

    def startFactory(self) -> None:
        self.told.append("start")

    def stopFactory(self) -> None:
        self.told.append("stop")


class _House(Rig):
    """A listener whose `Listening` changes."""

    def __init__(self, limits: Limits = _FEW) -> None:
        super().__init__(limits=limits)
        self.factories: list[_Counted] = []
        self.serving = Succession(self.make(limits))
        self.factory = self.serving.guards
        self.factory.doStart()

    def make(self, limits: Limits) -> Listening:
        self.factories.append(_Counted())
        return Listening(
            service="tested",
            listener="tcp://192.0.2.1:8009",
            transport="tcp",
            factory=self.factories[-1],
            limits=limits,
            facts=self.listening.facts,
            clock=self.clock,
        )

    def change(self, **limits: Any) -> None:
        listening = self.make(replace(_FEW, **limits))
        listening.factory.doStart()
        self.serving.change(listening)


@pytest.fixture
def house() -> _House:
    return _House()


def test_whoever_comes_finds_the_new_one_and_who_is_inside_keeps_the_old(house: _House) -> None:
    before, _ = house.connect()
    house.change()
    after, _ = house.connect()
    built = [guard.protocol.factory for guard in (before, after)]  # type: ignore[union-attr]
    assert built == house.factories
    assert house.serving.connections() == [before, after]


def test_a_factory_is_stopped_when_the_last_of_its_connections_has_gone(house: _House) -> None:
    one, other = house.connect()[0], house.connect()[0]
    house.change()
    house.lose(one)
    assert house.factories[0].told == ["start"]
    house.lose(other)
    assert house.factories[0].told == ["start", "stop"]
    assert house.factories[1].told == ["start"]


def test_a_factory_without_connections_is_stopped_at_once(house: _House) -> None:
    house.change()
    assert house.factories[0].told == ["start", "stop"]


def test_as_the_listener_ends_those_before_are_stopped_once(house: _House) -> None:
    guard, _ = house.connect()
    house.change()
    house.serving.stop_former()
    assert house.factories[0].told == ["start", "stop"]
    house.lose(guard)
    assert house.factories[0].told == ["start", "stop"]
    # The port stops the present one.
    house.factory.doStop()
    assert house.factories[1].told == ["start", "stop"]


def test_what_is_counted_is_the_sum_whoever_has_gone(house: _House) -> None:
    for _ in range(3):
        guards = [house.connect()[0] for _ in range(2)]
        for guard in guards:
            guard.dataReceived(b"hello")
        house.change()
        house.lose(guards[0])
    counts = house.serving.counted()
    assert (counts.opened, counts.closed, counts.messages_in, counts.bytes_in) == (6, 3, 6, 30)


def test_those_of_which_nobody_is_left_are_counted_all_the_same(house: _House) -> None:
    for _ in range(3):
        guard, _wire = house.connect()
        guard.dataReceived(b"hello")
        house.change()
        house.lose(guard)
    counts = house.serving.counted()
    assert (counts.opened, counts.closed, counts.messages_in, counts.bytes_in) == (3, 3, 3, 15)
    assert house.serving.connections() == []


def test_refusals_are_counted_on_too(house: _House) -> None:
    house.change(max_connections=1)
    house.connect()
    house.connect()
    house.change()
    assert house.serving.counted().refused == {"max_connections": 1}


def test_limits_count_those_who_came_before(house: _House) -> None:
    inside, _ = house.connect()
    house.change(per_address=2)
    house.connect()
    refused, wire = house.connect()
    assert wire.aborted
    house.lose(refused)
    house.lose(inside)
    assert not house.connect()[1].aborted


def test_who_was_trusted_when_it_came_was_not_counted_and_is_not_counted_out(house: _House) -> None:
    house.change(trusted=Networks.of("192.0.2.7"), per_address=1)
    trusted, _ = house.connect()
    house.change(trusted=Networks(), per_address=1)
    counted, _ = house.connect()
    house.change(trusted=Networks.of("192.0.2.7"), per_address=1)
    house.lose(trusted)
    house.lose(counted)
    house.change(trusted=Networks(), per_address=1)
    assert not house.connect()[1].aborted
    assert house.connect()[1].aborted


def test_a_rate_that_stays_the_same_gives_nobody_a_new_seconds_worth(house: _House) -> None:
    house.change(new_per_second=1.0)
    house.connect()
    house.change(new_per_second=1.0, write_timeout=1.0)
    assert house.connect()[1].aborted


def test_idle_connections_go_by_their_own_time(house: _House) -> None:
    before, _ = house.connect()
    house.change(idle_timeout=10.0)
    after, _ = house.connect()
    assert house.serving.idle_timeout == 10.0
    house.serving.close_idle()
    house.clock.advance(10.0)
    house.serving.close_idle()
    assert (before.reason, after.reason) == (None, "idle")
    house.clock.advance(90.0)
    house.serving.close_idle()
    assert before.reason == "idle"


def test_where_nobody_is_ever_idle_there_is_no_time() -> None:
    assert _House(replace(_FEW, idle_timeout=0.0)).serving.idle_timeout == 0.0


def test_it_is_empty_when_none_of_them_has_a_connection(house: _House) -> None:
    assert house.serving.when_empty().called
    one, _ = house.connect()
    house.change()
    other, _ = house.connect()
    empty = house.serving.when_empty()
    house.lose(other)
    assert not empty.called
    house.lose(one)
    assert empty.called


def test_a_factory_that_fails_to_stop_hinders_nobody(house: _House) -> None:
    class Fails(_Counted):
        def stopFactory(self) -> None:
            raise OSError("it fails")

    listening = house.make(_FEW)
    failing = Fails()
    listening.factory = failing
    failing.doStart()  # type: ignore[no-untyped-call]
    house.serving.change(listening)
    house.change()
    assert isinstance(house.connect()[1], Wire)
    assert house.factories[0].told == ["start", "stop"]
