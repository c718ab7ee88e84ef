"""One connection of a load, and the fixed rate at which messages leave."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IPushProducer

from netsvc.commands.loadcourse import ClosedLoop, FixedRate
from netsvc.commands.loadmessage import (
    Messages,
)
from netsvc.commands.loadstream import DirectStreamFlow, StreamFlow
from netsvc.commands.loadtally import Tally
from tests.commands.loadparts import Time, abortable, at_once, stream


def test_a_closed_loop_sends_when_it_is_answered_and_ends_after_its_count() -> None:
    time, tally, transport, course = Time(), Tally(), abortable(), ClosedLoop(3)
    flow = stream(time, tally, course, transport)
    verifyObject(IPushProducer, flow)
    course.begin([flow], 0)
    for number in range(3):
        assert transport.value() == Messages(16).make(number)
        assert not course.is_over() or number == 2
        transport.clear()
        time.advance(0.005)
        flow.dataReceived(b"[now] " + Messages(16).make(number))
    tally.latencies.settle()
    assert (transport.value(), course.is_over(), flow.under_way()) == (b"", True, 0)
    assert (tally.sent, tally.latencies.count, tally.latencies.percentile(50)) == (3, 3, 5003)


def test_depth_is_how_many_wait_and_several_leave_in_one_write() -> None:
    tally, transport, course = Tally(), abortable(), ClosedLoop(None)
    flow = stream(Time(), tally, course, transport, depth=4)
    course.begin([flow], 0)
    sent = transport.value()
    assert sent == b"".join(map(Messages(16).make, range(4)))
    assert flow.room() == 0
    transport.clear()
    flow.dataReceived(sent[:40])
    assert transport.value() == b"".join(map(Messages(16).make, range(4, 6)))


def test_nothing_overtakes_what_the_socket_had_no_room_for() -> None:
    transport, course = at_once(), ClosedLoop(None)
    transport.takes = 20
    flow = stream(Time(), Tally(), course, transport, kind=DirectStreamFlow)
    course.begin([flow], 0)
    flow.dataReceived(Messages(16).make(0))
    transport.takes = 100
    flow.dataReceived(Messages(16).make(1))
    assert transport.value() == b"".join(map(Messages(16).make, range(3)))
    assert transport.takes == 100


def test_a_server_that_does_not_read_is_not_sent_more() -> None:
    transport, course = abortable(), ClosedLoop(None)
    flow = stream(Time(), Tally(), course, transport, depth=2)
    course.begin([flow], 0)
    flow.pauseProducing()
    flow.dataReceived(Messages(16).make(0))
    assert len(transport.value()) == 32
    flow.resumeProducing()
    assert len(transport.value()) == 48


@pytest.mark.parametrize("wrong", [b"x" * 400, Messages(16).make(0)[:-1] + b"?"])
def test_a_connection_with_a_wrong_answer_is_counted_and_aborted(wrong: bytes) -> None:
    tally, transport, course = Tally(), abortable(), ClosedLoop(None)
    flow = stream(Time(), tally, None, transport, expect="echo")
    flow.place(0, 1, course.freed)
    course.begin([flow], 0)
    flow.dataReceived(wrong)
    assert (tally.differing, tally.latencies.fresh) == (1, [])
    assert (transport.aborted, flow.alive(), flow.room()) == (True, False, 0)
    flow.dataReceived(b"more")
    flow.judge()
    flow.finish()
    assert (tally.differing, tally.unasked) == (1, 0)


def test_what_comes_before_anything_was_asked_is_wrong_and_no_answer() -> None:
    tally, transport = Tally(), abortable()
    stream(Time(), tally, None, transport).dataReceived(b"Welcome!")
    assert (tally.differing, tally.unasked, tally.first_unasked) == (0, 1, b"Welcome!")
    assert transport.aborted


@pytest.mark.parametrize(
    ("expect", "came"),
    [("any", [b"answer", b"one more"]), ("echo", [b"".join(map(Messages(16).make, range(2)))])],
)
def test_more_answers_than_messages_are_counted_apart(expect: str, came: list[bytes]) -> None:
    tally, transport, course = Tally(), abortable(), ClosedLoop(1)
    flow = stream(Time(), tally, course, transport, expect=expect)
    course.begin([flow], 0)
    for data in came:
        flow.dataReceived(data)
    assert (len(tally.latencies.fresh), tally.differing, tally.unasked) == (1, 0, 1)
    assert transport.aborted


def test_a_piece_of_an_answer_is_wrong_only_if_the_rest_had_time_to_come() -> None:
    for judged, differing in ((False, 0), (True, 1)):
        tally, course = Tally(), ClosedLoop(None)
        flow = stream(Time(), tally, course, abortable())
        course.begin([flow], 0)
        flow.dataReceived(b"no echo")
        if judged:
            flow.judge()
        flow.finish()
        assert tally.differing == differing


def at_rate(
    time: Time, tally: Tally, rate: float, total: int, depth: int = 100, flows: int = 1
) -> tuple[FixedRate, list[StreamFlow], list[Any]]:
    """Flows at a fixed rate, begun."""
    course = FixedRate(rate, total, tally, time.nanoseconds, time.callLater)
    transports = [abortable() for _ in range(flows)]
    made = [stream(time, tally, None, transport, depth) for transport in transports]
    for number, flow in enumerate(made):
        flow.place(number, flows, course.freed)
    course.begin(made, time.nanoseconds())
    return course, made, transports


def test_messages_leave_at_their_times_and_take_turns() -> None:
    time, tally = Time(), Tally()
    course, _, transports = at_rate(time, tally, 100, 10, flows=2)
    for number in range(10):
        assert tally.sent == number + 1
        assert transports[number % 2].value().endswith(Messages(16).make(number))
        time.advance(0.0100001)
    assert course.is_over()
    assert course.unsent() == 0
    assert not time.getDelayedCalls()


def test_more_than_can_be_woken_for_leave_together() -> None:
    time, tally = Time(), Tally()
    at_rate(time, tally, 100_000, 1000)
    assert tally.sent == 1
    time.advance(0.0002)
    assert tally.sent == 21


def test_a_client_that_wakes_late_says_so() -> None:
    time, tally = Time(), Tally()
    at_rate(time, tally, 1000, 100)
    time.advance(0.0105)
    tally.lateness.settle()
    assert (tally.sent, tally.lateness.count) == (11, 11)
    assert tally.lateness.most() == pytest.approx(9500, rel=1e-3)


def test_a_server_that_stops_is_seen_in_all_the_messages_that_should_have_left() -> None:
    time, tally = Time(), Tally()
    course, (flow,), _ = at_rate(time, tally, 100, 100, depth=1)
    # Answers nothing for half a second; then each message as soon as it is there.
    for _ in range(50):
        time.advance(0.01)
    assert tally.sent == 1
    for number in range(100):
        if number > 50:
            time.advance(0.01)
        flow.dataReceived(Messages(16).make(number))
    tally.latencies.settle()
    assert course.is_over()
    assert tally.latencies.count == 100
    # A closed loop would have had one slow answer; half of the messages were kept waiting, 250 ms on average.
    assert tally.latencies.percentile(60) > 10_000
    assert tally.latencies.mean() == pytest.approx(125_000, rel=0.1)
    # That is the server's doing.
    tally.lateness.settle()
    assert tally.lateness.most() <= 1000


def test_what_could_not_leave_is_told() -> None:
    time, tally = Time(), Tally()
    course, (flow,), _ = at_rate(time, tally, 10, 10, depth=3)
    for _ in range(20):
        time.advance(0.1)
    assert (tally.sent, course.unsent(), course.is_over()) == (3, 7, False)
    flow.finish()
    assert course.is_over()
