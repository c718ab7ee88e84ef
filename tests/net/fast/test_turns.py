"""How our reactor's main loop takes its turns: with what is due, and the wait, exactly as Twisted's does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.interfaces import IDelayedCall

from tests.net.fast.rig import logged, reactor_of

KINDS = ["epoll", "netsvc"]

#: What may be done in a turn, with a number: seconds until a call is due, or which call before it is meant.
STEPS = st.one_of(
    st.tuples(st.sampled_from(["later", "thread"]), st.sampled_from([0, 1, 2, 50, 3_000_000])),
    st.tuples(st.sampled_from(["cancel", "reset", "delay"]), st.integers(0, 100)),
)


_CHANGES: dict[str, Callable[[IDelayedCall, int], None]] = {
    "cancel": lambda call, _: call.cancel(),
    "reset": lambda call, number: call.reset(number),
    # Into the past as well, where a call may be put.
    "delay": lambda call, number: call.delay(number - 50),
}


class Course:
    """
    What a reactor does with its time, on a clock that goes on only while it waits.

    @ivar told: each wait, and each call that was due, as they came.
    @ivar kept: calls that the reactor has in its list, before it is stopped.
    """

    def __init__(self, reactor: Any, turns: list[list[tuple[str, int]]]) -> None:
        self.told: list[object] = []
        self.kept = 0
        self._reactor = reactor
        self._turns = list(turns)
        self._now = 1000.0
        self._calls: list[IDelayedCall] = []
        reactor.seconds = lambda: self._now
        reactor.doIteration = self._wait
        reactor.wakeUp = lambda: None

    def run(self) -> list[object]:
        """@return: what was told."""
        self._reactor.run(installSignalHandlers=False)
        return self.told

    def _wait(self, seconds: float | None) -> None:
        self.told.append(("wait", seconds))
        self._now += min(10.0, seconds or 0.0)
        if not self._turns:
            if self._reactor.running:
                self.kept = len(self._reactor._pendingTimedCalls)
                self._reactor.stop()
            return
        for step, number in self._turns.pop(0):
            self._do(step, number)

    def _do(self, step: str, number: int) -> None:
        if step == "later":
            self._calls.append(
                self._reactor.callLater(number, self.told.append, ("called", len(self._calls)))
            )
        elif step == "thread":
            self._reactor.callFromThread(self.told.append, ("from a thread", number))
        elif self._calls:
            call = self._calls[number % len(self._calls)]
            if call.active():
                _CHANGES[step](call, number)


def told(kind: str, turns: list[list[tuple[str, int]]]) -> list[object]:
    """What a reactor of a kind does with so many turns."""
    with reactor_of(kind) as reactor:
        return Course(reactor, turns).run()


@given(st.lists(st.lists(STEPS, max_size=4), max_size=20))
def test_a_turn_does_what_is_due_and_waits_for_what_is_next(turns: list[list[tuple[str, int]]]) -> None:
    ours = told("netsvc", turns)
    assert ours == told("epoll", turns)
    assert len(ours) > len(turns)


@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_were_cancelled_are_not_kept(kind: str) -> None:
    cancelled = [[("later", 50)] * 100, [("cancel", number) for number in range(1, 100)], []]
    with reactor_of(kind) as reactor:
        course = Course(reactor, cancelled)
        course.run()
    assert course.kept == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_turn_raises_is_logged_once_and_the_next_is_taken(kind: str) -> None:
    failures = iter([ValueError("as told"), OSError("as told"), None])
    with reactor_of(kind) as reactor, logged() as events:

        def wait(_: float | None) -> None:
            if failure := next(failures):
                raise failure
            reactor.crash()

        reactor.doIteration = wait
        reactor.run(installSignalHandlers=False)
    said = [event for event in events if "log_failure" in event]
    assert [type(event["log_failure"].value) for event in said] == [ValueError, OSError]
    assert {event["log_format"] for event in said} == {"Unexpected error in main loop"}
