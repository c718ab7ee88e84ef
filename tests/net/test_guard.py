"""What a guard does between a transport and a service, stage by stage."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol

from netsvc.interfaces import IArrivalTransport
from netsvc.settings import Limits, Networks
from tests.net.guard_rig import Recorder, Rig

V1 = b"PROXY TCP4 198.51.100.4 203.0.113.9 1234 8009\r\n"


class Push:
    """A push producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


def test_a_guard_is_a_protocol_a_transport_a_consumer_and_a_producer() -> None:
    guard, _ = Rig().connect()
    for interface in (
        IProtocol,
        IHalfCloseableProtocol,
        ITransport,
        IConsumer,
        IPushProducer,
        IArrivalTransport,
    ):
        assert verifyObject(interface, guard)


def test_bytes_pass_both_ways_and_every_step_is_a_fact() -> None:
    rig = Rig()
    guard, wire = rig.connect()
    guard.dataReceived(b"in")
    rig.services[0].transport.write(b"out!")
    rig.lose(guard)
    assert rig.services[0].events == ["made", b"in", "lost"]
    assert wire.sent() == b"out!"
    assert rig.kinds() == ["opened", "received", "sent", "closed fin"]
    assert [fact.data for fact in rig.facts] == [None, b"in", b"out!", None]
    assert dict(rig.facts[-1].detail) == {"bytes_in": 2, "bytes_out": 4, "duration": 0.0}
    assert len({fact.origin.connection for fact in rig.facts}) == 1


def test_a_lost_connection_is_a_reset_in_the_facts() -> None:
    rig = Rig()
    guard, _ = rig.connect()
    rig.lose(guard, clean=False)
    assert rig.kinds()[-1] == "closed reset"


@pytest.mark.parametrize("data", [bytearray(b"x"), memoryview(b"x")])
def test_what_is_written_may_be_any_kind_of_bytes(data: Any) -> None:
    rig = Rig()
    _, wire = rig.connect()
    rig.services[0].transport.write(data)
    rig.services[0].transport.writeSequence([b"y", b"z"])
    assert wire.sent() == b"xyz"


def test_text_is_refused_as_twisted_refuses_it() -> None:
    rig = Rig()
    rig.connect()
    with pytest.raises(TypeError):
        rig.services[0].transport.write("text")


# -- admission -------------------------------------------------------------------------------------------


def test_more_connections_than_allowed_are_aborted_and_never_reach_the_service() -> None:
    rig = Rig(limits=Limits(max_connections=1))
    first, _ = rig.connect()
    second, wire = rig.connect()
    assert wire.aborted
    assert len(rig.services) == 1
    assert rig.kinds()[-1] == "refused max_connections"
    rig.lose(second, clean=False)
    rig.lose(first)
    assert not rig.connect()[1].aborted, "room again"


def test_a_refused_connection_has_one_fact_and_no_end() -> None:
    rig = Rig(limits=Limits(deny=Networks.of("192.0.2.0/24")))
    guard, wire = rig.connect()
    rig.lose(guard, clean=False)
    assert wire.aborted
    assert rig.kinds() == ["refused deny"]


def test_an_address_has_only_so_many_and_gets_its_place_back() -> None:
    rig = Rig(limits=Limits(per_address=1))
    first, _ = rig.connect()
    assert rig.connect()[1].aborted
    assert not rig.connect(IPv4Address("TCP", "192.0.2.8", 1))[1].aborted
    rig.lose(first)
    assert not rig.connect()[1].aborted


def test_ipv4_in_ipv6_is_folded_for_limits_facts_and_service() -> None:
    rig = Rig(limits=Limits(deny=Networks.of("192.0.2.66")))
    rig.connect(IPv6Address("TCP", "::ffff:192.0.2.7", 4711))
    assert rig.services[0].transport.getPeer() == IPv4Address("TCP", "192.0.2.7", 4711)
    assert rig.facts[0].origin.address == "192.0.2.7"
    assert rig.connect(IPv6Address("TCP", "::ffff:192.0.2.66", 1))[1].aborted


def test_a_unix_client_has_no_address_to_limit() -> None:
    rig = Rig(limits=Limits(per_address=1, allow=Networks.of("203.0.113.0/24")))
    for _ in range(3):
        assert not rig.connect(UNIXAddress(None))[1].aborted
    assert rig.facts[0].origin.address == ""
    assert rig.facts[0].origin.port is None


# -- PROXY -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(len(V1) + 3))
def test_the_service_sees_the_address_in_the_header_however_it_is_cut(cut: int) -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24")), proxy="required")
    guard, _ = rig.connect()
    assert rig.services == []
    stream = V1 + b"hi!"
    for piece in (stream[:cut], stream[cut:]):
        if piece:
            guard.dataReceived(piece)
    service = rig.services[0]
    assert b"".join(event for event in service.events if isinstance(event, bytes)) == b"hi!"
    assert service.transport.getPeer() == IPv4Address("TCP", "198.51.100.4", 1234)
    assert service.transport.getHost() == IPv4Address("TCP", "203.0.113.9", 8009)
    assert service.transport.arrival().proxy.via == "192.0.2.7"
    assert rig.facts[0].origin.address == "198.51.100.4"
    assert dict(dict(rig.facts[0].detail)["proxy"])["source"] == "198.51.100.4"


