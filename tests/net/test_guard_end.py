"""How a guarded connection ends."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)
from twisted.protocols.basic import LineOnlyReceiver

from netsvc.net.progress import Progress
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
    rig.clock.pump([3.75] * 10)
    assert wire.aborted


def test_after_closing_nothing_more_is_written() -> None:
    rig = Rig()
    _, wire = rig.connect()
    rig.services[0].transport.loseConnection()
    rig.services[0].transport.write(b"late")
    assert wire.sent() == b""
    assert rig.kinds() == ["opened"]


def test_closing_waits_for_a_pull_producer() -> None:
    rig = Rig()
    _, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), False)
    transport.loseConnection()
    assert not wire.finished
    transport.write(b"the rest")
    transport.unregisterProducer()
    assert wire.finished
    assert wire.sent() == b"the rest"


def test_closing_waits_for_a_push_producer_only_while_it_is_paused() -> None:
    rig = Rig()
    _, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), True)
    wire.pressure.pauseProducing()
    transport.loseConnection()
    assert not wire.finished
    wire.pressure.resumeProducing()
    assert wire.finished, "some are registered for the whole life of their connection"


def test_a_connection_that_is_closing_says_so_as_twisteds_transports_do() -> None:
    rig = Rig()
    guard, _ = rig.connect()
    transport = rig.services[0].transport
    assert (transport.connected, transport.disconnecting, transport.disconnected) == (True, False, False)
    transport.loseConnection()
    assert (transport.connected, transport.disconnecting) == (True, True)
    rig.lose(guard)
    assert (transport.connected, transport.disconnected) == (False, True)


def test_a_line_protocol_takes_no_line_after_the_one_at_which_it_closed() -> None:
    class Lines(LineOnlyReceiver):
        def lineReceived(self, line: bytes) -> None:
            taken.append(line)
            if line == b"QUIT":
                self.transport.loseConnection()  # type: ignore[union-attr]

    taken: list[bytes] = []
    rig = Rig(Lines)
    guard, _ = rig.connect()
    guard.dataReceived(b"A\r\nQUIT\r\nDELETE\r\n")
    assert taken == [b"A", b"QUIT"]


def test_a_producer_that_fails_to_stop_hinders_nobody(flush_logged: Any) -> None:
    class Broken(Push):
        def stopProducing(self) -> None:
            raise ValueError("broken")

    rig = Rig()
    guards = [rig.connect()[0] for _ in range(2)]
    rig.services[0].transport.registerProducer(Broken(), True)
    for guard in guards:
        guard.drain()
        rig.lose(guard)
    assert [service.events for service in rig.services] == [["made", "lost"]] * 2
    assert rig.kinds().count("closed shutdown") == 2
    assert "broken" in flush_logged()


def test_from_an_aborted_connection_no_producer_is_asked_for_more(flush_logged: Any) -> None:
    class Raises(Recorder):
        def dataReceived(self, data: bytes) -> None:
            raise ValueError("no")

    rig = Rig(Raises)
    guard, wire = rig.connect()
    producer = Push()
    rig.services[0].transport.registerProducer(producer, False)
    guard.dataReceived(b"x")
    rig.clock.pump([1] * 3)
    # As one over WebSocket, the transport does not go at once.
    assert wire.aborted
    assert producer.told == ["stop"]
    rig.lose(guard)
    assert producer.told == ["stop"]
    assert "ValueError: no" in flush_logged()


def test_the_end_of_input_closes_after_what_was_answered() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    rig.services[0].transport.write(b"answer")
    guard.readConnectionLost()
    assert wire.closed
    assert not wire.aborted
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed fin"


@pytest.mark.parametrize("streaming", [True, False])
def test_the_end_of_input_waits_for_the_services_producer(streaming: bool) -> None:
    rig = Rig()
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), streaming)
    guard.readConnectionLost()
    assert not wire.closed
    transport.unregisterProducer()
    assert wire.closed
    rig.lose(guard)
    assert rig.kinds()[-1] == "closed fin"


def test_after_the_end_of_input_a_push_producer_that_is_silent_is_waited_for_a_moment_only() -> None:
    rig = Rig(limits=Limits(close_timeout=2))
    guard, wire = rig.connect()
    transport = rig.services[0].transport
    transport.registerProducer(Push(), True)
    guard.readConnectionLost()
    for _ in range(5):
        rig.clock.advance(1.9)
        transport.write(b"still answering")
    assert not wire.closed
    rig.clock.pump([2.0, 2.0])
    assert wire.closed
    assert rig.clock.getDelayedCalls() != [], "and watched until everything has left"


def test_draining_leaves_a_closing_connection_alone_while_there_is_something_to_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread = [True]
    monkeypatch.setattr(Progress, "unread", staticmethod(lambda transport: unread[0]))
    rig = Rig()
    guard, wire = rig.connect()
    rig.services[0].transport.loseConnection()
    guard.drain()
    assert not wire.closed
    unread[0] = False
    guard.drain()
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
    assert wire.closed, "with both sides over, nothing could happen to it any more"


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
