"""Deadlines pass in time, one delayed call serves all, and the heap stays small."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from netsvc.clientlist.deadlines import BATCH, Deadlines


class Passed:
    """Deadlines with a clock and a list of what has passed, and when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.keys: list[tuple[float, str]] = []
        self.deadlines = Deadlines(self.clock, lambda key: self.keys.append((self.clock.seconds(), key)))


@pytest.fixture
def passed() -> Passed:
    return Passed()


def test_each_key_passes_once_at_its_time(passed: Passed) -> None:
    passed.deadlines.set("b", 2)
    passed.deadlines.set("a", 1)
    passed.deadlines.set("c", 3)
    passed.clock.pump([1, 1, 1, 1])
    assert passed.keys == [(1, "a"), (2, "b"), (3, "c")]
    assert passed.clock.getDelayedCalls() == []


def test_one_delayed_call_serves_every_key(passed: Passed) -> None:
    for seconds in (5, 3, 9, 1, 7):
        passed.deadlines.set(f"key{seconds}", seconds)
        assert len(passed.clock.getDelayedCalls()) == 1
    assert passed.clock.getDelayedCalls()[0].getTime() == 1


def test_a_key_that_is_set_again_passes_at_its_new_time_only(passed: Passed) -> None:
    passed.deadlines.set("later", 1)
    passed.deadlines.set("later", 5)
    passed.deadlines.set("sooner", 9)
    passed.deadlines.set("sooner", 2)
    passed.clock.pump([1] * 10)
    assert passed.keys == [(2, "sooner"), (5, "later")]


def test_a_discarded_key_does_not_pass(passed: Passed) -> None:
    passed.deadlines.set("gone", 1)
    passed.deadlines.set("here", 1)
    passed.deadlines.discard("gone")
    passed.deadlines.discard("never there")
    passed.clock.advance(1)
    assert passed.keys == [(1, "here")]


def test_close_leaves_nothing_with_the_clock(passed: Passed) -> None:
    passed.deadlines.set("a", 1)
    passed.deadlines.close()
    passed.deadlines.close()
    assert passed.clock.getDelayedCalls() == []
    assert len(passed.deadlines) == 0


def test_renewals_and_removals_leave_a_heap_of_at_most_twice_the_keys(passed: Passed) -> None:
    for turn in range(100):
        for key in range(100):
            passed.deadlines.set(str(key), 1000 + turn)
    assert len(passed.deadlines._heap) <= 2 * 100 + 64
    for key in range(100):
        passed.deadlines.discard(str(key))
    assert len(passed.deadlines._heap) <= 64


def test_many_that_end_together_end_in_several_turns_of_the_reactor() -> None:
    turns: list[int] = []

    class CountingClock(Clock):
        def callLater(
            self, delay: float, callable: Callable[..., object], *args: object, **kw: object
        ) -> IDelayedCall:
            turns.append(1)
            return super().callLater(delay, callable, *args, **kw)

    clock, keys = CountingClock(), list[str]()
    deadlines = Deadlines(clock, keys.append)
    for number in range(3 * BATCH):
        deadlines.set(str(number), 1)
    clock.advance(1)
    assert len(keys) == 3 * BATCH
    assert len(turns) >= 3


def test_a_key_may_be_set_and_the_rest_discarded_while_one_passes() -> None:
    clock, keys = Clock(), list[str]()

    def passed(key: str) -> None:
        keys.append(key)
        if key == "!first":
            for number in range(200):
                deadlines.discard(str(number))
            deadlines.set("again", 1)

    deadlines = Deadlines(clock, passed)
    # Equal deadlines pass in the order of their keys.
    deadlines.set("!first", 1)
    for number in range(200):
        deadlines.set(str(number), 1)
    clock.pump([1, 1])
    assert keys == ["!first", "again"]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "discard", "wait"]),
            st.sampled_from("abcde"),
            st.floats(0.001, 50),
        )
    )
)
def test_what_passes_is_what_a_simple_model_says(steps: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    left: set[str] = set()
    due: dict[str, float] = {}

    deadlines = Deadlines(clock, left.add)
    for step, key, amount in steps:
        if step == "set":
            deadlines.set(key, amount)
            due[key] = clock.seconds() + amount
            left.discard(key)
        elif step == "discard":
            deadlines.discard(key)
            due.pop(key, None)
            left.discard(key)
        else:
            clock.advance(amount)
        living = {key for key, deadline in due.items() if deadline > clock.seconds()}
        assert left == due.keys() - living
        assert len(deadlines) == len(living)
        assert len(clock.getDelayedCalls()) <= 1
