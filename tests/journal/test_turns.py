"""`netsvc.journal.turns`: who reads when, how long it may take, and what is done but once for many."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from netsvc.interfaces import IFactArchive
from netsvc.journal.query import Filter
from netsvc.journal.turns import Turns, WatchLimits

from .watch_rig import WatchRig


def test_turns_are_an_archive() -> None:
    rig = WatchRig()
    turns = Turns(rig.facts, rig.timeline, rig.clock, WatchLimits(), lambda delivery: b"")
    assert verifyObject(IFactArchive, turns)


def test_who_keeps_up_is_given_something_once_in_an_interval() -> None:
    rig = WatchRig(interval=0.1)
    follower = rig.follow()
    rig.emit(b"first")
    rig.clock.advance(0.005)
    assert follower.data == [b"first"]
    for _ in range(100):
        rig.emit(b"x")
        rig.clock.pump([0.005, 0.005])
    assert 10 <= len(follower.deliveries) <= 12
    rig.pass_time()
    assert len(follower.data) == 101


def test_while_nobody_watches_nothing_is_done() -> None:
    rig = WatchRig()
    assert rig.facts.archives == 1
    follower = rig.follow()
    assert rig.facts.archives == 2
    follower.following.pause()
    assert rig.facts.archives == 1
    follower.following.resume()
    assert rig.facts.archives == 2
    rig.emit(b"x")
    rig.pass_time()
    follower.following.stop()
    slices = rig.timeline.slices
    rig.emit(b"x")
    rig.pass_time()
    assert (rig.facts.archives, rig.timeline.slices, len(rig.watchers)) == (1, slices, 0)
    assert rig.clock.getDelayedCalls() == []


def test_while_nothing_happens_nothing_is_done() -> None:
    rig = WatchRig()
    rig.emit(b"x")
    rig.follow()
    rig.pass_time()
    slices = rig.timeline.slices
    rig.pass_time()
    assert (rig.timeline.slices, rig.clock.getDelayedCalls()) == (slices, [])


def test_reading_ends_in_time_and_rests_in_proportion() -> None:
    rig = WatchRig(slice_rows=1, share=0.25, turn=0.002)
    rig.emit(*[b"x"] * 10)
    rig.facts.flush()
    followers = [rig.follow(Filter.parse({"connection": ["7", str(number)]})) for number in (1, 2)]
    rig.timeline.read_seconds = 0.01
    rig.clock.advance(0)
    assert [len(follower.data) for follower in followers] == [1, 0]
    rig.clock.advance(0.029)
    assert [len(follower.data) for follower in followers] == [1, 0]
    rig.clock.advance(0.001)
    assert [len(follower.data) for follower in followers] == [1, 1]


def test_facts_that_are_handed_on_because_of_a_turn_do_not_shorten_the_rest() -> None:
    rig = WatchRig(slice_rows=1, share=0.25)
    follower = rig.follow()
    rig.timeline.read_seconds = 0.01
    rig.emit(b"1", b"2")
    rig.clock.advance(0.005)
    rig.emit(b"3")
    rig.clock.advance(0.025)
    assert follower.data == [b"1"]
    rig.emit(b"4")
    rig.clock.advance(0.005)
    assert follower.data == [b"1", b"2"]
    rig.clock.advance(0.025)
    assert follower.data == [b"1", b"2"]


def test_in_turns_of_too_little_time_for_all_everybody_has_one() -> None:
    rig = WatchRig(slice_rows=1, turn=0.002)
    followers = [rig.follow(Filter.parse({"connection": ["7", str(number)]})) for number in range(1, 6)]
    rig.timeline.read_seconds = 0.01
    for _ in range(50):
        rig.emit(b"x")
        rig.clock.advance(0.05)
    numbers = [len(follower.data) for follower in followers]
    assert min(numbers) >= 9
    assert max(numbers) - min(numbers) <= 1


def test_those_who_follow_the_same_share_reading_and_encoding() -> None:
    rig = WatchRig()
    rig.emit(*[b"x"] * 1000)
    first = rig.timeline.since(0)[0][0]
    followers = [rig.follow(after=after) for after in ("last", 0, first, "last")]
    followers[0].following.pause()
    rig.pass_time()
    followers[0].following.resume()
    rig.pass_time()
    slices = rig.timeline.slices
    rig.emit(b"y")
    rig.pass_time()
    deliveries = [follower.deliveries[-1] for follower in followers]
    assert [delivery.encoded for delivery in deliveries] == [b"y"] * 4
    assert len(set(map(id, deliveries))) == 1
    assert rig.encoded == deliveries[:1]
    assert rig.timeline.slices == slices + 1


def test_those_who_follow_something_else_share_reading() -> None:
    rig = WatchRig()
    for number in range(50):
        rig.follow(Filter.parse({"connection": [str(number + 1)]}))
    rig.emit(b"x")
    rig.pass_time()
    slices = rig.timeline.slices
    rig.emit(b"y")
    rig.pass_time()
    assert rig.timeline.slices == slices + 1


def test_one_of_many_that_pauses_keeps_its_own_place() -> None:
    rig = WatchRig()
    wanted = Filter.parse({"contains": ["ab"]})
    followers = [rig.follow(wanted) for _ in range(3)]
    rig.emit(b"a")
    rig.pass_time()
    followers[1].following.pause()
    rig.emit(b"b")
    rig.pass_time()
    followers[1].following.resume()
    rig.pass_time()
    assert [follower.data for follower in followers] == [[b"b"]] * 3
