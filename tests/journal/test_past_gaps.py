"""`netsvc.journal.past`: what is not there, and is told to whoever asked for it."""

from __future__ import annotations

from typing import Any

import pytest

from twisted.internet.defer import Deferred

from netsvc.journal.query import Filter, Page
from netsvc.journal.reading import Gap
from netsvc.journal.watch import Found

from .past_rig import MANY, PastRig, data_of, found_by, full, read, seq_of
from .watch_rig import EVERYTHING


@pytest.fixture
def rig() -> PastRig:
    """Many facts, of which the ring has the last ones alone."""
    return full()


def test_what_is_not_written_yet_is_waited_for() -> None:
    rig = PastRig()
    follower = rig.follow()
    for one in MANY:
        rig.emit(one)
        rig.clock.advance(0.005)
    behind = len(follower.data)
    rig.pass_time(5)
    found: list[Found] = []
    rig.watchers.read(EVERYTHING, Page(limit=1000)).addCallback(found.append)
    newest: list[Found] = []
    rig.watchers.read(EVERYTHING, Page(limit=1000, order="newest")).addCallback(newest.append)
    rig.pass_time(5)
    assert found == newest == []
    rig.history.write()
    rig.pass_time()
    assert data_of(found[0]) == MANY
    assert data_of(newest[0]) == MANY[::-1]
    assert tuple(follower.data) == MANY
    assert behind <= len(MANY)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_where_writing_does_not_work_what_is_not_written_is_a_gap(rig: PastRig, order: str) -> None:
    written = rig.timeline.last
    for one in MANY:
        rig.emit(one)
        rig.clock.advance(0.005)
    rig.history.stalled = True
    found = read(rig, order=order)
    there = len(rig.timeline)
    assert sorted(data_of(found)) == sorted(MANY + MANY[-there:])
    assert found.gap is not None
    assert found.gap.until == rig.timeline.gone
    # It begins behind what is written, or anywhere before what is not.
    assert written <= found.gap.after < written + 10_000


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("after", [0, 1])
def test_what_cannot_be_read_is_a_gap_and_the_ring_answers(rig: PastRig, order: str, after: int) -> None:
    rig.history.broken = True
    found = read(rig, order=order, after=after)
    assert len(found.rows) == len(rig.timeline)
    assert found.gap == Gap(after, rig.timeline.gone, None)


def test_a_follower_is_told_so_too(rig: PastRig) -> None:
    rig.history.broken = True
    follower = rig.follow()
    rig.pass_time()
    assert follower.gaps == [Gap(0, rig.timeline.gone, None)]
    assert len(follower.data) == len(rig.timeline)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_was_removed_is_a_gap_for_who_goes_on_from_before_it(rig: PastRig, order: str) -> None:
    fifth, tenth = seq_of(rig, b"5"), seq_of(rig, b"10")
    rig.history.remove(tenth)
    found = read(rig, after=fifth, order=order)
    assert found.gap is not None
    assert (found.gap.after, found.gap.facts) == (fifth, None)
    assert tenth <= found.gap.until < found.rows[0 if order == "oldest" else -1][0]
    assert sorted(data_of(found)) == sorted(MANY[11:])
    assert read(rig, after=tenth, order=order).gap is None
    # Who asks for all asks for what is there.
    assert read(rig, order=order).gap is None


#: What is found by an index.
_INDEXED = Filter.parse({"service": ["echo"]})


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_was_removed_the_ring_still_tells(rig: PastRig, order: str) -> None:
    there, gone = MANY[-len(rig.timeline) :], rig.timeline.gone
    rig.history.remove(seq_of(rig, there[-2]))
    for after in (0, gone):
        found = read(rig, _INDEXED, after=after, order=order)
        assert (data_of(found)[:: 1 if order == "oldest" else -1], found.gap) == (there, None)
    behind = read(rig, _INDEXED, after=gone - 1, order=order)
    assert (len(behind.rows), behind.gap) == (len(there), Gap(gone - 1, gone, None))


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_is_removed_while_it_is_looked_for_the_ring_still_tells(rig: PastRig, order: str) -> None:
    there, gone = MANY[-len(rig.timeline) :], rig.timeline.gone
    found: list[Found] = []
    page = Page(limit=1000, after=gone, order=order)
    rig.watchers.read(_INDEXED, page).addCallback(found.append)
    rig.clock.advance(0.0005)
    assert rig.history.questions == 1
    rig.history.remove(seq_of(rig, there[-2]))
    rig.pass_time()
    assert (sorted(data_of(found[0])), found[0].gap) == (sorted(there), None)


def test_who_waits_for_many_is_given_those_that_were_removed(rig: PastRig) -> None:
    there, gone = MANY[-len(rig.timeline) :], rig.timeline.gone
    rig.history.remove(seq_of(rig, there[-2]))
    found = found_by(rig, rig.watchers.wait(_INDEXED, len(there), gone, 10))
    assert (data_of(found), found.enough, found.gap) == (there, True, None)


def test_what_was_before_this_process_may_be_missing(rig: PastRig) -> None:
    assert read(rig, after=rig.began - 5).gap == Gap(rig.began - 5, seq_of(rig, b"0") - 1, None)
    assert read(rig, after=rig.began).gap is None


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_was_never_written_is_a_gap_with_its_number(rig: PastRig, order: str) -> None:
    last = rig.timeline.last
    for one in MANY[:15]:
        rig.emit(one)
        rig.clock.advance(0.005)
    rig.history.lose()
    rig.fill(*MANY)
    assert rig.history.lost is not None
    found = read(rig, after=last - 1, order=order)
    assert found.gap == Gap(rig.history.lost[0] - 1, rig.history.lost[1], 15)
    assert len(found.rows) == 1 + len(MANY)


def test_who_waits_is_told_of_all_that_is_not_there(rig: PastRig) -> None:
    begin = seq_of(rig, b"5") - 10
    rig.history.remove(begin + 10)
    for one in MANY[:15]:
        rig.emit(one)
        rig.clock.advance(0.005)
    rig.history.lose()
    rig.fill(*MANY)
    found = found_by(rig, rig.watchers.wait(EVERYTHING, 200, begin, 0.5))
    assert rig.history.lost is not None
    assert data_of(found) == MANY[6:] + MANY
    # How many were removed nobody knows.
    assert found.gap == Gap(begin, rig.history.lost[1], None)


def test_a_defect_ends_those_whom_it_meets_and_is_logged(
    rig: PastRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*arguments: object) -> Deferred[Any]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(rig.history, "find", find)
    follower = rig.follow()
    found = found_by(rig, rig.watchers.wait(EVERYTHING, 1, 0, 5))
    assert (found.rows, found.enough) == ([], False)
    assert follower.dropped == ["it could not be read"]
    assert len(rig.watchers) == 0


def test_emptying_the_ring_leaves_what_is_written(rig: PastRig) -> None:
    rig.timeline.clear()
    assert data_of(read(rig)) == MANY
    assert data_of(read(rig, order="newest")) == MANY[::-1]
