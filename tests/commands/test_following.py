"""How `tail` and `wait` ask a daemon that comes and goes, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from netsvc.commands.answer import Fact, Found
from netsvc.commands.api import API, MOST_FACTS, Query, UnreachableError
from netsvc.commands.at import parse_at
from netsvc.commands.tail import ASK_AGAIN, GAP, WAIT, Outage, Tail
from netsvc.commands.wait import LONGEST_WAIT, Waiting

ADDRESS = parse_at("http://127.0.0.1:8080")

DOWN = UnreachableError("http://127.0.0.1:8080: connection refused")

QUERY: Query = [("service", "echo")]


def found(*seqs: int, last: int | None = None, gap: bool = False) -> Found:
    """An answer with facts."""
    return Found([{"seq": seq} for seq in seqs], (seqs or (0,))[-1] if last is None else last, gap)


class Daemon:
    """
    The API of a daemon that answers when the test says so.

    @ivar questions: what was asked and is not answered, and the answers' Deferreds.
    """

    def __init__(self) -> None:
        self.questions: list[tuple[tuple[Any, ...], Deferred[Any]]] = []

    async def last(self) -> int:
        return cast(int, await self._ask("last"))

    async def facts(self, query: Query, after: int, *, limit: int, wait: float) -> Found:
        return cast(Found, await self._ask("facts", query, after, limit, wait))

    async def wait(self, query: Query, after: int, count: int, timeout: float) -> Found:
        return cast(Found, await self._ask("wait", query, after, count, timeout))

    def asked(self) -> tuple[Any, ...]:
        """The question that waits."""
        [(question, _)] = self.questions
        return question

    def answer(self, answer: Found | int | UnreachableError) -> None:
        """Answer it."""
        [(_, waiting)] = self.questions
        self.questions.clear()
        if isinstance(answer, UnreachableError):
            waiting.errback(answer)
        else:
            waiting.callback(answer)

    def _ask(self, *question: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.questions.append((question, answer))
        return answer


class Rig:
    """A tail or a wait with its daemon and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.daemon = Daemon()
        self.shown: list[int] = []
        self.result: list[object] = []
        api, outage = cast(API, self.daemon), Outage(ADDRESS)
        self.tail = Tail(self.clock, api, outage, QUERY, self._show)
        self.waiting = Waiting(self.clock, api, outage, QUERY)

    def run(self, work: Coroutine[Deferred[Any], Any, object]) -> None:
        """Begin."""
        Deferred.fromCoroutine(work).addBoth(self.result.append)

    def _show(self, facts: Sequence[Fact]) -> None:
        self.shown += [fact["seq"] for fact in facts]


@pytest.fixture
def rig() -> Rig:
    """All of it."""
    return Rig()


# -- tail ---------------------------------------------------------------------------------------------------


def test_each_question_goes_on_where_the_last_answer_ended(rig: Rig) -> None:
    rig.run(rig.tail.follow(5, None, None))
    assert rig.daemon.asked() == ("facts", QUERY, 5, MOST_FACTS, WAIT)
    rig.daemon.answer(found(6, 8, last=9))
    assert rig.shown == [6, 8]
    assert rig.daemon.asked() == ("facts", QUERY, 9, MOST_FACTS, WAIT)
    rig.clock.advance(WAIT)
    rig.daemon.answer(found(last=12))
    assert rig.daemon.asked() == ("facts", QUERY, 12, MOST_FACTS, WAIT)


def test_nothing_is_shown_twice_whatever_answers(rig: Rig) -> None:
    rig.run(rig.tail.follow(5, None, None))
    rig.daemon.answer(found(4, 5, 6, last=6))
    rig.clock.advance(ASK_AGAIN)
    rig.daemon.answer(found(6, last=3))
    assert rig.shown == [6]
    rig.clock.advance(ASK_AGAIN)
    assert rig.daemon.asked()[2] == 6


