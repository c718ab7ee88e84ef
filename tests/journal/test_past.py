"""`netsvc.journal.past`: ring and history are one thing to read, whichever way, while both go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.journal.query import Filter, Page
from netsvc.journal.reading import Gap
from netsvc.journal.watch import Found

from .past_rig import MANY, PastRig, data_of, found_by, full, read, seq_of
from .rows import seqs
from .watch_rig import EVERYTHING


@pytest.fixture
def rig() -> PastRig:
    """Many facts, of which the ring has the last ones alone."""
    return full()


# -- both ways ---------------------------------------------------------------------------------------------


def test_all_that_ever_was_is_read_once_and_in_order(rig: PastRig) -> None:
    found = read(rig)
    assert data_of(found) == MANY
    assert (found.last, found.more, found.gap) == (rig.timeline.last, False, None)


def test_and_the_newest_first(rig: PastRig) -> None:
    found = read(rig, order="newest")
    assert data_of(found) == MANY[::-1]
    assert (found.last, found.more, found.gap) == (rig.timeline.last, False, None)


@pytest.mark.parametrize("contains", [[], ["11", "45", "51", "95", "57", "58"]])
@pytest.mark.parametrize("limit", [1, 7, 20, 59, 60])
def test_it_can_be_read_by_the_page_either_way(rig: PastRig, limit: int, contains: list[str]) -> None:
    wanted = Filter.parse({"contains": contains})
    expected = data_of(read(rig, wanted))
    assert len(expected) > 5
    rig.history.scan = 3
    oldest: list[bytes] = []
    newest: list[bytes] = []
    page = Page(limit=limit)
    while True:
        found = read(rig, wanted, limit=limit, after=page.after)
        oldest += data_of(found)
        if not found.more:
            break
        page = replace(page, after=found.last)
    page = Page(order="newest", limit=limit)
    while True:
        found = read(rig, wanted, order="newest", limit=limit, before=page.before)
        newest += data_of(found)
        if not found.more:
            break
        page = replace(page, before=found.before)
    assert tuple(oldest) == expected
    assert tuple(newest) == expected[::-1]


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_page_has_an_end_on_either_side(rig: PastRig, order: str) -> None:
    found = read(rig, after=seq_of(rig, b"9"), before=seq_of(rig, b"12"), order=order)
    assert sorted(data_of(found)) == [b"10", b"11"]
    assert not found.more


@pytest.mark.parametrize("contains", [[], ["12", "55", "56", "57", "58"]])
def test_the_newest_are_all_found_also_while_they_leave_the_ring(contains: list[str]) -> None:
    rig = PastRig(slice_rows=1)
    rig.fill(*MANY)
    wanted = Filter.parse({"contains": contains})
    expected = data_of(read(rig, wanted))[::-1]
    found: list[Found] = []
    rig.watchers.read(wanted, Page(order="newest", limit=1000)).addCallback(found.append)
    for _ in range(3):
        # More at a time than it can look at meanwhile.
        rig.fill(*[b"later"] * 5)
    rig.pass_time()
    assert data_of(found[0]) == expected
    assert (found[0].gap, found[0].more) == (None, False)


def test_what_is_in_the_ring_is_asked_of_nobody_else(rig: PastRig) -> None:
    assert data_of(read(rig, after=seq_of(rig, b"57"))) == (b"58", b"59")
    assert data_of(read(rig, order="newest", limit=2)) == (b"59", b"58")
    assert data_of(read(rig, after="last")) == ()
    assert rig.history.questions == 0


def test_who_waits_at_the_end_has_what_comes_from_the_ring(rig: PastRig) -> None:
    found: list[Found] = []
    wanted = Filter.parse({"service": ["echo"]})
    rig.watchers.wait(wanted, 5, "last", 10).addCallback(found.append)
    for one in MANY[:5]:
        rig.fill(one)
        rig.pass_time(0.05)
    assert data_of(found[0]) == MANY[:5]
    assert rig.history.questions == 0
    # But who begins far behind is told by an index.
    assert len(read(rig, wanted, after=rig.timeline.gone).rows) == len(rig.timeline)
    assert rig.history.questions == 1


def test_who_follows_from_the_beginning_is_given_all(rig: PastRig) -> None:
    follower = rig.follow()
    rig.pass_time()
    rig.fill(b"a", b"b")
    rig.pass_time()
    assert tuple(follower.data) == (*MANY, b"a", b"b")
    assert follower.gaps == []


def test_a_sample_counts_what_it_leaves_out_there_too(rig: PastRig) -> None:
    follower = rig.follow(rate=5)
    rig.pass_time()
    assert len(follower.data) + sum(one.left_out for one in follower.deliveries) == len(MANY)
    assert follower.data[-1] == MANY[-1]


def test_who_was_paused_goes_on_where_it_was(rig: PastRig) -> None:
    follower = rig.follow(after="last")
    rig.pass_time()
    follower.following.pause()
    rig.fill(*MANY)
    follower.following.resume()
    rig.pass_time()
    assert tuple(follower.data) == MANY
    assert follower.gaps == []


def test_who_reads_slower_than_the_ring_moves_on_misses_nothing() -> None:
    rig = PastRig(slice_rows=1, turn=0.0, share=0.5)
    follower = rig.follow()
    rig.timeline.read_seconds = 0.5
    for one in MANY:
        rig.fill(one)
    rig.timeline.read_seconds = 0.0
    rig.pass_time(10)
    assert tuple(follower.data) == MANY
    assert rig.history.questions > 0


def test_what_is_noted_while_others_are_shown_something_is_missing_to_nobody() -> None:
    rig = PastRig(facts=1000)
    noted = [MANY]
    first = rig.follow(after="last", then=lambda: rig.emit(*(noted.pop() if noted else ())))
    second = rig.follow(Filter.parse({"service": ["echo"]}), after="last")
    rig.fill(b"the first")
    rig.pass_time()
    rig.history.write()
    rig.pass_time()
    for one in (first, second):
        assert tuple(one.data) == (b"the first", *MANY)
        assert one.gaps == []


def test_several_who_follow_are_each_given_all(rig: PastRig) -> None:
    followers = [rig.follow(), rig.follow(after=seq_of(rig, b"19")), rig.follow()]
    rig.pass_time()
    rig.fill(b"a")
    rig.pass_time()
    assert [len(one.data) for one in followers] == [61, 41, 61]
    assert all(len(set(one.seqs)) == len(one.seqs) for one in followers)


_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 40)),
        st.tuples(st.just("write"), st.just(0)),
        st.tuples(st.just("pass"), st.integers(1, 300)),
        st.tuples(st.just("follow"), st.just(0)),
        st.tuples(st.just("pause"), st.integers(0, 3)),
        st.tuples(st.just("resume"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Poller:
    """Somebody who waits for some facts, and then for more behind those, for ever."""

    def __init__(self, rig: PastRig, wanted: Filter, count: int) -> None:
        self.data: list[bytes] = []
        self._rig = rig
        self._asked = wanted, count
        self._wait(0)

    def _wait(self, after: int) -> None:
        wanted, count = self._asked
        self._rig.watchers.wait(wanted, count, after, 0.05).addCallback(self._found)

    def _found(self, found: Found) -> None:
        assert found.gap is None
        self.data += data_of(found)
        # Not at once, where it might never end.
        self._rig.clock.callLater(0.001, self._wait, found.last)


#: All of the rig's facts fit each of these; of some the history is asked for what the ring has, too.
_EVERY = [
    EVERYTHING,
    Filter.parse({"service": ["echo"]}),
    Filter.parse({"since": ["0"], "kind": ["received"]}),
]


@given(
    _ACTIONS,
    st.integers(1, 60),
    st.sampled_from([0.0, 0.001, 0.05]),
    st.integers(1, 40),
    st.sampled_from(_EVERY),
    st.sampled_from([4000, 100_000]),
)
def test_nothing_is_missing_and_nothing_is_there_twice_whatever_happens_when(
    actions: list[tuple[str, int]], scan: int, delay: float, facts: int, wanted: Filter, memory: int
) -> None:
    rig = PastRig(memory=memory, slice_rows=7, facts=facts)
    rig.history.scan, rig.history.delay = scan, delay
    followers, number = [rig.follow(wanted)], 0
    poller = Poller(rig, wanted, facts)
    for action, value in actions:
        if action == "emit":
            rig.emit(*(b"%d" % one for one in range(number, number + value)))
            number += value
        elif action == "write":
            rig.facts.flush()
            rig.history.write()
        elif action == "pass":
            rig.clock.pump([0.0005] * value)
        elif action == "follow":
            followers.append(rig.follow(wanted))
        else:
            chosen = followers[value % len(followers)].following
            (chosen.pause if action == "pause" else chosen.resume)()
    for one in followers:
        one.following.resume()
    rig.facts.flush()
    rig.history.write()
    rig.clock.pump([0.01] * 2000)
    for one in followers:
        assert [int(data) for data in one.data] == list(range(number))
        assert one.gaps == []
    assert [int(data) for data in poller.data] == list(range(number))
    for order in ("oldest", "newest"):
        rig.history.scan = 1000
        found = data_of(read(rig, wanted, order=order, limit=10_000))
        assert sorted(map(int, found)) == list(range(number))


# -- what is sought ----------------------------------------------------------------------------------------


def test_content_is_found_across_the_border(rig: PastRig) -> None:
    # What has left the ring ends in the middle of it, wherever that is.
    wanted = Filter.parse({"contains": [b"".join(MANY[30:60]).decode()]})
    for order in ("oldest", "newest"):
        assert data_of(read(rig, wanted, order=order)) == (MANY[59],)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_content_is_found_by_whoever_begins_in_the_middle_of_it(rig: PastRig, order: str) -> None:
    wanted = Filter.parse({"contains": ["101112"]})
    assert data_of(read(rig, wanted, after=seq_of(rig, b"11"), order=order)) == (b"12",)
    assert data_of(read(rig, wanted, after=seq_of(rig, b"12"), order=order)) == ()


def test_who_goes_on_from_the_last_answer_goes_on_with_what_was_seen(rig: PastRig) -> None:
    rig.history.forget_context()
    rig.history.scan = 5
    wanted, after = Filter.parse({"contains": ["10111213"]}), seq_of(rig, b"6")
    found: list[bytes] = []
    for _ in range(4):
        page = read(rig, wanted, after=after)
        found += data_of(page)
        after = page.last
    assert found == [b"13"]


def test_who_gave_up_before_anything_was_seen_knows_nothing_of_what_comes_before(rig: PastRig) -> None:
    wanted, after = Filter.parse({"contains": ["101112"]}), seq_of(rig, b"11")
    waiting = rig.watchers.wait(wanted, 1, after, 10)
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    assert data_of(read(rig, wanted, after=after)) == (b"12",)


def test_content_is_found_from_one_page_to_the_next(rig: PastRig) -> None:
    rig.history.scan = 1
    wanted = Filter.parse({"contains": ["181920"]})
    assert data_of(found_by(rig, rig.watchers.wait(wanted, 1, 0, 10))) == (b"20",)


def test_a_name_stands_for_the_address_that_has_it_now(rig: PastRig) -> None:
    wanted = Filter.parse({"name": ["sensor"]})
    for order in ("oldest", "newest"):
        assert data_of(read(rig, wanted, order=order)) == ()
    rig.clients.register("sensor", "127.0.0.1", 1, 0, 10)
    rig.clients.register("other", "192.0.2.1", 1, 0, 10)
    for order in ("oldest", "newest"):
        assert len(read(rig, wanted, order=order).rows) == len(MANY)
        assert data_of(read(rig, Filter.parse({"name": ["other"]}), order=order)) == ()
        peers = Filter.parse({"name": ["sensor"], "peer": ["192.0.2.1"]})
        assert data_of(read(rig, peers, order=order)) == ()
    # An address that two have is nobody's.
    rig.clients.register("twin", "127.0.0.1", 2, 0, 10)
    assert data_of(read(rig, wanted)) == ()


def test_a_time_is_a_time_on_either_side(rig: PastRig) -> None:
    times = [row[1] for row in read(rig).rows]
    for begin, end in ((5, 50), (0, 60), (20, 21), (55, 60)):
        wanted = Filter(since=times[begin], until=times[end] if end < 60 else None)
        for order in ("oldest", "newest"):
            assert sorted(seqs(read(rig, wanted, order=order).rows)) == seqs(read(rig).rows)[begin:end]


# -- a part at a time --------------------------------------------------------------------------------------


def test_a_question_looks_at_a_part_and_says_where_to_go_on(rig: PastRig) -> None:
    rig.history.scan = 10
    wanted = Filter.parse({"contains": ["25"], "kind": ["received"]})
    found = read(rig, wanted)
    assert (found.rows, found.more, rig.history.questions) == ([], True, 1)
    assert found.last == seq_of(rig, b"9")
    found = read(rig, wanted, after=found.last)
    assert (found.rows, found.more) == ([], True)
    found = read(rig, wanted, after=found.last)
    assert data_of(found) == (b"25",)


def test_a_wait_goes_on_by_itself(rig: PastRig) -> None:
    rig.history.scan = 1
    found = found_by(rig, rig.watchers.wait(Filter.parse({"contains": ["25"]}), 1, 0, 10))
    assert (data_of(found), found.enough) == ((b"25",), True)


def test_a_wait_ends_in_time_wherever_it_is_by_then(rig: PastRig) -> None:
    rig.history.scan, rig.history.delay = 1, 0.1
    found = found_by(rig, rig.watchers.wait(Filter.parse({"contains": ["25"]}), 1, 0, 1), 1.2)
    assert (found.rows, found.enough, found.more) == ([], False, True)
    assert seq_of(rig, b"5") < found.last < seq_of(rig, b"15")


def test_a_wait_ends_in_time_also_where_nothing_answers(rig: PastRig) -> None:
    rig.history.delay = 1000.0
    found = found_by(rig, rig.watchers.wait(EVERYTHING, 100, 0, 5), 6.1)
    assert (found.rows, found.enough, found.more, found.last) == ([], False, True, 0)
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_does_not_answer_at_all_is_a_gap(rig: PastRig, order: str) -> None:
    rig.history.delay = 1000.0
    found = found_by(rig, rig.watchers.read(EVERYTHING, Page(order=order, limit=1000)), 61)
    assert len(found.rows) == len(rig.timeline)
    assert found.gap == Gap(0, rig.timeline.gone, None)


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_the_ring_has_it_tells_where_nothing_else_does(rig: PastRig, order: str) -> None:
    rig.history.broken = True
    after = rig.timeline.gone
    for _ in range(2):
        found = read(rig, Filter.parse({"service": ["echo"]}), order=order, after=after)
        assert (len(found.rows), found.gap, found.more) == (len(rig.timeline), None, False)
    assert rig.history.questions == 1


def test_what_the_history_lost_the_ring_still_tells(rig: PastRig) -> None:
    last = rig.timeline.last
    rig.emit(b"lost")
    rig.facts.flush()
    rig.history.lose()
    for order in ("oldest", "newest"):
        found = read(rig, Filter.parse({"service": ["echo"]}), order=order, after=last)
        assert (data_of(found), found.gap) == ((b"lost",), None)


def test_given_up_it_leaves_nothing_behind(rig: PastRig) -> None:
    rig.history.delay = 1.0
    waiting = rig.watchers.wait(EVERYTHING, 100, 0, 10)
    failures: list[Any] = []
    waiting.addErrback(failures.append)
    rig.clock.advance(0.1)
    assert rig.history.questions == 1
    waiting.cancel()
    assert len(failures) == 1
    assert (len(rig.watchers), rig.facts.archives, rig.clock.getDelayedCalls()) == (0, 2, [])


def test_who_leaves_while_something_is_under_way_is_given_nothing(rig: PastRig) -> None:
    leaving, staying = rig.follow(), rig.follow()
    rig.clock.advance(0.0005)
    leaving.following.stop()
    rig.pass_time()
    assert (leaving.data, tuple(staying.data)) == ([], MANY)
