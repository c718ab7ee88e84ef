"""`netsvc.net.pull`: a pull producer as a push producer."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.task import Clock

from netsvc.net.pull import PulledProducer


@implementer(IPullProducer)
class _Pieces:
    """Counts the pieces that it is asked for, and does something with each."""

    def __init__(self, do: Callable[[int], None] = lambda number: None) -> None:
        self.pieces = 0
        self.stopped = 0
        self._do = do

    def resumeProducing(self) -> None:
        self.pieces += 1
        self._do(self.pieces)

    def stopProducing(self) -> None:
        self.stopped += 1


def _pulled(pieces: _Pieces, clock: Clock) -> PulledProducer:
    # A Clock runs all that is due in one go, also what is added by 0 meanwhile: a turn takes a second here.
    return PulledProducer(pieces, lambda call: clock.callLater(1, call), lambda: None)


def _turns(clock: Clock, number: int) -> None:
    for _ in range(number):
        clock.advance(1)


def test_it_is_a_push_producer() -> None:
    assert verifyObject(IPushProducer, _pulled(_Pieces(), Clock()))


def test_it_begins_paused() -> None:
    clock, pieces = Clock(), _Pieces()
    _pulled(pieces, clock)
    _turns(clock, 3)
    assert pieces.pieces == 0
    assert clock.getDelayedCalls() == []


def test_one_piece_is_asked_for_in_each_turn_and_none_at_once() -> None:
    clock, pieces = Clock(), _Pieces()
    _pulled(pieces, clock).resumeProducing()
    assert pieces.pieces == 0
    for turn in range(1, 5):
        clock.advance(1)
        assert pieces.pieces == turn


def test_resuming_twice_asks_for_no_more_than_one_piece_a_turn() -> None:
    clock, pieces = Clock(), _Pieces()
    pulled = _pulled(pieces, clock)
    pulled.resumeProducing()
    pulled.resumeProducing()
    _turns(clock, 1)
    pulled.resumeProducing()
    _turns(clock, 1)
    assert pieces.pieces == 2


def test_paused_it_asks_for_nothing_and_leaves_the_clock_alone() -> None:
    clock, pieces = Clock(), _Pieces()
    pulled = _pulled(pieces, clock)
    pulled.resumeProducing()
    _turns(clock, 2)
    pulled.pauseProducing()
    pulled.pauseProducing()
    assert clock.getDelayedCalls() == []
    _turns(clock, 2)
    assert pieces.pieces == 2
    pulled.resumeProducing()
    _turns(clock, 1)
    assert pieces.pieces == 3


def test_a_producer_whose_piece_fills_the_buffer_pauses_itself() -> None:
    clock = Clock()
    pulled: list[PulledProducer] = []
    pieces = _Pieces(lambda number: pulled[0].pauseProducing() if number == 3 else None)
    pulled.append(_pulled(pieces, clock))
    pulled[0].resumeProducing()
    _turns(clock, 9)
    assert pieces.pieces == 3
    assert clock.getDelayedCalls() == []


def test_paused_and_resumed_within_one_piece_it_goes_on_once_a_turn() -> None:
    clock = Clock()
    pulled: list[PulledProducer] = []

    def both(number: int) -> None:
        pulled[0].pauseProducing()
        pulled[0].resumeProducing()

    pieces = _Pieces(both)
    pulled.append(_pulled(pieces, clock))
    pulled[0].resumeProducing()
    _turns(clock, 4)
    assert pieces.pieces == 4
    assert len(clock.getDelayedCalls()) == 1


def test_stopped_it_tells_the_producer_and_asks_no_more() -> None:
    clock, pieces = Clock(), _Pieces()
    pulled = _pulled(pieces, clock)
    pulled.resumeProducing()
    pulled.stopProducing()
    _turns(clock, 3)
    assert (pieces.pieces, pieces.stopped) == (0, 1)
    assert clock.getDelayedCalls() == []


@given(st.lists(st.sampled_from(["pause", "resume", "turn"]), max_size=30))
def test_in_any_order_a_turn_brings_one_piece_exactly_when_it_is_not_paused(steps: list[str]) -> None:
    clock, pieces = Clock(), _Pieces()
    pulled = _pulled(pieces, clock)
    running, expected = False, 0
    for step in steps:
        if step == "turn":
            clock.advance(1)
            expected += running
        elif step == "pause":
            pulled.pauseProducing()
            running = False
        else:
            pulled.resumeProducing()
            running = True
        assert pieces.pieces == expected
        assert len(clock.getDelayedCalls()) == running