def test_an_outage_is_told_once_and_then_its_end(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.run(rig.tail.follow(5, None, None))
    for _ in range(3):
        rig.daemon.answer(DOWN)
        assert not rig.daemon.questions
        rig.clock.advance(ASK_AGAIN)
    rig.daemon.answer(found(7))
    assert rig.shown == [7]
    assert capsys.readouterr().err.splitlines() == [
        f"netsvc: {DOWN}; asking again until it answers",
        f"netsvc: {ADDRESS}: it answers again",
    ]


def test_what_was_lost_is_told(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.run(rig.tail.follow(5, None, None))
    rig.daemon.answer(found(70, gap=True))
    assert capsys.readouterr().err == f"netsvc: {GAP}\n"


def test_a_daemon_that_answers_nothing_at_once_is_not_asked_at_once(rig: Rig) -> None:
    rig.run(rig.tail.follow(5, None, None))
    rig.daemon.answer(found(last=5))
    assert not rig.daemon.questions
    rig.clock.advance(ASK_AGAIN)
    assert rig.daemon.questions


def test_where_more_is_to_be_looked_at_it_is_asked_for_at_once(rig: Rig) -> None:
    rig.run(rig.tail.follow(5, None, None))
    rig.daemon.answer(replace(found(last=10_005), more=True))
    assert rig.daemon.asked()[2] == 10_005
    rig.daemon.answer(found(last=10_005))
    assert rig.daemon.questions == []


def test_a_wait_that_is_not_over_looks_on_at_once(rig: Rig) -> None:
    rig.run(rig.waiting.wait(5, 1, 10.0))
    rig.daemon.answer(replace(found(last=10_005), more=True))
    assert rig.daemon.asked()[2] == 10_005


def test_a_count_ends_it(rig: Rig) -> None:
    rig.run(rig.tail.follow(0, 3, None))
    assert rig.daemon.asked()[3] == 3
    rig.daemon.answer(found(1, 2))
    assert rig.daemon.asked()[3] == 1
    rig.daemon.answer(found(3))
    assert rig.result == [3]


def test_the_time_ends_it(rig: Rig) -> None:
    rig.run(rig.tail.follow(0, None, WAIT + 2))
    rig.clock.advance(WAIT)
    rig.daemon.answer(found(last=1))
    assert rig.daemon.asked()[4] == 2
    rig.clock.advance(2)
    rig.daemon.answer(found(4))
    assert (rig.shown, rig.result) == ([4], [1])


def test_the_time_ends_it_while_the_daemon_is_down(rig: Rig) -> None:
    rig.run(rig.tail.follow(0, None, 1.5 * ASK_AGAIN))
    rig.daemon.answer(DOWN)
    rig.clock.advance(ASK_AGAIN)
    rig.daemon.answer(DOWN)
    rig.clock.advance(0.5 * ASK_AGAIN)
    assert rig.result == [0]


# -- wait ---------------------------------------------------------------------------------------------------


def test_it_waits_until_there_are_enough(rig: Rig) -> None:
    rig.run(rig.waiting.wait(5, 2, 10))
    assert rig.daemon.asked() == ("wait", QUERY, 5, 2, 10)
    rig.clock.advance(1)
    rig.daemon.answer(found(6, 7))
    assert (rig.result, rig.waiting.found, rig.waiting.begin) == ([True], [{"seq": 6}, {"seq": 7}], 5)


def test_what_was_lost_before_a_wait_is_told(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.run(rig.waiting.wait(5, 1, 10))
    rig.daemon.answer(found(70, gap=True))
    assert rig.result == [True]
    assert capsys.readouterr().err == f"netsvc: {GAP}\n"


def test_from_now_on_is_from_its_beginning(rig: Rig) -> None:
    rig.run(rig.waiting.wait("last", 1, 10))
    assert rig.daemon.asked() == ("last",)
    rig.clock.advance(1)
    rig.daemon.answer(40)
    assert rig.daemon.asked() == ("wait", QUERY, 40, 1, 9)
    rig.daemon.answer(DOWN)
    rig.clock.advance(ASK_AGAIN)
    # Not once more what is last.
    assert rig.daemon.asked()[:3] == ("wait", QUERY, 40)


def test_a_long_time_takes_several_questions(rig: Rig) -> None:
    rig.run(rig.waiting.wait(0, 3, LONGEST_WAIT + 5))
    assert rig.daemon.asked()[3:] == (3, LONGEST_WAIT)
    rig.clock.advance(LONGEST_WAIT)
    rig.daemon.answer(found(1, last=2))
    assert rig.daemon.asked()[2:] == (2, 2, 5)
    rig.clock.advance(5)
    rig.daemon.answer(found(10, last=10))
    assert rig.result == [False]
    assert len(rig.waiting.found) == 2


def test_a_daemon_that_is_not_there_yet_is_waited_for(rig: Rig) -> None:
    rig.run(rig.waiting.wait(0, 1, 10))
    rig.daemon.answer(DOWN)
    rig.clock.advance(ASK_AGAIN)
    rig.daemon.answer(found(1))
    assert rig.result == [True]


def test_a_daemon_that_never_comes_is_given_up(rig: Rig) -> None:
    rig.run(rig.waiting.wait("last", 1, 1.5 * ASK_AGAIN))
    for seconds in (ASK_AGAIN, 0.5 * ASK_AGAIN):
        rig.daemon.answer(DOWN)
        rig.clock.advance(seconds)
    rig.daemon.answer(DOWN)
    assert (rig.result, rig.waiting.begin) == ([False], None)


def test_a_daemon_that_was_silent_until_the_time_was_over_is_asked_nothing_more(rig: Rig) -> None:
    rig.run(rig.waiting.wait(5, 1, 10))
    rig.clock.advance(15)
    rig.daemon.answer(DOWN)
    rig.run(rig.waiting.instead())
    assert (rig.daemon.questions, rig.result) == ([], [False, None])
