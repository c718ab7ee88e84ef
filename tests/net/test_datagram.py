"""`netsvc.net.datagram` in memory: what comes in and what goes out."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IListeningPort, IMulticastTransport, IReadDescriptor, ISystemHandle
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import capturedLogs

from netsvc.facts import RECEIVED, REFUSED, SENT
from netsvc.interfaces import Arrival, IArrivalDatagramTransport
from netsvc.net.datagram import OwnAddresses
from netsvc.settings import Networks
from tests.net.datagram_rig import CLIENT, HERE, LISTENER, Echo, Notes, Rig, Socket


def test_the_port_is_what_twisted_expects() -> None:
    port = Rig().port
    for interface in (
        IListeningPort,
        IReadDescriptor,
        IMulticastTransport,
        ISystemHandle,
        IArrivalDatagramTransport,
    ):
        verifyObject(interface, port)


def test_a_datagram_is_received_answered_and_noted() -> None:
    rig = Rig()
    rig.arrive((b"hello", CLIENT))
    assert rig.got == [(b"hello", CLIENT)]
    assert rig.sock.sent == [(b"hello", CLIENT)]
    received, sent = rig.rows.facts
    assert (received.kind, sent.kind) == (RECEIVED, SENT)
    assert received.data == sent.data == b"hello"
    assert tuple(received.origin) == ("echo", LISTENER, "udp", *CLIENT, "192.0.2.1:6667", None)
    assert received.origin == sent.origin


def test_where_it_listens_is_told_also_after_it_has_closed() -> None:
    rig = Rig()
    assert rig.port.getHost() == IPv4Address("UDP", *HERE)
    rig.port.stopListening()
    rig.reactor.advance(0)
    assert rig.port.getHost() == IPv4Address("UDP", *HERE)
    six = Rig(sock=Socket(("::1", 6667, 0, 0), socket.AF_INET6))
    assert six.port.getHost() == IPv6Address("UDP", "::1", 6667)


def test_how_a_client_arrived() -> None:
    rig = Rig()
    rig.arrive((b"hello", CLIENT))
    assert rig.port.arrival_of(CLIENT) == Arrival("udp", *CLIENT, *HERE)
    assert rig.port.arrival_of(("192.0.2.9", 9)) == Arrival("udp", "192.0.2.9", 9, *HERE)


def test_a_mapped_address_is_folded_for_all_but_the_system() -> None:
    sock = Socket(("::1", 6667, 0, 0), socket.AF_INET6)
    rig = Rig(sock=sock)
    rig.arrive((b"hello", ("::ffff:198.51.100.7", 40_000, 0, 0)))
    assert rig.got == [(b"hello", CLIENT)]
    assert sock.sent == [(b"hello", ("::ffff:198.51.100.7", 40_000, 0, 0))]
    assert {fact.origin.address for fact in rig.rows.facts} == {"198.51.100.7"}


def test_a_link_local_client_keeps_its_scope() -> None:
    sock = Socket(("::1", 6667, 0, 0), socket.AF_INET6)
    rig = Rig(sock=sock)
    source = ("fe80::1%eth0", 40_000, 0, 2)
    rig.arrive((b"hello", source))
    assert rig.got == [(b"hello", ("fe80::1%eth0", 40_000))]
    assert sock.sent == [(b"hello", source)]


def test_one_turn_takes_so_many_datagrams_empty_ones_too() -> None:
    for data in (b"", b"x" * 10):
        rig = Rig()
        rig.sock.arriving = iter([(data, CLIENT)] * 1000)
        rig.port.doRead()
        assert len(rig.got) == 64
        rig.port.doRead()
        assert len(rig.got) == 128


def test_answers_leave_at_the_end_of_the_turn_and_in_order() -> None:
    class Watching(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            under_way.append(len(rig.sock.sent))

    under_way: list[int] = []
    rig = Rig(Watching())
    rig.sock.arriving = iter([(b"%d" % number, CLIENT) for number in range(5)])
    rig.port.doRead()
    assert under_way == [0] * 5
    assert rig.sock.sent == [(b"%d" % number, CLIENT) for number in range(5)]
    assert [fact.data for fact in rig.rows.of(SENT)] == [b"%d" % number for number in range(5)]
    rig.port.write(b"later", CLIENT)
    assert rig.sock.sent[-1] == (b"later", CLIENT)


def test_many_answers_do_not_wait_for_the_end_of_the_turn() -> None:
    class Talkative(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            for _ in range(3):
                super().datagramReceived(datagram, addr)
            most.append(len(rig.port._outbox))

    most: list[int] = []
    rig = Rig(Talkative())
    rig.arrive(*[(b"x", ("127.0.0.1", 40_000))] * 64)
    assert 0 < max(most) < 64
    assert len(rig.sock.sent) == 3 * 64


def test_a_wall_clock_that_is_set_back_ends_the_turn_and_nothing_else() -> None:
    class Setting(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            rig.wall_offset = -10.0

    rig = Rig(Setting())
    rig.arrive(*[(b"x", CLIENT)] * 10)
    assert len(rig.sock.sent) == 10


def test_only_the_first_fact_of_an_origin_is_told_to_have_more() -> None:
    # By that whoever keeps facts counts what the origin costs; see `Ring`.
    rig = Rig()
    archive = Notes()
    rig.facts.keep(archive)
    rig.arrive(
        (b"one", CLIENT), (b"two", CLIENT), (b"x" * 5000, CLIENT), (b"three", ("198.51.100.8", 40_000))
    )
    assert [(kind, more) for _, kind, _, _, more in archive.notes if kind == RECEIVED] == [
        (RECEIVED, (3, None, ())),
        (RECEIVED, None),
        (RECEIVED, (5000, None, ())),
        (RECEIVED, (5, None, ())),
    ]
    origins = [origin for _, _, origin, _, _ in archive.notes if origin[3] == CLIENT[0]]
    assert all(origin is origins[0] for origin in origins)
    assert [len(data) for _, kind, _, data, _ in archive.notes if kind == RECEIVED] == [3, 3, 4096, 5]


def test_one_turn_ends_after_five_milliseconds() -> None:
    class Slow(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            rig.reactor.advance(0.002)

    rig = Rig(Slow())
    rig.sock.arriving = iter([(b"", CLIENT)] * 1000)
    rig.port.doRead()
    assert len(rig.got) == 3


@pytest.mark.parametrize("port", [0, 7, 53, 1023])
def test_a_source_port_of_the_system_is_shown_and_never_answered(port: int) -> None:
    rig = Rig()
    rig.arrive((b"x", ("198.51.100.7", port)))
    assert rig.got == [(b"x", ("198.51.100.7", port))]
    assert rig.sock.sent == []
    assert [fact.kind for fact in rig.rows.facts] == [RECEIVED, REFUSED]
    assert rig.rows.reasons() == ["source_port"]


def test_a_flood_of_forged_sources_leaves_a_fact_for_each_withheld_answer() -> None:
    rig = Rig(tracked_peers=64)
    rig.arrive(*[(b"x", (f"198.51.100.{n % 250}", 2000 + n)) for n in range(1000)])
    assert len(rig.got) == 1000
    assert len(rig.sock.sent) == 50
    assert rig.rows.reasons() == ["replies_per_second"] * 950


def test_own_listeners_are_not_answered_while_they_listen() -> None:
    own = OwnAddresses()
    other = Rig(sock=Socket(("192.0.2.1", 5000)), own=own)
    rig = Rig(own=own)
    rig.arrive((b"x", ("192.0.2.1", 5000)))
    assert rig.rows.reasons() == ["own_listener"]
    other.port.stopListening()
    other.reactor.advance(0)
    rig.arrive((b"x", ("192.0.2.1", 5000)))
    assert rig.rows.reasons() == ["own_listener"]
    assert len(rig.sock.sent) == 1


def test_allow_and_deny_keep_datagrams_from_the_service() -> None:
    rig = Rig(allow=Networks.of("198.51.100.0/24"), deny=Networks.of("198.51.100.66"))
    rig.arrive((b"a", CLIENT), (b"b", ("198.51.100.66", 2000)), (b"c", ("203.0.113.1", 2000)))
    assert rig.got == [(b"a", CLIENT)]
    refused = rig.rows.of(REFUSED)
    assert [(fact.reason, fact.data) for fact in refused] == [("deny", b"b"), ("allow", b"c")]
    assert refused[1].origin.address == "203.0.113.1"
    assert len(rig.rows.of(RECEIVED)) == 1


def test_denied_sources_push_no_peer_out_of_the_table() -> None:
    rig = Rig(deny=Networks.of("203.0.113.0/24"), tracked_peers=16)
    rig.arrive((b"hello", CLIENT))
    rig.arrive(*[(b"x", ("203.0.113.1", 2000 + n)) for n in range(100)])
    rig.port.write(b"later", CLIENT)
    assert rig.sock.sent[-1] == (b"later", CLIENT)


def test_writing_to_somebody_unheard_of_is_withheld() -> None:
    rig = Rig()
    rig.port.write(b"surprise", CLIENT)
    rig.port.write(b"surprise", ("not an address", 5))
    rig.port.write(b"surprise", None)
    assert rig.sock.sent == []
    assert rig.rows.reasons() == ["reply_factor"] * 3
    assert rig.rows.facts[0].origin.address == CLIENT[0]


def test_an_answer_may_come_later() -> None:
    rig = Rig(DatagramProtocol())
    rig.arrive((b"hello", CLIENT))
    rig.reactor.advance(30)
    rig.port.write(b"here you are", CLIENT)
    rig.port.writeSequence([b"a", b"b"], CLIENT)
    assert rig.sock.sent == [(b"here you are", CLIENT), (b"ab", CLIENT)]


def test_other_kinds_of_bytes_are_sent_and_noted_as_bytes() -> None:
    rig = Rig()
    rig.arrive((b"hello", CLIENT))
    rig.port.write(cast(bytes, bytearray(b"abc")), CLIENT)
    assert rig.sock.sent[-1] == (b"abc", CLIENT)
    assert type(rig.rows.facts[-1].data) is bytes
    with pytest.raises(TypeError):
        rig.port.write(cast(bytes, "text"), CLIENT)


def test_stopping_reads_no_more_and_closes_after_the_answers_of_this_turn() -> None:
    class Last(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            assert rig.port.stopListening() is not None
            super().datagramReceived(datagram, addr)

    rig = Rig(Last())
    rig.sock.arriving = iter([(b"a", CLIENT), (b"b", CLIENT)])
    rig.port.doRead()
    assert rig.sock.sent == [(b"a", CLIENT)]
    assert not rig.reading
    done: list[None] = []
    rig.port.stopListening().addCallback(done.append)
    rig.reactor.advance(0)
    assert rig.sock.closed
    assert done == [None]
    assert cast(Echo, rig.echo).stopped == 1


def test_a_closed_port_withholds_and_can_be_stopped_again() -> None:
    rig = Rig()
    rig.arrive((b"a", CLIENT))
    rig.port.stopListening()
    rig.reactor.advance(0)
    rig.port.write(b"too late", CLIENT)
    assert rig.rows.reasons() == ["closed"]
    rig.port.check_drops()
    done: list[None] = []
    rig.port.stopListening().addCallback(done.append)
    assert done == [None]


def test_a_service_that_fails_to_stop_does_not_keep_the_port_open() -> None:
    class Clinging(Echo):
        def stopProtocol(self) -> None:
            raise RuntimeError("a bug")

    rig = Rig(Clinging())
    done: list[None] = []
    rig.port.stopListening().addCallback(done.append)
    with capturedLogs() as events:
        rig.reactor.advance(0)
    assert done == [None]
    assert "log_failure" in events[0]
