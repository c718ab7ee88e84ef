"""What a guard does between a transport and a service, stage by stage."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.internet.protocol import Protocol

from netsvc.interfaces import IArrivalTransport
from netsvc.settings import Limits, Networks
from tests.net.guard_rig import Recorder, Rig

V1 = b"PROXY TCP4 198.51.100.4 203.0.113.9 1234 8009\r\n"


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


def test_of_a_service_that_is_not_noted_only_refusals_are_facts() -> None:
    rig = Rig(noted=False, limits=Limits(max_connections=1))
    guard, _ = rig.connect()
    guard.dataReceived(b"in")
    rig.services[0].transport.write(b"out!")
    rig.connect()
    rig.lose(guard)
    assert rig.kinds() == ["refused max_connections"]
    counts = rig.listening.counted()
    assert (counts.opened, counts.closed, counts.bytes_in, counts.bytes_out) == (1, 1, 2, 4)


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


def test_a_service_that_fails_on_what_a_client_sends_loses_only_that_client(flush_logged: Any) -> None:
    class Broken(Protocol):
        def dataReceived(self, data: bytes) -> None:
            raise ValueError("broken")

    rig = Rig(Broken)
    for _ in range(3):
        guard, wire = rig.connect()
        guard.dataReceived(b"x")
        assert wire.aborted
        rig.lose(guard, clean=False)
    assert rig.kinds().count("closed error") == 3
    assert flush_logged().count("Traceback") == 1, "and cannot flood the log with tracebacks"


def test_a_service_may_put_another_protocol_in_its_place() -> None:
    rig = Rig()
    guard, _ = rig.connect()
    other = Recorder()
    assert rig.services[0].transport.protocol is rig.services[0]
    rig.services[0].transport.protocol = other
    guard.dataReceived(b"x")
    assert other.events == [b"x"]


def test_header_and_handshake_have_one_time_together(serving: Any) -> None:
    limits = Limits(proxies=Networks.of("192.0.2.0/24"), handshake_timeout=10)
    rig = Rig(limits=limits, proxy="required", tls=serving)
    guard, wire = rig.connect()
    rig.clock.advance(9.9)
    guard.dataReceived(V1)
    assert not wire.aborted
    rig.clock.advance(0.2)
    assert wire.aborted
    assert rig.kinds() == ["refused handshake_timeout"]


def test_what_only_twisteds_transports_have_is_still_there() -> None:
    rig = Rig()
    _, wire = rig.connect()
    wire.setTcpNoDelay = lambda enabled: "set"  # type: ignore[attr-defined]
    assert rig.services[0].transport.setTcpNoDelay(True) == "set"
    with pytest.raises(AttributeError):
        rig.services[0].transport.no_such_thing  # noqa: B018
