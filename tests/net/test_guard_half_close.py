"""A service that closes its side and goes on reading, and time limits that meet one another."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableProtocol

from netsvc.settings import Limits, Networks
from tests.net.guard_rig import Push, Recorder, Rig


def test_a_service_that_closed_its_side_still_loses_a_client_that_does_not_read() -> None:
    for stalled in (True, False):
        rig = Rig(limits=Limits(write_timeout=30))
        _, wire = rig.connect()
        transport = rig.services[0].transport
        transport.write(b"answer")
        if stalled:
            wire.pressure.pauseProducing()
        transport.loseWriteConnection()
        rig.clock.pump([3.75] * 10)
        assert wire.aborted


def test_a_connection_whose_side_is_closed_but_not_sent_yet_ends_in_the_write_timeout() -> None:
    rig = Rig(limits=Limits(write_timeout=30, close_timeout=2))
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.write(b"answer")
    wire.pressure.pauseProducing()
    transport.loseWriteConnection()
    guard.drain()
    assert not wire.closed, "the answer has not left"
    rig.clock.pump([3.75] * 10)
    assert wire.aborted


def test_a_client_that_took_everything_is_read_from_again_and_not_aborted() -> None:
    rig = Rig(limits=Limits(write_timeout=30))
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.write(b"answer")
    wire.pressure.pauseProducing()
    assert not wire.reading
    transport.loseWriteConnection()
    guard.writeConnectionLost()
    assert wire.reading
    rig.clock.pump([7.5] * 8)
    assert not wire.aborted
    guard.dataReceived(b"more")
    assert rig.services[0].events == ["made", b"more"]


def test_closing_after_our_side_has_closed_waits_for_the_client_only() -> None:
    rig = Rig(limits=Limits(close_timeout=2))
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.loseWriteConnection()
    guard.writeConnectionLost()
    transport.loseConnection()
    rig.clock.advance(1.9)
    assert not wire.closed
    rig.clock.advance(0.2)
    assert wire.closed


def test_closing_our_side_stops_the_producer_whose_bytes_would_go_nowhere() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    transport, producer = rig.services[0].transport, Push()
    transport.registerProducer(producer, True)
    transport.loseWriteConnection()
    assert producer.told == ["stop"]
    guard.writeConnectionLost()
    assert producer.told == ["stop"]
    transport.loseConnection()
    rig.clock.advance(1000)
    assert wire.closed


def test_closing_our_side_ends_a_close_that_waited_for_the_producer() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    transport, producer = rig.services[0].transport, Push()
    transport.registerProducer(producer, True)
    transport.loseConnection()
    transport.loseWriteConnection()
    assert producer.told == ["stop"]
    assert wire.finished
    guard.readConnectionLost()
    assert wire.closed


def test_a_service_may_close_as_it_hears_that_its_side_is_closed() -> None:
    @implementer(IHalfCloseableProtocol)
    class Half(Recorder):
        transport: Any

        def readConnectionLost(self) -> None:
            self.transport.loseWriteConnection()

        def writeConnectionLost(self) -> None:
            self.transport.loseConnection()

    rig = Rig(Half)
    guard, wire = rig.connect()
    # A transport whose side is closed has nothing to wait for.
    wire.loseConnection = lambda: rig.lose(guard)  # type: ignore[method-assign]
    guard.readConnectionLost()
    guard.writeConnectionLost()
    assert rig.services[0].events == ["made", "lost"]
    assert not rig.clock.getDelayedCalls()


def test_an_idle_look_leaves_no_timer_behind() -> None:
    rig = Rig(limits=Limits(idle_timeout=1, first_line_timeout=60), first="line")
    guard, wire = rig.connect()
    _look_idle(rig)
    assert wire.finished
    guard.writeConnectionLost()
    _look_idle(rig)
    rig.lose(guard)
    assert not rig.clock.getDelayedCalls()
    assert rig.kinds() == ["opened", "closed idle"]


def test_before_the_service_the_handshake_has_its_own_time() -> None:
    limits = Limits(idle_timeout=1, handshake_timeout=10, proxies=Networks.of("192.0.2.7"))
    rig = Rig(limits=limits, proxy="required")
    guard, wire = rig.connect()
    _look_idle(rig)
    assert not wire.finished
    rig.clock.advance(10)
    assert wire.aborted
    rig.lose(guard)
    assert rig.kinds() == ["refused handshake_timeout"]
    assert not rig.clock.getDelayedCalls()


def _look_idle(rig: Rig) -> None:
    rig.listening.close_idle()
    rig.clock.advance(2)
    rig.listening.close_idle()
