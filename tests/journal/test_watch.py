"""`netsvc.journal.watch`: following facts as they come, at any pace, and without harm to anybody."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twisted.logger import LogLevel, capturedLogs

from netsvc.facts import RECEIVED, SENT
from netsvc.journal.query import Filter, matching

from .rows import nobody, seqs
from .watch_rig import PLENTY, Follower, WatchRig


def test_what_is_there_comes_first_and_then_what_comes() -> None:
    rig = WatchRig()
    rig.emit(b"1", b"2")
    follower = rig.follow()
    assert follower.deliveries == []
    rig.pass_time(0.01)
    rig.emit(b"3")
    rig.pass_time()
    assert follower.data == [b"1", b"2", b"3"]
    assert follower.following.place == rig.timeline.last


def test_it_begins_where_it_is_told_to() -> None:
    rig = WatchRig()
    rig.emit(b"1", b"2", b"3")
    first = rig.timeline.since(0)[0][0]
    behind, new = rig.follow(after=first), rig.follow(after="last")
    rig.emit(b"4")
    rig.pass_time()
    assert (behind.data, new.data) == ([b"2", b"3", b"4"], [b"4"])


# -- pausing, and what is lost -----------------------------------------------------------------------


def test_who_paused_catches_up_in_slices() -> None:
    rig = WatchRig(facts=2)
    follower = rig.follow()
    follower.following.pause()
    follower.following.pause()
    rig.emit(b"1", b"2", b"3", b"4", b"5")
    rig.pass_time()
    assert follower.data == []
    follower.following.resume()
    follower.following.resume()
    rig.pass_time()
    assert [len(delivery.rows) for delivery in follower.deliveries] == [2, 2, 1]
    assert follower.data == [b"1", b"2", b"3", b"4", b"5"]


def test_who_pauses_at_a_delivery_has_had_it() -> None:
    rig = WatchRig(facts=1)
    follower: Follower = rig.follow(then=lambda: follower.following.pause())
    other = rig.follow()
    rig.emit(b"1", b"2")
    rig.pass_time()
    assert (follower.data, other.data) == ([b"1"], [b"1", b"2"])
    follower.following.resume()
    rig.pass_time()
    assert follower.data == [b"1", b"2"]


def test_who_is_paused_or_stopped_by_another_loses_nothing_and_gets_nothing_more() -> None:
    rig = WatchRig()

    def at_once() -> None:
        second.following.pause()
        third.following.stop()

    first = rig.follow(then=at_once)
    second, third = rig.follow(), rig.follow()
    rig.pass_time()
    rig.emit(b"1")
    rig.pass_time()
    assert (first.data, second.data, third.data) == ([b"1"], [b"1"], [])
    rig.emit(b"2")
    rig.pass_time()
    second.following.resume()
    rig.pass_time()
    assert (first.data, second.data, third.data) == ([b"1", b"2"], [b"1", b"2"], [])


def test_who_is_too_slow_for_the_ring_is_told_how_much_it_missed() -> None:
    rig = WatchRig(memory=10_000)
    follower = rig.follow()
    rig.emit(b"seen")
    rig.pass_time()
    seen = rig.timeline.last
    follower.following.pause()
    for _ in range(100):
        rig.emit(b"x" * 100)
        rig.pass_time(0.01)
    follower.following.resume()
    rig.pass_time()
    [gap] = follower.gaps
    assert gap == (seen, rig.timeline.gone, 101 - len(follower.data))
    assert follower.deliveries[1].gap is gap


def test_a_gap_is_told_also_where_nothing_fits() -> None:
    rig = WatchRig()
    follower = rig.follow(Filter.parse({"service": ["chat"]}))
    follower.following.pause()
    rig.emit(b"1", b"2")
    rig.timeline.clear()
    follower.following.resume()
    rig.pass_time()
    assert [(gap.until, gap.facts) for gap in follower.gaps] == [(rig.timeline.gone, None)]


def test_what_is_lost_again_before_it_was_caught_up_with_is_counted_too() -> None:
    rig = WatchRig(facts=2)
    follower: Follower = rig.follow(then=lambda: follower.following.pause())
    rig.emit(b"1")
    rig.pass_time()
    for number in range(3):
        rig.emit(*[b"lost"] * (number + 3))
        rig.timeline.clear()
        rig.emit(*[b"seen"] * 2, *[b"lost"] * (number + 5))
        follower.following.resume()
        rig.pass_time()
    assert follower.data == [b"1", *[b"seen"] * 6]
    assert [gap.facts for gap in follower.gaps] == [3, 5 + 4, 6 + 5]


def test_what_is_lost_by_what_is_noted_while_others_are_shown_something_is_a_gap() -> None:
    rig = WatchRig(memory=20_000)
    rig.emit(b"1", b"2")
    place = rig.timeline.since(0)[0][0]
    noted = [[b"x"] * 300]
    first = rig.follow(then=lambda: rig.emit(*(noted.pop() if noted else ())))
    second = rig.follow(after=place)
    rig.pass_time()
    there = seqs(rig.timeline.since(0))
    assert 0 < len(there) < 300
    assert first.seqs == [place, place + 1, *there]
    assert second.seqs == there
    assert [gap.after for gap in first.gaps + second.gaps] == [place + 1, place]


def test_who_comes_back_after_too_long_is_told_that_facts_are_lost() -> None:
    rig = WatchRig()
    rig.emit(b"1", b"2", b"3")
    place = rig.timeline.since(0)[0][0]
    rig.timeline.clear()
    rig.emit(b"4")
    follower, newcomer = rig.follow(after=place), rig.follow(after=0)
    rig.pass_time()
    assert follower.data == newcomer.data == [b"4"]
    assert follower.gaps == [(place, rig.timeline.gone, None)]
    assert newcomer.gaps == []


def test_what_is_cleared_before_it_was_seen_is_a_gap_and_no_match_goes_on_across_it() -> None:
    rig = WatchRig()
    follower = rig.follow(Filter.parse({"contains": ["GOT IP"]}))
    rig.emit(b"GOT")
    rig.pass_time()
    rig.emit(b"!")
    rig.timeline.clear()
    rig.emit(b" IP")
    rig.pass_time()
    assert [gap.facts for gap in follower.gaps] == [1]
    assert follower.data == []


def test_who_is_paused_for_too_long_is_dropped_and_told() -> None:
    rig = WatchRig(patience=30)
    slow, quick = rig.follow(), rig.follow()
    slow.following.pause()
    quick.following.pause()
    rig.pass_time(29)
    quick.following.resume()
    rig.pass_time(2)
    assert (slow.dropped, quick.dropped) == (["it was paused for too long"], [])
    slow.following.resume()
    rig.emit(b"x")
    rig.pass_time()
    assert (slow.data, quick.data, len(rig.watchers)) == ([], [b"x"], 1)


def test_patience_can_be_without_end() -> None:
    rig = WatchRig(patience=0)
    follower = rig.follow()
    follower.following.pause()
    assert rig.clock.getDelayedCalls() == []


# -- those who do harm -------------------------------------------------------------------------------


def test_one_that_fails_is_dropped_and_the_others_miss_nothing() -> None:
    rig = WatchRig()

    def fail() -> None:
        raise RuntimeError("no {room}")

    before = rig.follow()
    failing = rig.follow(then=fail)
    after = rig.follow()
    rig.pass_time()
    with capturedLogs() as logged:
        rig.emit(b"1")
        rig.pass_time()
        rig.emit(b"2")
        rig.pass_time()
    assert (before.data, failing.data, after.data) == ([b"1", b"2"], [b"1"], [b"1", b"2"])
    assert failing.dropped == ["it failed"]
    assert [(event["log_level"], event["error"]) for event in logged] == [
        (LogLevel.error, "RuntimeError('no {room}')")
    ]


def test_one_that_fails_even_at_being_dropped_hurts_nobody() -> None:
    rig = WatchRig()

    def fail(why: str) -> None:
        raise RuntimeError(why)

    rig.watchers.follow(Filter(), 0, lambda delivery: None, PLENTY, fail)
    follower = rig.follow()
    with capturedLogs() as logged:
        rig.watchers.stop()
    assert follower.dropped == ["the daemon is stopping"]
    assert [event["log_level"] for event in logged] == [LogLevel.error]
    assert (rig.facts.archives, rig.clock.getDelayedCalls()) == (1, [])


# -- how much at a time ------------------------------------------------------------------------------


def test_a_delivery_ends_with_the_fact_that_fills_it() -> None:
    rig = WatchRig()
    rig.emit(*[b"x" * 600] * 5)
    follower = rig.follow(limit_bytes=2000)
    rig.pass_time()
    assert [len(delivery.rows) for delivery in follower.deliveries] == [2, 2, 1]


def test_a_sample_has_the_newest_and_counts_the_others() -> None:
    rig = WatchRig(interval=0.1)
    follower = rig.follow(Filter.parse({"kind": ["received"]}), rate=3)
    rig.emit(b"a", b"b", b"c", b"d")
    rig.emit(b"sent", kind=SENT)
    rig.pass_time()
    rig.emit(b"e")
    rig.pass_time()
    assert follower.data == [b"b", b"c", b"d", b"e"]
    assert [delivery.left_out for delivery in follower.deliveries] == [1, 0]


def test_a_flood_is_not_read_for_a_sample_of_everything() -> None:
    rig = WatchRig(slice_rows=10)
    follower = rig.follow(rate=3)
    rig.emit(b"first")
    rig.pass_time()
    slices = rig.timeline.slices
    rig.emit(*[b"flood"] * 10_000, b"x", b"y", b"z")
    rig.pass_time()
    assert rig.timeline.slices == slices
    assert follower.data == [b"first", b"x", b"y", b"z"]
    assert [delivery.left_out for delivery in follower.deliveries] == [0, 10_000]
    assert follower.following.place == rig.timeline.last


def test_a_sample_is_bounded_in_bytes_too() -> None:
    rig = WatchRig()
    rig.emit(*[b"x" * 600] * 5)
    follower = rig.follow(limit_bytes=2000, rate=4)
    rig.pass_time()
    assert [(len(delivery.rows), delivery.left_out) for delivery in follower.deliveries] == [(2, 3)]


# -- every fact once, whatever happens ---------------------------------------------------------------

_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([1, 2, None]), st.sampled_from([RECEIVED, SENT]), st.text("ab", max_size=3)
        ),
        st.sampled_from(["pause", "resume", "again", "turn", "later", "much later"]),
    ),
    max_size=40,
)
_QUERIES = st.sampled_from([{}, {"kind": ["sent"]}, {"contains": ["ab"]}, {"contains": ["aab", "ba"]}])
_LIMITS = st.sampled_from(
    [{}, {"slice_rows": 1}, {"slice_rows": 2, "context": 0}, {"facts": 1, "remembered": 0}]
)
_SECONDS = {"turn": 0.0, "later": 0.005, "much later": 1.0}


@given(_STEPS, st.lists(_QUERIES, min_size=1, max_size=4), _LIMITS, st.data())
def test_followers_see_every_fact_that_fits_exactly_once(
    steps: list[Any], queries: list[dict[str, list[str]]], limits: dict[str, Any], data: st.DataObject
) -> None:
    rig = WatchRig(**limits)
    lives = [[rig.follow(Filter.parse(query))] for query in queries]
    for step in steps:
        if isinstance(step, tuple):
            rig.emit(step[2].encode(), connection=step[0], kind=step[1])
        elif step in _SECONDS:
            rig.clock.advance(_SECONDS[step])
        else:
            number = data.draw(st.integers(0, len(lives) - 1))
            _disturb(rig, step, Filter.parse(queries[number]), lives[number])
    for life in lives:
        life[-1].following.resume()
    rig.pass_time()
    everything = rig.timeline.since(0)
    for query, life in zip(queries, lives, strict=True):
        fitting = seqs(matching(everything, Filter.parse(query), nobody))
        assert [seq for follower in life for seq in follower.seqs] == fitting


def _disturb(rig: WatchRig, step: str, wanted: Filter, life: list[Follower]) -> None:
    following = life[-1].following
    if step == "pause":
        following.pause()
    elif step == "resume":
        following.resume()
    else:
        following.stop()
        life.append(rig.follow(wanted, following.place))


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(["pause", "resume", "later", "clear"])), max_size=20
    ),
    st.sampled_from([None, 1, 5]),
)
def test_what_was_delivered_lost_and_left_out_is_everything(
    steps: list[tuple[int, str]], rate: int | None
) -> None:
    rig = WatchRig(memory=5000, slice_rows=7)
    follower = rig.follow(rate=rate)
    emitted = 1
    rig.emit(b"x")
    rig.pass_time()  # it has been at the end once: from here on it can be counted what was lost
    for count, step in steps:
        rig.emit(*[b"x"] * count)
        emitted += count
        if step == "later":
            rig.pass_time(0.1)
        elif step == "clear":
            rig.timeline.clear()
        elif step == "pause":
            follower.following.pause()
        else:
            follower.following.resume()
    follower.following.resume()
    rig.pass_time()
    lost = [gap.facts for gap in follower.gaps]
    left_out = sum(delivery.left_out for delivery in follower.deliveries)
    assert len(follower.seqs) + left_out + sum(number or 0 for number in lost) == emitted
    assert None not in lost
    assert follower.seqs == sorted(set(follower.seqs))