def test_a_required_header_is_believed_from_proxies_only() -> None:
    rig = Rig(proxy="required")
    _, wire = rig.connect()
    assert wire.aborted
    assert rig.kinds() == ["refused proxies"]


def test_an_optional_header_of_a_stranger_is_data() -> None:
    rig = Rig(proxy="optional")
    guard, _ = rig.connect()
    guard.dataReceived(V1)
    assert rig.services[0].events == ["made", V1]
    assert rig.services[0].transport.getPeer().host == "192.0.2.7"


def test_where_the_header_is_optional_a_client_may_speak_for_itself_or_wait() -> None:
    limits = Limits(proxies=Networks.of("192.0.2.0/24"), handshake_timeout=10)
    rig = Rig(limits=limits, proxy="optional")
    guard, _ = rig.connect()
    guard.dataReceived(b"hello")
    assert rig.services[0].events == ["made", b"hello"]
    rig.connect()
    rig.clock.advance(10)
    assert rig.services[1].events == ["made"]


def test_where_the_header_is_optional_a_client_may_finish_sending_before_it_is_missed() -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24")), proxy="optional")
    guard, wire = rig.connect()
    guard.dataReceived(b"PRO")
    guard.readConnectionLost()
    assert rig.services[0].events == ["made", b"PRO"]
    assert wire.closed


def test_a_client_behind_the_header_is_admitted_by_its_own_address() -> None:
    limits = Limits(proxies=Networks.of("192.0.2.0/24"), deny=Networks.of("198.51.100.0/24"))
    rig = Rig(limits=limits, proxy="required")
    guard, wire = rig.connect()
    guard.dataReceived(V1)
    assert wire.aborted
    assert rig.kinds() == ["refused deny"]
    assert rig.facts[0].origin.address == "198.51.100.4"


def test_a_broken_header_is_refused_with_what_was_wrong() -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24")), proxy="required")
    guard, wire = rig.connect()
    guard.dataReceived(b"PROXY TCP4 nonsense\r\n")
    assert wire.aborted
    assert rig.kinds() == ["refused proxy_header"]
    assert "TCP4" in dict(rig.facts[0].detail)["error"]


def test_a_header_that_does_not_come_is_refused_in_time() -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24"), handshake_timeout=5), proxy="required")
    guard, wire = rig.connect()
    guard.dataReceived(V1[:10])
    rig.clock.advance(4.9)
    assert not wire.aborted
    rig.clock.advance(0.2)
    assert wire.aborted
    assert rig.kinds() == ["refused handshake_timeout"]


def test_a_client_that_goes_before_its_header_is_a_refusal_and_no_more() -> None:
    rig = Rig(limits=Limits(proxies=Networks.of("192.0.2.0/24")), proxy="required")
    guard, _ = rig.connect()
    rig.lose(guard, clean=False)
    assert rig.kinds() == ["refused handshake"]
    assert rig.clock.getDelayedCalls() == []


# -- time ------------------------------------------------------------------------------------------------


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


# -- pressure --------------------------------------------------------------------------------------------


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
    rig.clock.pump([7.5] * 4)
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


# -- the end ---------------------------------------------------------------------------------------------


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


# -- services that fail ----------------------------------------------------------------------------------


def test_a_service_that_fails_as_its_client_connects_loses_only_that_client(
    flush_logged: Any,
) -> None:
    class Broken(Protocol):
        def connectionMade(self) -> None:
            raise ValueError("broken")

    rig = Rig(Broken)
    guard, wire = rig.connect()
    assert wire.aborted
    rig.lose(guard, clean=False)
    assert rig.kinds() == ["opened", "closed error"]
    assert "broken" in flush_logged()


def test_a_factory_that_has_no_protocol_for_a_client_refuses_it() -> None:
    rig = Rig(lambda: None)  # type: ignore[arg-type,return-value]
    rig.listening.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    guard, wire = rig.connect()
    assert wire.aborted
    assert rig.kinds() == ["refused service"]
    rig.lose(guard, clean=False)
    assert rig.kinds() == ["refused service"]


def test_what_only_twisteds_transports_have_is_still_there() -> None:
    rig = Rig()
    _, wire = rig.connect()
    wire.setTcpNoDelay = lambda enabled: "set"  # type: ignore[attr-defined]
    assert rig.services[0].transport.setTcpNoDelay(True) == "set"
    with pytest.raises(AttributeError):
        rig.services[0].transport.no_such_thing  # noqa: B018
