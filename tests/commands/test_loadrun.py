"""A run of a load, from its begin to its end."""

from __future__ import annotations

from typing import Any, cast

import click
import pytest

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from netsvc.commands.address import parse_address
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.loadcourse import ClosedLoop, Course, FixedRate
from netsvc.commands.loadmessage import (
    Messages,
)
from netsvc.commands.loadplan import DEPTH_AT_RATE, Asked, Plan, plan
from netsvc.commands.loadrun import Run
from netsvc.commands.loadstream import StreamFlow
from netsvc.commands.loadtally import Tally
from tests.commands.loadparts import Time, abortable, stream


def begin(
    time: Time, flow: StreamFlow, course: Course, tally: Tally, seconds: float | None
) -> tuple[Run, Deferred[None]]:
    """A run of one flow that gives up after five seconds, and what fires at its end."""
    run = Run(
        time, [flow], course, tally, 5.0, lambda seconds: None, time.nanoseconds, lambda: time.seconds() / 2
    )
    return run, Deferred.fromCoroutine(run.go(seconds))


def has_ended(ended: Deferred[None]) -> bool:
    """Whether it has fired, which mypy would believe never to change."""
    return bool(ended.called)


def test_a_run_ends_when_its_time_is_over_and_all_is_answered() -> None:
    time, tally, transport, course = Time(), Tally(), abortable(), ClosedLoop(None)
    flow = stream(time, tally, None, transport)
    run, ended = begin(time, flow, course, tally, 1.0)
    for number in range(12):
        time.advance(0.1)
        assert not ended.called
        flow.dataReceived(Messages(16).make(number))
        if number == 10:
            break
    time.advance(0.1)
    assert ended.called
    assert (tally.sent, tally.latencies.count, transport.aborted) == (11, 11, True)
    assert run.elapsed == pytest.approx(1.1)
    assert run.busy == pytest.approx(0.5)
    assert not time.getDelayedCalls()


def test_a_run_at_a_rate_ends_a_while_behind_its_time_whatever_still_comes() -> None:
    time, tally, transport = Time(), Tally(), abortable()
    course = FixedRate(10, 10, tally, time.nanoseconds, time.callLater)
    flow = stream(time, tally, None, transport, depth=100)
    run, ended = begin(time, flow, course, tally, 1.0)
    answered = 0
    # A server that answers one message a second.
    while not has_ended(ended):
        assert time.seconds() < 10
        time.pump([0.1] * 10)
        flow.dataReceived(Messages(16).make(answered))
        answered += 1
    assert run.elapsed == pytest.approx(6, abs=0.2)
    assert tally.sent == 10
    assert tally.latencies.count < 7
    assert not time.getDelayedCalls()


def test_a_server_that_goes_silent_makes_the_rate_no_better() -> None:
    time, tally, course = Time(), Tally(), ClosedLoop(None)
    flow = stream(time, tally, None, abortable(), expect="any")
    run, ended = begin(time, flow, course, tally, 3.0)
    for _ in range(10):
        time.advance(0.1)
        flow.dataReceived(b"x")
    time.pump([0.1] * 75)
    assert has_ended(ended)
    # The last answer came after a second.
    assert run.elapsed == pytest.approx(3)


def test_a_run_ends_when_nothing_comes_any_more() -> None:
    time, tally, course = Time(), Tally(), ClosedLoop(10)
    flow = stream(time, tally, None, abortable())
    _, ended = begin(time, flow, course, tally, None)
    flow.dataReceived(Messages(16).make(0))
    time.pump([0.1] * 50)
    assert not has_ended(ended)
    time.pump([0.1] * 3)
    assert has_ended(ended)
    assert (tally.sent, tally.latencies.count) == (2, 1)


def test_a_run_ends_when_all_connections_are_lost() -> None:
    time, tally, course = Time(), Tally(), ClosedLoop(None)
    flow = stream(time, tally, None, abortable())
    _, ended = begin(time, flow, course, tally, 1000.0)
    cast(Any, flow).connectionLost(Failure(ConnectionLost()))
    time.advance(0.1)
    assert ended.called
    assert sum(tally.broken.values()) == 1
    assert not time.getDelayedCalls()


def test_a_run_that_is_cancelled_keeps_what_was_counted() -> None:
    time, tally, course = Time(), Tally(), ClosedLoop(None)
    flow = stream(time, tally, None, abortable())
    _, ended = begin(time, flow, course, tally, 1000.0)
    flow.dataReceived(Messages(16).make(0))
    failures: list[object] = []
    ended.addErrback(failures.append)
    ended.cancel()
    assert len(failures) == 1
    assert tally.latencies.count == 1
    assert not flow.alive()
    assert not time.getDelayedCalls()


def planned(address: str, **options: Any) -> Plan:
    """A plan with the command's defaults."""
    given: dict[str, Any] = {
        "connections": 10, "depth": None, "rate": None, "seconds": None, "count": None,
        "size": 64, "expect": "suffix", "timeout": None,
    }  # fmt: skip
    return plan(Asked(address=parse_address(address), tls=TLSOptions(), **(given | options)))


def test_a_plan_is_completed() -> None:
    loop = planned("host:7")
    assert (loop.depth, loop.seconds, loop.count, loop.timeout, loop.patience) == (1, 10.0, None, 5.0, 5.0)
    assert planned("host:7", count=5).seconds is None
    paced = planned("host:7", rate=50.0, seconds=4.0)
    assert (paced.depth, paced.seconds, paced.count) == (DEPTH_AT_RATE, 4.0, 200)
    assert planned("host:7", rate=50.0, count=7).count == 7
    assert planned("host:7", rate=50.0, count=7).seconds == 0.14
    assert planned("udp://host:7").patience == 5.0
    assert planned("host:7", rate=50.0, count=7, seconds=0.1).count == 5
    assert planned("udp://host:7", rate=50_000.0, timeout=2.0).depth == 200_000


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("udp://host:7", {"size": 12}),
        ("udp://host:7", {"size": 65508}),
        ("host:7", {"expect": "any", "depth": 2}),
        ("host:7", {"size": 12, "depth": 2}),
        ("host:7", {"size": 12, "rate": 5.0}),
    ],
)
def test_a_plan_that_does_not_fit_together_is_wrong_usage(address: str, options: dict[str, Any]) -> None:
    with pytest.raises(click.UsageError):
        planned(address, **options)
