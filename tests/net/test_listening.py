"""`netsvc.net.listening`: what all connections of one listener share."""

from __future__ import annotations

from typing import Any

import pytest

from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

from netsvc.counters import Counts
from netsvc.facts import Facts
from netsvc.net.listening import Listening
from netsvc.settings import Limits, Networks


class _Connection:
    """As much of a guard as its listener looks at."""

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_in = 0
        self.messages_out = 0
        self.seen = -1
        self.quiet_since = 0.0
        self.timed_out: list[str] = []

    def time_out_idle(self) -> None:
        self.timed_out.append("idle")


def _listening(clock: Clock | None = None, **limits: Any) -> Any:
    # Any: the connections of these tests are not whole guards.
    return Listening(
        service="echo",
        listener="tcp://127.0.0.1:50000",
        transport="tcp",
        factory=Factory(),
        limits=Limits(**limits),
        facts=Facts(),
        clock=clock or Clock(),
    )


def _connected(listening: Any) -> _Connection:
    connection = _Connection()
    listening.guards.add(connection)
    return connection


def test_without_connections_it_is_empty_at_once() -> None:
    assert _listening().when_empty().called


def test_it_is_empty_when_the_last_connection_is_gone_and_tells_all_who_asked() -> None:
    listening = _listening()
    one, other = _connected(listening), _connected(listening)
    asked = [listening.when_empty(), listening.when_empty()]
    listening.forget(one)
    assert not any(deferred.called for deferred in asked)
    listening.forget(other)
    assert all(deferred.called for deferred in asked)


def test_it_can_be_empty_again() -> None:
    listening = _listening()
    listening.forget(_connected(listening))
    connection = _connected(listening)
    again = listening.when_empty()
    assert not again.called
    listening.forget(connection)
    assert again.called


def test_a_connection_that_was_never_there_is_forgotten_without_a_word() -> None:
    _listening().forget(_Connection())


def test_admission_has_the_listeners_limits_and_clock() -> None:
    clock = Clock()
    listening = _listening(clock, max_connections=1, trusted=Networks(), new_per_second=1.0)
    assert [listening.admission.open_socket() for _ in range(2)] == [None, "max_connections"]
    assert [listening.admission.enter("192.0.2.1") for _ in range(2)] == [None, "new_per_second"]
    clock.advance(1)
    assert listening.admission.enter("192.0.2.1") is None


@pytest.mark.parametrize(
    ("address", "port", "believed"),
    [
        ("127.0.0.1", 4000, True),
        ("::ffff:127.0.0.1", 4000, True),
        ("::1", 4000, True),
        ("192.0.2.1", 4000, False),
        ("2001:db8::1", 4000, False),
        ("", None, True),
        ("/run/proxy.sock", None, True),
        ("no address", 4000, False),
    ],
)
def test_a_header_is_believed_from_loopback_and_unix_sockets(
    address: str, port: int | None, believed: bool
) -> None:
    assert _listening().may_be_proxy(address, port) is believed


def test_a_header_is_believed_from_the_networks_of_the_setting() -> None:
    listening = _listening(proxies=Networks.of("192.0.2.0/24"))
    assert listening.may_be_proxy("192.0.2.77", 4000)
    assert not listening.may_be_proxy("127.0.0.1", 4000)


def _look(listening: Any, clock: Clock, seconds: float, interval: float = 1.0) -> None:
    for _ in range(round(seconds / interval)):
        clock.advance(interval)
        listening.close_idle()


def test_a_connection_without_a_byte_is_idle_after_its_time_and_at_most_one_look_late() -> None:
    clock = Clock()
    listening = _listening(clock, idle_timeout=10.0)
    clock.advance(100.5)
    connection = _connected(listening)
    connection.quiet_since = clock.seconds()
    clock.advance(0.5)
    listening.close_idle()
    _look(listening, clock, 9)
    assert connection.timed_out == []
    _look(listening, clock, 1)
    assert connection.timed_out == ["idle"]


@pytest.mark.parametrize("direction", ["bytes_in", "bytes_out"])
def test_a_byte_either_way_begins_the_time_anew(direction: str) -> None:
    clock = Clock()
    listening = _listening(clock, idle_timeout=10.0)
    connection = _connected(listening)
    for _ in range(5):
        _look(listening, clock, 9)
        setattr(connection, direction, getattr(connection, direction) + 1)
    assert connection.timed_out == []
    _look(listening, clock, 11)
    assert connection.timed_out


def test_one_idle_connection_does_not_take_the_others_with_it() -> None:
    clock = Clock()
    listening = _listening(clock, idle_timeout=10.0)
    idle, busy = _connected(listening), _connected(listening)
    for _ in range(12):
        busy.bytes_in += 1
        _look(listening, clock, 1)
    assert (bool(idle.timed_out), bool(busy.timed_out)) == (True, False)


def test_a_connection_that_ends_while_it_is_looked_at_disturbs_nothing() -> None:
    clock = Clock()
    listening = _listening(clock, idle_timeout=1.0)
    connections = [_connected(listening) for _ in range(3)]
    for connection in connections:
        connection.time_out_idle = lambda gone=connection: listening.forget(gone)  # type: ignore[method-assign, misc]
    _look(listening, clock, 2)
    assert listening.when_empty().called


def test_an_idle_time_of_zero_never_ends_a_connection() -> None:
    clock = Clock()
    listening = _listening(clock, idle_timeout=0.0)
    connection = _connected(listening)
    _look(listening, clock, 10_000, 100)
    assert connection.timed_out == []


def test_it_counts_the_messages_of_those_who_are_there_and_of_those_who_have_gone() -> None:
    listening = _listening()
    gone, here = _connected(listening), _connected(listening)
    for connection in (gone, here):
        connection.messages_in, connection.bytes_in = 2, 20
        connection.messages_out, connection.bytes_out = 3, 30
    listening.forget(gone)
    listening.forget(gone)
    listening.counts.refuse("deny")
    assert listening.counted() == Counts(
        messages_in=4, bytes_in=40, messages_out=6, bytes_out=60, refused={"deny": 1}
    )
    assert listening.counted() == listening.counted()
