"""Facts: how they are numbered, kept small, handed on and read."""

from __future__ import annotations

import gc
import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer

from netsvc.facts import CLOSED, KINDS, OPENED, RECEIVED, REFUSED, Fact, Facts, Origin, OriginRow, Row
from netsvc.interfaces import IFactSink

WHENCE: OriginRow = ("timestamp", "tcp://127.0.0.1:8009", "tcp", "127.0.0.1", 40312, "127.0.0.1:8009", 7)
ORIGIN = Origin(*WHENCE)
START = 1_795_177_666_958_230_123


@implementer(IFactSink)
class Kept:
    """A sink that keeps its rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def note(self, row: Row) -> None:
        self.rows.append(row)


@implementer(IFactSink)
class Broken:
    """A sink that never takes a fact."""

    def note(self, row: Row) -> None:
        raise RuntimeError("no room {left}")


def noted(facts: Facts) -> list[Row]:
    """The rows that a new sink gets from now on."""
    kept = Kept()
    facts.subscribe(kept)
    return kept.rows


def nobody(address: str) -> str | None:
    return None


@given(st.lists(st.integers(0, 10**19), min_size=1))
def test_numbers_rise_whatever_the_clock_does(times: list[int]) -> None:
    clock = iter(times)
    facts = Facts(clock=lambda: next(clock))
    rows = noted(facts)
    for _ in times:
        facts.emit(OPENED, WHENCE)
    assert [row[1] for row in rows] == times
    numbers = [row[0] for row in rows]
    assert all(before < after for before, after in pairwise(numbers))


def test_a_number_is_the_time_in_microseconds() -> None:
    facts = Facts(clock=lambda: START)
    rows = noted(facts)
    facts.emit(OPENED, WHENCE)
    facts.emit(CLOSED, WHENCE, reason="fin")
    assert [row[0] for row in rows] == [START // 1000, START // 1000 + 1]


def test_data_is_cut_to_what_is_captured_and_its_true_length_kept() -> None:
    facts = Facts(capture=4)
    rows = noted(facts)
    for data in (b"", b"four", b"fiver", None):
        facts.emit(RECEIVED, WHENCE, data)
    assert [(row[4], row[5]) for row in rows] == [(0, b""), (4, b"four"), (5, b"five"), (None, None)]


def test_nothing_is_captured_where_capture_is_none() -> None:
    facts = Facts(capture=0)
    rows = noted(facts)
    facts.emit(RECEIVED, WHENCE, b"secret")
    assert rows[0][4:6] == (6, b"")


def test_a_sink_that_fails_is_counted_and_the_others_get_every_fact() -> None:
    facts = Facts()
    before = noted(facts)
    facts.subscribe(Broken())
    after = noted(facts)
    for _ in range(5):
        facts.emit(RECEIVED, WHENCE, b"x")
    assert facts.missed == {"Broken": 5}
    assert len(before) == len(after) == 5


def test_a_sink_that_unsubscribes_gets_no_more_and_may_do_so_twice() -> None:
    facts = Facts()
    kept = Kept()
    unsubscribe = facts.subscribe(kept)
    others = noted(facts)
    facts.emit(OPENED, WHENCE)
    unsubscribe()
    unsubscribe()
    facts.emit(CLOSED, WHENCE)
    assert (len(kept.rows), len(others)) == (1, 2)


def test_a_sink_may_subscribe_and_unsubscribe_others_while_it_is_told() -> None:
    facts = Facts()
    late = Kept()

    @implementer(IFactSink)
    class Inviting:
        def note(self, row: Row) -> None:
            if not late.rows:
                facts.subscribe(late)

    facts.subscribe(Inviting())
    facts.emit(OPENED, WHENCE)
    facts.emit(CLOSED, WHENCE)
    assert [row[2] for row in late.rows] == [CLOSED]


def test_connections_are_numbered_one_after_the_other() -> None:
    facts = Facts()
    assert [facts.next_connection() for _ in range(3)] == [1, 2, 3]


def test_the_garbage_collector_does_not_track_a_row() -> None:
    facts = Facts()
    rows = noted(facts)
    facts.emit(OPENED, WHENCE, b"x", None, (("tls", (("version", "TLSv1.3"),)), ("bytes", 3)))
    for _ in range(3):  # a tuple of tuples is untracked one pass after those in it
        gc.collect()
    assert not gc.is_tracked(rows[0])


def test_a_fact_gives_the_columns_their_names() -> None:
    facts = Facts(clock=lambda: START)
    rows = noted(facts)
    facts.emit(REFUSED, WHENCE, b"hello", "per_address", (("limit", 256),))
    fact = Fact.of(rows[0])
    assert fact == Fact(START // 1000, START, REFUSED, ORIGIN, 5, b"hello", "per_address", (("limit", 256),))
    assert isinstance(fact.origin, Origin)


def test_json_is_as_documented() -> None:
    facts = Facts(clock=lambda: 1_795_177_666_958_230_000)
    rows = noted(facts)
    facts.emit(RECEIVED, WHENCE, b"hello")
    assert Fact.of(rows[0]).as_json(nobody) == {
        "seq": 1795177666958230,
        "time": "1795177666958230000",
        "kind": "received",
        "service": "timestamp",
        "listener": "tcp://127.0.0.1:8009",
        "transport": "tcp",
        "address": "127.0.0.1",
        "port": 40312,
        "local": "127.0.0.1:8009",
        "connection": 7,
        "name": None,
        "length": 5,
        "data": "aGVsbG8=",
        "reason": None,
    }


def test_json_has_the_name_that_the_list_has_for_the_address() -> None:
    row = (1, 1000, OPENED, WHENCE, None, None, None, ())
    assert Fact.of(row).as_json({"127.0.0.1": "lamp"}.get)["name"] == "lamp"


def test_no_name_is_looked_for_where_there_is_no_address() -> None:
    asked: list[str] = []

    def name_of(address: str) -> str | None:
        asked.append(address)
        return "lamp"

    row = (1, 1000, OPENED, tuple(ORIGIN._replace(address="", port=None)), None, None, None, ())
    assert Fact.of(row).as_json(name_of)["name"] is None
    assert not asked


@given(
    st.sampled_from(KINDS),
    st.none() | st.binary(),
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(st.tuples(st.text(min_size=1), inner), max_size=3).map(tuple),
    ),
)
def test_every_fact_becomes_json(kind: str, data: bytes | None, detail: Any) -> None:
    facts = Facts()
    rows = noted(facts)
    facts.emit(kind, WHENCE, data, None, (("more", detail),))
    document = Fact.of(rows[0]).as_json(nobody)
    assert json.loads(json.dumps(document))["kind"] == kind
    assert "more" in document
