"""`netsvc.journal.memory`: the newest facts within a number of bytes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from time import time_ns

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from netsvc.facts import CLOSED, NO_DETAIL, OPENED, RECEIVED, REFUSED, Facts, OriginRow
from netsvc.interfaces import IFactArchive
from netsvc.journal.memory import BATCH_COST, ORIGIN_COST, ROW_COST, Ring

_ORIGIN: OriginRow = ("echo", "tcp://127.0.0.1:50000", "tcp", "127.0.0.1", 40312, "127.0.0.1:50000", 7)
_PLENTY = 1 << 40


_ONE = BATCH_COST + ROW_COST


def _take(
    ring: Ring, seq: int, data: bytes | None = b"x", detail: tuple[tuple[str, object], ...] = ()
) -> None:
    """A batch of one."""
    more = (None if data is None else len(data), None, detail) if data is None or detail else None
    ring.take(seq, (seq * 1000, RECEIVED, _ORIGIN, data or b"", more))


def test_it_is_an_archive() -> None:
    assert verifyObject(IFactArchive, Ring(1000))


def test_an_empty_ring_has_no_last_fact_and_no_size() -> None:
    ring = Ring(1000)
    assert (len(ring), ring.size, ring.last, ring.since(0)) == (0, 0, 0, [])


def test_what_was_noted_is_read_as_rows() -> None:
    ring = Ring(_PLENTY)
    ring.take(5, (1, RECEIVED, _ORIGIN, b"ab", None, 2, OPENED, _ORIGIN, b"", (None, None, (("n", 5),))))
    ring.take(7, (3, REFUSED, _ORIGIN, b"cu", (3, "deny", NO_DETAIL)))
    assert ring.since(0) == [
        (5, 1, RECEIVED, _ORIGIN, 2, b"ab", None, NO_DETAIL),
        (6, 2, OPENED, _ORIGIN, None, None, None, (("n", 5),)),
        (7, 3, REFUSED, _ORIGIN, 3, b"cu", "deny", NO_DETAIL),
    ]
    assert [row[0] for row in ring.since(5)] == [6, 7]
    assert (len(ring), ring.last) == (3, 7)


def test_what_waits_to_be_handed_on_is_read_too() -> None:
    facts = Facts(later=lambda seconds, call: None)
    ring = Ring(_PLENTY, facts.flush)
    facts.keep(ring)
    facts.emit(RECEIVED, _ORIGIN, b"one")
    assert [row[5] for row in ring.since(0)] == [b"one"]
    facts.emit(RECEIVED, _ORIGIN, b"two")
    assert ring.last == ring.since(0)[-1][0]
    facts.emit(RECEIVED, _ORIGIN, b"three")
    assert len(ring) == 3
    facts.emit(RECEIVED, _ORIGIN, b"four")
    ring.clear()
    assert len(ring) == 0


def test_the_oldest_leave_first() -> None:
    ring = Ring(3 * (_ONE + 1))
    for seq in range(1, 6):
        _take(ring, seq)
    assert [row[0] for row in ring.since(0)] == [3, 4, 5]
    assert ring.last == 5


def test_one_large_fact_makes_room_for_itself() -> None:
    ring = Ring(4 * (_ONE + 1))
    for seq in range(1, 5):
        _take(ring, seq)
    _take(ring, 5, b"x" * (2 * _ONE))
    assert [row[0] for row in ring.since(0)] == [4, 5]


def test_a_fact_larger_than_the_whole_ring_is_not_kept() -> None:
    ring = Ring(_ONE)
    _take(ring, 1)
    assert (len(ring), ring.size) == (0, 0)


def test_since_gives_what_is_newer_oldest_first() -> None:
    ring = Ring(_PLENTY)
    for seq in (10, 20, 30):
        _take(ring, seq)
    assert [row[0] for row in ring.since(10)] == [20, 30]
    assert [row[0] for row in ring.since(15)] == [20, 30]
    assert ring.since(30) == []


def test_a_large_batch_leaves_a_part_at_a_time() -> None:
    ring = Ring(800 * (ROW_COST + 1))
    ring.take(1, tuple(value for seq in range(1, 1001) for value in (seq, RECEIVED, _ORIGIN, b"x", None)))
    kept = [row[0] for row in ring.since(0)]
    assert kept == list(range(kept[0], 1001))
    assert 200 < len(kept) < 1000


def test_clear_forgets_everything() -> None:
    ring = Ring(_PLENTY)
    _take(ring, 1)
    ring.clear()
    assert (len(ring), ring.size, ring.last) == (0, 0, 0)
    _take(ring, 2)
    assert ring.last == 2


_DETAILS = st.sampled_from(
    [(), (("error", "text"),), (("tls", (("version", "TLSv1.3"), ("server_name", None))), ("n", 5))]
)


@given(
    st.integers(0, 8 * _ONE),
    st.lists(st.tuples(st.none() | st.binary(max_size=3 * _ONE), _DETAILS), max_size=30),
)
def test_it_never_takes_more_than_it_may_and_keeps_the_newest(
    memory: int, rows: list[tuple[bytes | None, tuple[tuple[str, object], ...]]]
) -> None:
    ring = Ring(memory)
    for seq, (data, detail) in enumerate(rows, 1):
        _take(ring, seq, data, detail)
        assert 0 <= ring.size <= memory
    kept = [row[0] for row in ring.since(0)]
    assert kept == list(range(len(rows) - len(kept) + 1, len(rows) + 1))
    assert (ring.size == 0) == (len(ring) == 0)


def test_a_row_without_data_costs_its_origin_and_its_detail_too() -> None:
    plain, detailed = Ring(_PLENTY), Ring(_PLENTY)
    _take(plain, 1, None)
    _take(detailed, 1, None, (("error", "x" * 5000),))
    assert plain.size >= _ONE + ORIGIN_COST
    assert detailed.size > plain.size + 5000


def _messages(facts: Facts, number: int) -> None:
    book = facts.book("echo", "tcp://127.0.0.1:7")
    if not book:
        facts.begin(time_ns())
    book += (time_ns(), RECEIVED, _ORIGIN, b"%64d" % number, None)


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
    facts = Facts(later=lambda seconds, call: None)
    ring = Ring(_PLENTY, facts.flush)
    facts.keep(ring)
    gc.collect()
    traced_already = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000, 6000):
            traffic(facts, number)
            if number % 50 == 0:
                facts.flush()
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
