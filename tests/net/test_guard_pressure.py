"""How a guard holds back what a client does not read, and what takes too long."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer

from twisted.internet.interfaces import (
    IPullProducer,
)

from netsvc.settings import Limits
from tests.net.guard_rig import Push, Rig


def test_a_first_line_must_come_whole_and_in_time() -> None:
    rig = Rig(limits=Limits(first_line_timeout=60), first="line")
    guard, wire = rig.connect()
    for byte in b"name without an end":
        rig.clock.advance(3)
        guard.dataReceived(bytes([byte]))
    rig.clock.advance(3)
    assert wire.finished
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed first_line_timeout"


def test_a_first_line_that_came_has_no_time_limit_any_more() -> None:
    rig = Rig(limits=Limits(first_line_timeout=60), first="line")
    guard, wire = rig.connect()
    guard.dataReceived(b"name\n")
    rig.clock.advance(1000)
    assert not wire.finished
    assert rig.services[0].events == ["made", b"name\n"]


def test_where_a_segment_is_owed_any_bytes_will_do() -> None:
    rig = Rig(limits=Limits(first_line_timeout=60), first="segment")
    guard, wire = rig.connect()
    guard.dataReceived(b"name")
    rig.clock.advance(1000)
    assert not wire.finished


def test_a_connection_without_a_byte_for_the_idle_time_is_closed() -> None:
    rig = Rig(limits=Limits(idle_timeout=100))
    guard, wire = rig.connect()
    rig.clock.advance(90)
    guard.dataReceived(b"x")
    rig.listening.close_idle()
    rig.clock.advance(99)
    rig.listening.close_idle()
    assert not wire.finished
    rig.clock.advance(1)
    rig.listening.close_idle()
    assert wire.finished
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed idle"


def test_without_an_idle_time_nobody_is_closed() -> None:
    rig = Rig(limits=Limits(idle_timeout=0))
    _, wire = rig.connect()
    rig.clock.advance(1e6)
    rig.listening.close_idle()
    assert not wire.finished


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    rig = Rig()
    _, wire = rig.connect()
    wire.pressure.pauseProducing()
    assert not wire.reading
    wire.pressure.resumeProducing()
    assert wire.reading


def test_reading_goes_on_only_when_both_the_service_and_the_transport_want_it() -> None:
    rig = Rig()
    _, wire = rig.connect()
    rig.services[0].transport.pauseProducing()
    wire.pressure.pauseProducing()
    wire.pressure.resumeProducing()
    assert not wire.reading
    rig.services[0].transport.resumeProducing()
    assert wire.reading
    wire.pressure.pauseProducing()
    rig.services[0].transport.resumeProducing()
    assert not wire.reading


def test_a_services_push_producer_is_paused_with_the_transport() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    producer = Push()
    rig.services[0].transport.registerProducer(producer, True)
    wire.pressure.pauseProducing()
    wire.pressure.resumeProducing()
    rig.lose(guard)
    assert producer.told == ["pause", "resume", "stop"]


def test_a_second_producer_is_refused_as_twisted_refuses_it() -> None:
    rig = Rig()
    rig.connect()
    rig.services[0].transport.registerProducer(Push(), True)
    with pytest.raises(RuntimeError):
        rig.services[0].transport.registerProducer(Push(), True)


def test_a_pull_producer_gives_a_piece_a_turn_while_the_client_reads() -> None:
    @implementer(IPullProducer)
    class Pieces(Push):
        def resumeProducing(self) -> None:
            rig.services[0].transport.write(b"piece")

    rig = Rig()
    guard, wire = rig.connect()
    rig.services[0].transport.registerProducer(Pieces(), False)
    for _ in range(3):
        rig.clock.advance(1e-6)
    assert wire.sent() == b"piece" * 3
    wire.pressure.pauseProducing()
    rig.clock.advance(1e-6)
    assert wire.sent() == b"piece" * 3
    rig.lose(guard)
    assert rig.clock.getDelayedCalls() == []


def test_a_pull_producer_that_fails_ends_its_connection(flush_logged: Any) -> None:
    @implementer(IPullProducer)
    class Broken(Push):
        def resumeProducing(self) -> None:
            raise ValueError("broken")

    rig = Rig()
    guard, wire = rig.connect()
    rig.services[0].transport.registerProducer(Broken(), False)
    rig.clock.advance(1e-6)
    assert wire.aborted
    rig.lose(guard, clean=False)
    assert rig.kinds()[-1] == "closed error"
    assert "broken" in flush_logged()


def test_a_client_that_never_reads_is_aborted_after_the_write_timeout() -> None:
    rig = Rig(limits=Limits(write_timeout=30))
    guard, wire = rig.connect()
    wire.pressure.pauseProducing()
    rig.clock.pump([3.75] * 10)
    assert wire.aborted
    rig.lose(guard, clean=False)
    assert rig.kinds()[-1] == "closed write_timeout"


def test_a_client_that_reads_a_little_is_left_alone() -> None:
    rig = Rig(limits=Limits(write_timeout=30))
    _, wire = rig.connect()
    wire.pressure.pauseProducing()
    for offset in range(40):
        wire.offset = offset  # type: ignore[attr-defined]
        rig.clock.pump([7.5] * 3)
    assert not wire.aborted


def test_what_a_service_writes_to_a_client_that_does_not_read_has_a_budget() -> None:
    rig = Rig(limits=Limits(write_budget=100))
    guard, wire = rig.connect()
    wire.pressure.pauseProducing()
    rig.services[0].transport.write(b"x" * 100)
    assert not wire.aborted
    rig.services[0].transport.write(b"x")
    assert wire.aborted
    assert len(wire.sent()) == 100
    rig.lose(guard, clean=False)
    assert rig.kinds()[-1] == "closed write_budget"
