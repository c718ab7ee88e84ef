"""How work ends that did not end by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from netsvc.commands.complaints import NotDone
from netsvc.commands.ending import interruptible


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What signals do, as it was."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    yield
    for number, what in before.items():
        signal.signal(number, what)


class Run:
    """
    Work, run in memory.

    @ivar outcome: how it ended.
    @ivar stopping: what the reactor would wait for.
    """

    def __init__(self, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        self.reactor = MemoryReactorClock()
        self.outcome: list[Any] = []
        Deferred.fromCoroutine(interruptible(work)(self.reactor)).addBoth(self.outcome.append)
        self.reactor.advance(0)

    def stop(self) -> Any:
        """What happens when the reactor is told to stop."""
        (call,) = self.reactor.triggers["before"]["shutdown"]
        return call[0](*call[1], **call[2])

    def status(self) -> object:
        """The exit status of what ended in SystemExit."""
        (failure,) = self.outcome
        failure.trap(SystemExit)
        return failure.value.code


def test_work_that_ends_by_itself_is_left_alone() -> None:
    async def work(reactor: object) -> None:
        return None

    run = Run(work)
    assert run.outcome == [None]
    assert run.stop() is None


def test_work_that_fails_fails() -> None:
    async def work(reactor: object) -> None:
        raise NotDone("no")

    (failure,) = Run(work).outcome
    assert failure.check(NotDone)


def test_a_signal_cancels_work_and_waits_until_it_has_tidied_up() -> None:
    tidying: Deferred[None] = Deferred()

    async def work(reactor: object) -> None:
        try:
            await Deferred()
        finally:
            await tidying

    run = Run(work)
    waiting = run.stop()
    assert run.outcome == []
    assert not waiting.called
    # The next one ends the process at once, as SIGQUIT does.
    assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGQUIT)
    tidying.callback(None)
    assert waiting.called
    assert run.status() == 130


def test_what_a_cancelled_connection_makes_of_it_does_not_matter() -> None:
    async def work(reactor: object) -> None:
        try:
            await Deferred()
        except Exception as error:
            raise NotDone("it was given up") from error

    run = Run(work)
    run.stop()
    assert run.status() == 130


def test_closed_output_ends_it_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    monkeypatch.setattr("netsvc.commands.ending.close_output", lambda: closed.append(True))

    async def work(reactor: object) -> None:
        raise BrokenPipeError

    run = Run(work)
    assert run.status() == 1
    assert closed == [True]
