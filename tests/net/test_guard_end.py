"""How a guarded connection ends."""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)

from netsvc.settings import Limits, Networks
from tests.net.guard_rig import Push, Recorder, Rig


def test_closing_ends_our_side_reads_what_still_comes_and_then_closes() -> None:
    rig = Rig(limits=Limits(close_timeout=2))
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.write(b"answer")
    transport.loseConnection()
    assert wire.finished
    assert not wire.closed
    guard.writeConnectionLost()
    guard.dataReceived(b"too late")
    assert rig.services[0].events == ["made"]
    guard.readConnectionLost()
    assert wire.closed
    rig.lose(guard)
    assert rig.kinds() == ["opened", "sent", "closed service"]


def test_a_client_that_does_not_close_is_waited_for_a_moment_only() -> None:
    rig = Rig(limits=Limits(close_timeout=2))
    guard, wire = rig.connect()
    rig.services[0].transport.loseConnection()
    guard.writeConnectionLost()
    rig.clock.advance(1.9)
    assert not wire.closed
    rig.clock.advance(0.2)
    assert wire.closed


def test_an_answer_that_does_not_leave_is_aborted_after_the_write_timeout() -> None:
    rig = Rig(limits=Limits(write_timeout=30))
    _, wire = rig.connect()
    rig.services[0].transport.loseConnection()
    rig.clock.pump([7.5] * 4)
    assert wire.aborted


def test_after_closing_nothing_more_is_written() -> None:
    rig = Rig()
    _, wire = rig.connect()
    rig.services[0].transport.loseConnection()
    rig.services[0].transport.write(b"late")
    assert wire.sent() == b""
    assert rig.kinds() == ["opened"]


def test_closing_waits_for_the_services_producer() -> None:
    rig = Rig()
    _, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), True)
    transport.loseConnection()
    assert not wire.finished
    transport.write(b"the rest")
    transport.unregisterProducer()
    assert wire.finished
    assert wire.sent() == b"the rest"


def test_the_end_of_input_closes_after_what_was_answered() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    rig.services[0].transport.write(b"answer")
    guard.readConnectionLost()
    assert wire.closed
    assert not wire.aborted
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed fin"


def test_the_end_of_input_waits_for_the_services_producer() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), True)
    guard.readConnectionLost()
    assert not wire.closed
    transport.unregisterProducer()
    assert wire.closed


def test_a_half_closeable_service_decides_itself_what_the_end_of_input_means() -> None:
    @implementer(IHalfCloseableProtocol)
    class Half(Recorder):
        def readConnectionLost(self) -> None:
            self.events.append("read ended")

        def writeConnectionLost(self) -> None:
            self.events.append("write ended")

    rig = Rig(Half)
    guard, wire = rig.connect()
    guard.readConnectionLost()
    rig.services[0].transport.loseWriteConnection()
    guard.writeConnectionLost()
    assert rig.services[0].events == ["made", "read ended", "write ended"]
    assert wire.finished
    assert not wire.closed


def test_draining_closes_an_idle_connection_at_once_and_says_why() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    guard.drain()
    assert wire.closed
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed shutdown"
    assert rig.listening.guards == set()


def test_draining_stops_the_producer_and_waits_for_what_is_buffered() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    producer = Push()
    rig.services[0].transport.registerProducer(producer, True)
    wire.pressure.pauseProducing()
    guard.drain()
    assert producer.told == ["pause", "stop"]
    assert wire.finished
    assert not wire.aborted


def test_draining_drops_who_has_not_reached_the_service() -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24")), proxy="required")
    guard, wire = rig.connect()
    guard.drain()
    assert wire.aborted


def test_a_gone_connection_leaves_no_timer_and_no_reference() -> None:
    rig = Rig(limits=Limits(first_line_timeout=60), first="line")
    guard, wire = rig.connect()
    wire.pressure.pauseProducing()
    rig.lose(guard)
    assert rig.clock.getDelayedCalls() == []
    assert rig.listening.guards == set()
    guard.dataReceived(b"after the end")
    rig.services[0].transport.write(b"after the end")
    rig.services[0].transport.loseConnection()
    rig.services[0].transport.abortConnection()
    assert rig.services[0].events == ["made", "lost"]
