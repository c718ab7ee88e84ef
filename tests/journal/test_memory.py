"""`netsvc.journal.memory`: the newest facts within a number of bytes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from netsvc.facts import CLOSED, OPENED, RECEIVED, REFUSED, Facts, OriginRow, Row
from netsvc.interfaces import IFactSink
from netsvc.journal.memory import ORIGIN_COST, ROW_COST, Ring

_ORIGIN: OriginRow = ("echo", "tcp://127.0.0.1:50000", "tcp", "127.0.0.1", 40312, "127.0.0.1:50000", 7)
_PLENTY = 1 << 40


def _row(seq: int, data: bytes | None = b"x", detail: tuple[tuple[str, object], ...] = ()) -> Row:
    return (seq, seq * 1000, RECEIVED, _ORIGIN, None if data is None else len(data), data, None, detail)


def test_it_is_a_sink() -> None:
    assert verifyObject(IFactSink, Ring(1000))


def test_an_empty_ring_has_no_last_fact_and_no_size() -> None:
    ring = Ring(1000)
    assert (len(ring), ring.size, ring.last, ring.since(0)) == (0, 0, 0, [])


def test_rows_are_kept_as_they_are() -> None:
    ring = Ring(_PLENTY)
    row = _row(1)
    ring.note(row)
    assert ring.since(0)[0] is row


def test_the_oldest_leave_first() -> None:
    ring = Ring(3 * (ROW_COST + 1))
    for seq in range(1, 6):
        ring.note(_row(seq))
    assert [row[0] for row in ring.since(0)] == [3, 4, 5]
    assert ring.last == 5


def test_one_large_fact_makes_room_for_itself() -> None:
    ring = Ring(4 * (ROW_COST + 1))
    for seq in range(1, 5):
        ring.note(_row(seq))
    ring.note(_row(5, b"x" * (2 * ROW_COST)))
    assert [row[0] for row in ring.since(0)] == [4, 5]


def test_a_fact_larger_than_the_whole_ring_is_not_kept() -> None:
    ring = Ring(ROW_COST)
    ring.note(_row(1, b"x" * ROW_COST))
    assert (len(ring), ring.size) == (0, 0)


def test_since_gives_what_is_newer_oldest_first() -> None:
    ring = Ring(_PLENTY)
    for seq in (10, 20, 30):
        ring.note(_row(seq))
    assert [row[0] for row in ring.since(10)] == [20, 30]
    assert [row[0] for row in ring.since(15)] == [20, 30]
    assert ring.since(30) == []


def test_clear_forgets_everything() -> None:
    ring = Ring(_PLENTY)
    ring.note(_row(1))
    ring.clear()
    assert (len(ring), ring.size, ring.last) == (0, 0, 0)
    ring.note(_row(2))
    assert ring.last == 2


_DETAILS = st.sampled_from(
    [(), (("error", "text"),), (("tls", (("version", "TLSv1.3"), ("server_name", None))), ("n", 5))]
)


@given(
    st.integers(0, 8 * ROW_COST),
    st.lists(st.tuples(st.none() | st.binary(max_size=3 * ROW_COST), _DETAILS), max_size=30),
)
def test_it_never_takes_more_than_it_may_and_keeps_the_newest(
    memory: int, rows: list[tuple[bytes | None, tuple[tuple[str, object], ...]]]
) -> None:
    ring = Ring(memory)
    for seq, (data, detail) in enumerate(rows, 1):
        ring.note(_row(seq, data, detail))
        assert 0 <= ring.size <= memory
    kept = [row[0] for row in ring.since(0)]
    assert kept == list(range(len(rows) - len(kept) + 1, len(rows) + 1))
    assert (ring.size == 0) == (len(ring) == 0)


def test_a_row_without_data_costs_its_origin_and_its_detail_too() -> None:
    plain, detailed = Ring(_PLENTY), Ring(_PLENTY)
    plain.note(_row(1, None))
    detailed.note(_row(1, None, (("error", "x" * 5000),)))
    assert plain.size == ROW_COST + ORIGIN_COST
    assert detailed.size > plain.size + 5000


def _messages(facts: Facts, number: int) -> None:
    facts.emit(RECEIVED, _ORIGIN, b"%64d" % number)


def _short_connections(facts: Facts, number: int) -> None:
    origin = (*_ORIGIN[:3], f"192.0.{number // 256}.{number % 256}", number, f"{number}:50000", number)
    facts.emit(OPENED, origin)
    facts.emit(CLOSED, origin, None, "fin", (("bytes_in", 5000 + number), ("duration", number / 7)))


def _refusals(facts: Facts, number: int) -> None:
    origin = (*_ORIGIN[:3], f"192.0.{number // 256}.{number % 256}", number, f"{number}:50000", number)
    facts.emit(REFUSED, origin, None, "tls", (("error", f"what went wrong with number {number}"),))


def _datagrams(facts: Facts, number: int) -> None:
    origin = (*_ORIGIN[:3], f"192.0.{number // 256}.{number % 256}", number, f"{number}:50000", None)
    facts.emit(RECEIVED, origin, b"%64d" % number)


def _measured(traffic: Callable[[Facts, int], None]) -> tuple[int, int]:
    ring, facts = Ring(_PLENTY), Facts()
    facts.subscribe(ring)
    gc.collect()
    traced_already = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000, 6000):
            traffic(facts, number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        if not traced_already:
            tracemalloc.stop()
    return after - before, ring.size


def test_what_it_counts_is_at_least_what_the_memory_really_is() -> None:
    for traffic in (_messages, _short_connections, _refusals, _datagrams):
        used, counted = _measured(traffic)
        assert used <= counted * 1.05, traffic.__name__
        assert used >= counted * 0.6, traffic.__name__
