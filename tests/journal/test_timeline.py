"""`netsvc.journal.timeline`: the ring read by the slice, and what it says of what has left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from netsvc.facts import RECEIVED, Facts
from netsvc.interfaces import IFactArchive, IFactStore
from netsvc.journal.timeline import Timeline

from .rows import origin, seqs

_PLENTY = 1 << 40


def filled(batches: list[tuple[int, int]], memory: int = _PLENTY) -> tuple[Timeline, list[int]]:
    """A timeline and the seqs it was given: of batches with a distance from the one before, and a size."""
    taken: list[int] = []
    timeline, last = Timeline(memory), 0
    for distance, size in batches:
        first = last + distance
        note = (first * 1000, RECEIVED, origin(), b"x", None)
        timeline.take(first, note * size)
        last = first + size - 1
        taken += range(first, last + 1)
    return timeline, taken


_BATCHES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=12)


def test_it_is_what_it_says() -> None:
    assert verifyObject(IFactStore, Timeline(1000))
    assert verifyObject(IFactArchive, Timeline(1000))


@given(_BATCHES, st.integers(0, 70), st.integers(1, 80), st.sampled_from([_PLENTY, 3000]))
def test_slices_are_what_a_list_would_give(
    batches: list[tuple[int, int]], seq: int, limit: int, memory: int
) -> None:
    timeline, taken = filled(batches, memory)
    there = taken[len(taken) - len(timeline) :]
    assert seqs(timeline.since(seq, limit)) == [one for one in there if one > seq][:limit]
    assert seqs(timeline.since(seq)) == [one for one in there if one > seq]
    assert seqs(timeline.before(seq, limit)) == [one for one in reversed(there) if one < seq][:limit]


@given(_BATCHES, st.sampled_from([1, 1000, 3000, _PLENTY]), st.booleans())
def test_it_knows_what_has_left(batches: list[tuple[int, int]], memory: int, clear: bool) -> None:
    timeline, taken = filled(batches, memory)
    if clear:
        timeline.clear()
    there = seqs(timeline.since(0))
    gone = taken[: len(taken) - len(there)]
    assert taken[len(gone) :] == there
    assert (timeline.taken, timeline.left) == (len(taken), len(gone))
    assert timeline.gone == (gone[-1] if gone else 0)
    assert timeline.last == (there[-1] if there else 0)


def test_what_was_before_this_process_is_gone() -> None:
    assert Timeline(1000, began=500).gone == 500


def test_what_others_had_is_gone_whatever_the_clock_said() -> None:
    timeline = Timeline(_PLENTY, began=500)
    for seq, began in ((400, 500), (900, 900), (700, 900)):
        timeline.begin_after(seq)
        assert (timeline.began, timeline.gone) == (began, began)
    timeline.take(1000, (1, RECEIVED, origin(), b"x", None))
    timeline.begin_after(2000)
    assert (timeline.began, timeline.gone, timeline.last) == (900, 900, 1000)
    timeline.clear()
    assert (timeline.began, timeline.gone) == (900, 1000)


def test_it_reads_what_has_not_been_handed_on_yet() -> None:
    later: list[object] = []
    facts = Facts(later=lambda seconds, call: later.append(call))
    timeline = Timeline(_PLENTY, facts.flush)
    facts.keep(timeline)
    facts.emit(RECEIVED, origin(), b"1")
    assert [row[5] for row in timeline.since(0, 5)] == [b"1"]
    facts.emit(RECEIVED, origin(), b"2")
    assert [row[5] for row in timeline.before(1 << 62, 5)] == [b"2", b"1"]
    facts.emit(RECEIVED, origin(), b"3")
    assert timeline.taken == 3
    facts.emit(RECEIVED, origin(), b"4")
    assert timeline.left == 0
    assert timeline.last == timeline.since(0, 5)[-1][0]
