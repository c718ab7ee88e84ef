"""The client list in memory keeps what its contract says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from netsvc.clientlist.memory import ClientList
from netsvc.interfaces import IClientStore

MANY = 100_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clients(clock: Clock) -> ClientList:
    return ClientList(clock)


def heard(clients: ClientList) -> list[tuple[str, str, int | None]]:
    """Subscribe; each change is told as kind, name and port."""
    changes: list[tuple[str, str, int | None]] = []
    clients.subscribe(lambda kind, entry: changes.append((kind, entry["name"], entry["port"])))
    return changes


def test_it_is_a_client_store(clients: ClientList) -> None:
    verifyObject(IClientStore, clients)


def test_the_list_has_the_form_of_the_contract(clients: ClientList) -> None:
    clients.register("name1", "127.0.0.1", 62210, 3600, MANY)
    assert clients.encoded() == b'{"name1": {"name": "name1", "address": "127.0.0.1", "port": 62210}}'
    assert b"".join(clients.pieces()) == clients.encoded()
    assert clients.entries() == {"name1": {"name": "name1", "address": "127.0.0.1", "port": 62210}}


def test_a_unix_client_has_no_port(clients: ClientList) -> None:
    clients.register("u", "", None, 0, MANY)
    assert clients.encoded() == b'{"u": {"name": "u", "address": "", "port": null}}'


def test_what_a_reader_does_to_the_entries_changes_nothing(clients: ClientList) -> None:
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    clients.entries()["a"]["port"] = 2
    clients.entries().clear()
    clients.subscribe(lambda kind, entry: entry.clear())
    changes = heard(clients)
    clients.register("a", "192.0.2.1", 3, 0, MANY)
    assert clients.entries() == {"a": {"name": "a", "address": "192.0.2.1", "port": 3}}
    assert changes == [("left", "a", 1), ("joined", "a", 3)]


def test_an_entry_leaves_after_its_time_unless_it_is_renewed(clients: ClientList, clock: Clock) -> None:
    clients.register("renewed", "192.0.2.1", 1, 10, MANY)
    clients.register("ends", "192.0.2.2", 2, 10, MANY)
    clients.register("stays", "192.0.2.3", 3, 0, MANY)
    clock.advance(9)
    clients.register("renewed", "192.0.2.1", 4, 10, MANY)
    clock.advance(1)
    assert set(clients.entries()) == {"renewed", "stays"}
    clock.advance(9)
    assert set(clients.entries()) == {"stays"}
    assert clock.getDelayedCalls() == []


def test_a_renewal_may_take_away_the_time_to_live(clients: ClientList, clock: Clock) -> None:
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    clock.advance(11)
    assert set(clients.entries()) == {"a"}


def test_beyond_the_limit_the_oldest_leaves_and_renewal_makes_young(clients: ClientList) -> None:
    changes = heard(clients)
    for number, name in enumerate("abc"):
        clients.register(name, "192.0.2.1", number, 0, 3)
    clients.register("a", "192.0.2.1", 9, 0, 3)
    clients.register("d", "192.0.2.1", 4, 0, 3)
    assert set(clients.entries()) == {"a", "c", "d"}
    assert changes[-2:] == [("left", "b", 1), ("joined", "d", 4)]


def test_a_smaller_limit_lets_as_many_leave_as_must(clients: ClientList) -> None:
    for name in "abcde":
        clients.register(name, "192.0.2.1", 1, 0, 5)
    clients.register("f", "192.0.2.1", 1, 0, 2)
    assert set(clients.entries()) == {"e", "f"}


def test_held_entries_leave_only_when_there_are_no_others(clients: ClientList) -> None:
    clients.hold("held1", "192.0.2.1", 1, 3)
    clients.hold("held2", "192.0.2.1", 2, 3)
    for name in "abc":
        clients.register(name, "192.0.2.1", 3, 0, 3)
    assert set(clients.entries()) == {"held1", "held2", "c"}
    clients.hold("held3", "192.0.2.1", 4, 3)
    clients.register("d", "192.0.2.1", 5, 0, 3)
    assert set(clients.entries()) == {"held2", "held3", "d"}


def test_a_held_entry_lives_until_it_is_let_go(clients: ClientList, clock: Clock) -> None:
    let_go = clients.hold("a", "192.0.2.1", 1, MANY)
    clock.advance(1e9)
    assert set(clients.entries()) == {"a"}
    changes = heard(clients)
    let_go()
    let_go()
    assert clients.entries() == {}
    assert clients.encoded() == b"{}"
    assert changes == [("left", "a", 1)]


def test_letting_go_of_a_name_that_another_has_taken_does_nothing(clients: ClientList) -> None:
    let_go = clients.hold("a", "192.0.2.1", 1, MANY)
    let_go_too = clients.hold("a", "192.0.2.1", 1, MANY)
    let_go()
    assert set(clients.entries()) == {"a"}
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    let_go_too()
    assert set(clients.entries()) == {"a"}


def test_a_registered_name_that_is_then_held_does_not_end_by_itself(
    clients: ClientList, clock: Clock
) -> None:
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    clients.hold("a", "192.0.2.1", 2, MANY)
    clock.advance(11)
    assert set(clients.entries()) == {"a"}


def test_an_address_has_a_name_when_exactly_one_entry_has_it(clients: ClientList, clock: Clock) -> None:
    assert clients.name_of("192.0.2.1") is None
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    assert clients.name_of("192.0.2.1") == "a"
    let_go = clients.hold("b", "192.0.2.1", 2, MANY)
    assert clients.name_of("192.0.2.1") is None
    clock.advance(10)
    assert clients.name_of("192.0.2.1") == "b"
    let_go()
    assert clients.name_of("192.0.2.1") is None


def test_an_entry_that_moves_gives_its_old_address_back(clients: ClientList) -> None:
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    clients.register("a", "2001:db8::1", 1, 0, MANY)
    assert clients.name_of("192.0.2.1") is None
    assert clients.name_of("2001:db8::1") == "a"


def test_the_empty_address_names_nobody(clients: ClientList) -> None:
    clients.register("a", "", None, 0, MANY)
    assert clients.name_of("") is None


def test_every_change_is_told_and_a_renewal_as_it_was_is_none(clients: ClientList, clock: Clock) -> None:
    changes = heard(clients)
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    clients.register("a", "192.0.2.1", 2, 10, MANY)
    clock.advance(10)
    assert changes == [("joined", "a", 1), ("left", "a", 1), ("joined", "a", 2), ("left", "a", 2)]


def test_a_subscriber_that_raises_stops_nobody_and_is_logged_ever_more_rarely(clients: ClientList) -> None:
    def fails(kind: str, entry: dict[str, Any]) -> None:
        raise RuntimeError("broken")

    clients.subscribe(fails)
    changes = heard(clients)
    with capturedLogs() as events:
        for port in range(100):
            clients.register("{name}", "192.0.2.1", port, 0, MANY)
    assert len(changes) == 199
    failures = [event for event in events if event["log_level"] is LogLevel.critical]
    assert 1 <= len(failures) < 10


def test_who_unsubscribes_hears_no_more(clients: ClientList) -> None:
    changes: list[str] = []

    def changed(kind: str, entry: dict[str, Any]) -> None:
        changes.append(kind)
        first()

    first = clients.subscribe(changed)
    second = clients.subscribe(changed)
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    second()
    second()
    clients.register("b", "192.0.2.1", 1, 0, MANY)
    assert changes == ["joined", "joined"]


def test_one_who_leaves_while_a_change_is_told_hears_no_more(clients: ClientList) -> None:
    clients.subscribe(lambda kind, entry: unsubscribe())
    changes: list[str] = []
    unsubscribe = clients.subscribe(lambda kind, entry: changes.append(kind))
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    assert changes == []


def test_changes_that_a_subscriber_makes_are_told_to_all_in_the_same_order(clients: ClientList) -> None:
    before = heard(clients)

    def answers(kind: str, entry: dict[str, Any]) -> None:
        if entry["name"] == "a":
            clients.register("b", "192.0.2.1", 2, 0, MANY)

    clients.subscribe(answers)
    after = heard(clients)
    clients.register("a", "192.0.2.1", 1, 0, MANY)
    assert before == after == [("joined", "a", 1), ("joined", "b", 2)]


def test_close_leaves_nothing_with_the_clock(clients: ClientList, clock: Clock) -> None:
    clients.register("a", "192.0.2.1", 1, 10, MANY)
    clients.close()
    assert clock.getDelayedCalls() == []
    assert set(clients.entries()) == {"a"}


def test_twenty_thousand_entries_are_all_in_the_list(clients: ClientList) -> None:
    for number in range(20_001):
        clients.register(f"n{number}", "192.0.2.1", number % 65_536, 3600, MANY)
    assert len(json.loads(clients.encoded())) == 20_001
    assert b"".join(clients.pieces()) == clients.encoded()


_NAMES = st.sampled_from(["a", "b", "c", "d"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), _NAMES, st.integers(0, 3), st.sampled_from([0, 5, 10])),
        st.tuples(st.just("hold"), _NAMES, st.integers(0, 3), st.just(0)),
        st.tuples(st.just("let go"), _NAMES, st.just(0), st.just(0)),
        st.tuples(st.just("wait"), _NAMES, st.just(0), st.sampled_from([1, 5])),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(_STEPS, st.integers(1, 4))
def test_all_views_of_the_list_agree(steps: list[tuple[str, str, int, int]], most: int) -> None:
    clock = Clock()
    clients = ClientList(clock)
    told: dict[str, dict[str, Any]] = {}
    held: dict[str, Any] = {}

    def changed(kind: str, entry: dict[str, Any]) -> None:
        if kind == "joined":
            assert entry["name"] not in told
            told[entry["name"]] = entry
        else:
            assert told.pop(entry["name"]) == entry

    clients.subscribe(changed)
    for step, name, number, seconds in steps:
        address = f"192.0.2.{number}" if number else ""
        if step == "register":
            clients.register(name, address, number, seconds, most)
        elif step == "hold":
            held[name] = clients.hold(name, address, number, most)
        elif step == "let go" and name in held:
            held.pop(name)()
        elif step == "wait":
            clock.advance(seconds)
        entries = clients.entries()
        assert told == entries == json.loads(clients.encoded()) == json.loads(b"".join(clients.pieces()))
        assert len(entries) <= most
        for known in ("", *(f"192.0.2.{last}" for last in range(1, 4))):
            there = [entry["name"] for entry in entries.values() if entry["address"] == known]
            assert clients.name_of(known) == (there[0] if len(there) == 1 and known else None)
