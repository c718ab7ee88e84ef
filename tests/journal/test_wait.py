"""`netsvc.journal.watch`: waiting for facts, and reading those that are there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from netsvc.facts import RECEIVED, SENT
from netsvc.journal.query import Filter, Page, matching
from netsvc.journal.reading import Gap
from netsvc.journal.watch import Found, TooManyWatchersError

from .rows import nobody, seqs
from .watch_rig import EVERYTHING, WatchRig


def answers(waiting: Deferred[Found]) -> list[Found]:
    """What a wait ends with, as soon as it has ended."""
    found: list[Found] = []
    waiting.addCallback(found.append)
    return found


def data_of(found: Found) -> list[bytes]:
    """The data of what was found."""
    return [row[5] for row in found.rows]


def test_what_is_there_already_counts() -> None:
    rig = WatchRig()
    rig.emit(b"1", b"2", b"3")
    found = answers(rig.watchers.wait(EVERYTHING, 2, 0, timeout=10))
    rig.pass_time(0.01)
    assert data_of(found[0]) == [b"1", b"2"]
    assert found[0].enough
    assert found[0].last == rig.timeline.since(0)[1][0]


def test_what_comes_later_is_answered_when_it_is_handed_on() -> None:
    rig = WatchRig()
    rig.emit(b"1")
    found = answers(rig.watchers.wait(EVERYTHING, 2, "last", timeout=10))
    rig.pass_time()
    rig.emit(b"2")
    rig.pass_time()
    assert found == []
    rig.emit(b"3", b"4")
    rig.clock.advance(0.005)
    assert data_of(found[0]) == [b"2", b"3"]


def test_a_wait_is_answered_without_an_interval_also_beside_somebody_who_follows() -> None:
    rig = WatchRig(interval=1.0)
    rig.follow()
    found = answers(rig.watchers.wait(EVERYTHING, 3, 0, timeout=10))
    for number in (b"1", b"2", b"3"):
        rig.emit(number)
        rig.pass_time(0.01)
    assert data_of(found[0]) == [b"1", b"2", b"3"]


def test_the_time_ends_with_what_there_was() -> None:
    rig = WatchRig()
    found = answers(rig.watchers.wait(EVERYTHING, 2, 0, timeout=10))
    rig.emit(b"1")
    rig.pass_time(9)
    assert found == []
    rig.pass_time(1.1)
    assert data_of(found[0]) == [b"1"]
    assert (found[0].enough, found[0].last) == (False, rig.timeline.last)


def test_without_time_it_only_looks() -> None:
    rig = WatchRig(slice_rows=2)
    assert answers(rig.watchers.wait(EVERYTHING, 1, 0, timeout=0)) == [Found([], 0, False)]
    rig.emit(b"1", b"2", b"3", b"4", b"5")
    found = answers(rig.watchers.wait(Filter.parse({"contains": ["5"]}), 2, 0, timeout=0))
    rig.clock.advance(0)
    assert data_of(found[0]) == [b"5"]
    assert (found[0].enough, found[0].last) == (False, rig.timeline.last)


def test_everything_that_is_there_when_the_time_is_over_is_looked_at() -> None:
    rig = WatchRig(slice_rows=1)
    rig.timeline.read_seconds = 1.0
    rig.emit(*[b"x"] * 50, b"y")
    found = answers(rig.watchers.wait(Filter.parse({"contains": ["y"]}), 1, 0, timeout=10))
    rig.pass_time(20)
    assert found == []
    rig.pass_time(1000)
    assert found[0].enough


def test_cancelled_it_leaves_nothing_behind() -> None:
    rig = WatchRig()
    waiting = rig.watchers.wait(EVERYTHING, 2, 0, timeout=10)
    failures: list[Failure] = []
    waiting.addErrback(failures.append)
    rig.emit(b"1")
    rig.pass_time(0.1)
    waiting.cancel()
    assert failures[0].check(CancelledError)
    assert (len(rig.watchers), rig.facts.archives, rig.clock.getDelayedCalls()) == (0, 1, [])


def test_answered_it_leaves_nothing_behind() -> None:
    rig = WatchRig()
    found = answers(rig.watchers.wait(EVERYTHING, 1, 0, timeout=10))
    assert rig.facts.archives == 2
    rig.emit(b"1")
    rig.pass_time()
    assert found
    assert (len(rig.watchers), rig.facts.archives, rig.clock.getDelayedCalls()) == (0, 1, [])


def test_it_answers_early_rather_than_collect_without_bound() -> None:
    rig = WatchRig(wait_bytes=2500)
    rig.emit(*[b"x" * 600] * 5)
    found = answers(rig.watchers.wait(EVERYTHING, 5, 0, timeout=10))
    rig.pass_time(0.1)
    assert (len(found[0].rows), found[0].enough) == (3, False)
    assert found[0].last == found[0].rows[-1][0]


def test_one_too_many_is_refused() -> None:
    rig = WatchRig(watchers=2)
    rig.follow().following.pause()
    answers(rig.watchers.wait(EVERYTHING, 1, 0, timeout=10))
    failures: list[Failure] = []
    rig.watchers.wait(EVERYTHING, 1, 0, timeout=10).addErrback(failures.append)
    assert failures[0].check(TooManyWatchersError)
    with pytest.raises(TooManyWatchersError, match="2 watchers of the timeline already"):
        rig.follow()


def test_readers_of_the_newest_are_watchers_too_until_they_are_answered() -> None:
    rig, newest = WatchRig(watchers=2, slice_rows=1), Page(order="newest")
    rig.emit(b"1", b"2")
    found = answers(rig.watchers.read(EVERYTHING, newest))
    cancelled = rig.watchers.read(EVERYTHING, newest)
    failures: list[Failure] = []
    rig.watchers.read(EVERYTHING, newest).addErrback(failures.append)
    rig.watchers.wait(EVERYTHING, 1, 0, timeout=10).addErrback(failures.append)
    assert [bool(failure.check(TooManyWatchersError)) for failure in failures] == [True, True]
    assert (len(rig.watchers), found) == (2, [])
    cancelled.addErrback(failures.append)
    cancelled.cancel()
    assert len(rig.watchers) == 1
    rig.pass_time(0.1)
    assert data_of(found[0]) == [b"2", b"1"]
    assert len(rig.watchers) == 0


def test_stopping_answers_those_who_wait() -> None:
    rig = WatchRig()
    found = answers(rig.watchers.wait(EVERYTHING, 2, 0, timeout=10))
    rig.emit(b"1")
    rig.pass_time(0.1)
    rig.watchers.stop()
    assert [data_of(one) for one in found] == [[b"1"]]
    assert (rig.facts.archives, rig.clock.getDelayedCalls()) == (1, [])


def test_one_whose_answer_ends_another_wait_may_do_so_while_all_are_stopped() -> None:
    rig = WatchRig()
    waits = [rig.watchers.wait(EVERYTHING, 1, 0, timeout=10) for _ in range(2)]
    failures: list[Failure] = []

    def cancel_all(found: Found) -> Found:
        for one in waits:
            one.cancel()
        return found

    for one in waits:
        one.addCallback(cancel_all).addErrback(failures.append)
    rig.watchers.stop()
    assert len(rig.watchers) == 0
    assert [failure.type for failure in failures] == [CancelledError]


def test_a_match_that_began_long_before_is_found_by_whoever_goes_on_there() -> None:
    rig = WatchRig(context=0)
    wanted = Filter.parse({"contains": ["GOT IP", "!"]})
    rig.emit(b"GOT")
    rig.emit(b"!", connection=8)
    found = answers(rig.watchers.wait(wanted, 1, 0, timeout=10))
    rig.pass_time(0.1)
    again = [answers(rig.watchers.wait(wanted, 1, found[0].last, timeout=10)) for _ in range(2)]
    rig.emit(b" ")
    rig.pass_time(0.1)
    later = answers(rig.watchers.wait(wanted, 1, found[0].last, timeout=10))
    rig.emit(b"IP")
    rig.pass_time(0.1)
    assert [data_of(one[0]) for one in (*again, later)] == [[b"IP"]] * 3


def test_a_match_that_began_a_little_before_is_found_by_anybody() -> None:
    rig = WatchRig()
    rig.emit(b"GO", b"T ")
    found = answers(rig.watchers.wait(Filter.parse({"contains": ["GOT IP"]}), 1, "last", timeout=10))
    rig.emit(b"IP")
    rig.pass_time(0.1)
    assert data_of(found[0]) == [b"IP"]


def test_what_is_lost_behind_a_place_can_be_asked() -> None:
    rig = WatchRig()
    rig.emit(b"1", b"2")
    first, last = seqs(rig.timeline.since(0))
    assert rig.watchers.gap(first) is None
    rig.timeline.clear()
    gap = rig.watchers.gap(first)
    assert gap is not None
    assert gap[:2] == (first, last)
    assert rig.watchers.gap(last) is None
    assert rig.watchers.gap(0) is None


def test_a_wait_knows_how_much_it_has_lost_all_in_all() -> None:
    rig = WatchRig()
    found = answers(rig.watchers.wait(EVERYTHING, 3, 0, timeout=10))
    rig.emit(b"1")
    rig.pass_time(0.1)
    first = rig.timeline.last
    for number, lost in ((b"2", 2), (b"3", 3)):
        rig.emit(*[b"lost"] * lost)
        rig.timeline.clear()
        rig.emit(number)
        rig.pass_time(0.1)
    assert data_of(found[0]) == [b"1", b"2", b"3"]
    # A fact that was seen is between them, and not among them.
    assert found[0].gap == Gap(first, rig.timeline.gone, 5)


_PIECES = st.lists(
    st.tuples(st.sampled_from([1, 2, None]), st.sampled_from([RECEIVED, SENT]), st.text("ab", max_size=3)),
    max_size=25,
)
_QUERIES = st.sampled_from(
    [{}, {"kind": ["sent"]}, {"contains": ["ab"]}, {"contains": ["aab", "ba"], "kind": ["received"]}]
)
_LIMITS = st.sampled_from(
    [{}, {"slice_rows": 1}, {"slice_rows": 2, "context": 0}, {"slice_rows": 3, "remembered": 0}]
)


@given(_PIECES, _QUERIES, _LIMITS, st.data())
def test_waits_one_after_the_other_see_every_fact_that_fits_exactly_once(
    pieces: list[tuple[int | None, str, str]],
    query: dict[str, list[str]],
    limits: dict[str, int],
    data: st.DataObject,
) -> None:
    rig = WatchRig(**limits)
    wanted, place, results = Filter.parse(query), 0, []

    def wait() -> list[Found]:
        count = data.draw(st.integers(1, 3))
        return answers(rig.watchers.wait(wanted, count, place, data.draw(st.sampled_from([0, 0.02, 5]))))

    waiting = wait()
    for number, kind, text in pieces:
        rig.emit(text.encode(), connection=number, kind=kind)
        rig.clock.advance(data.draw(st.sampled_from([0, 0, 0.002, 0.005, 0.1])))
        if waiting:
            results += seqs(waiting[0].rows)
            place = waiting[0].last
            waiting = wait()
    while True:
        rig.pass_time(10)
        results += seqs(waiting[0].rows)
        if not waiting[0].rows:
            break
        place = waiting[0].last
        waiting = wait()
    assert results == seqs(matching(rig.timeline.since(0), wanted, nobody))
    assert rig.clock.getDelayedCalls() == []


@given(_PIECES, _QUERIES, st.integers(0, 25), st.integers(1, 6), st.integers(1, 30), st.data())
def test_a_page_has_the_first_or_the_last_of_what_fits(
    pieces: list[tuple[int | None, str, str]],
    query: dict[str, list[str]],
    skipped: int,
    limit: int,
    slice_rows: int,
    data: st.DataObject,
) -> None:
    rig = WatchRig(slice_rows=slice_rows)
    for number, kind, text in pieces:
        rig.emit(text.encode(), connection=number, kind=kind)
    everything = seqs(rig.timeline.since(0))
    after = everything[skipped] if skipped < len(everything) else 0
    wanted = Filter.parse(query)
    fitting = [seq for seq in seqs(matching(rig.timeline.since(0), wanted, nobody)) if seq > after]
    order = data.draw(st.sampled_from(["oldest", "newest"]))
    found = answers(rig.watchers.read(wanted, Page(after, order, limit)))
    if order == "newest":
        rig.emit(b"ab" * 10, connection=1)  # what comes after the question is not in the answer
        fitting.reverse()
    rig.pass_time(0.1)
    assert seqs(found[0].rows) == fitting[:limit]
    assert found[0].enough == (len(fitting) >= limit)
    assert len(rig.watchers) == 0


@pytest.mark.parametrize("query", [{}, {"contains": ["xx"]}])
def test_a_newest_page_is_bounded_in_bytes(query: dict[str, list[str]]) -> None:
    rig = WatchRig(wait_bytes=2500)
    rig.emit(*[b"x" * 600] * 5)
    newest: Any = Page(0, "newest", 5)
    found = answers(rig.watchers.read(Filter.parse(query), newest))
    rig.pass_time(0.1)
    assert (len(found[0].rows), found[0].enough) == (3, False)


def test_no_match_goes_on_across_what_is_lost_while_a_newest_page_is_read() -> None:
    rig = WatchRig(slice_rows=1)
    rig.emit(b"GOT", b"!", b" IP", b"GOT IP")
    found = answers(rig.watchers.read(Filter.parse({"contains": ["GOT IP"]}), Page(0, "newest", 5)))
    rows = rig.timeline.since(0)
    rig.timeline.clear()
    rig.timeline.take(rows[2][0], tuple(value for one in rows[2:] for value in (*one[1:4], one[5], None)))
    rig.pass_time(0.1)
    assert data_of(found[0]) == [b"GOT IP"]
