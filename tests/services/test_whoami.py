"""whoami tells a client how it arrived."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.interfaces import (
    Arrival,
    IArrivalDatagramTransport,
    IArrivalTransport,
    ProxyArrival,
    TLSArrival,
)
from netsvc.services.whoami import WhoamiDatagram, WhoamiFactory, document, fitting, is_reply
from tests.services.transports import Address, MemoryDatagrams, MemoryTransport, bind, connect

KEYS = ["address", "port", "local_address", "local_port", "transport", "time", "tls", "proxy"]
PEER = ("192.0.2.1", 4000)
MOMENT = 1_473_971_352_000_001_999

TCP = Arrival("tcp", "192.0.2.1", 40312, "198.51.100.1", 9042)
UDP = replace(TCP, transport="udp")
LONGEST_V4 = Arrival("udp", "255.255.255.255", 65535, "255.255.255.255", 65535)
LONGEST_V6 = Arrival("udp", "2001:0db8:1111:2222:3333:4444:5555:6666", 65535, "2001:db8::1", 65535)


@implementer(IArrivalTransport)
class ArrivedTransport(MemoryTransport):
    """A transport in memory whose client arrived in a given way."""

    def __init__(self, arrived: Arrival) -> None:
        super().__init__()
        self._arrived = arrived

    def arrival(self) -> Arrival:
        return self._arrived


@implementer(IArrivalDatagramTransport)
class ArrivedDatagramTransport(MemoryDatagrams):
    """The same for datagrams; it also remembers whose arrival was asked for."""

    def __init__(self, arrived: Arrival) -> None:
        super().__init__()
        self._arrived = arrived
        self.asked: list[Address] = []

    def arrival_of(self, addr: Address) -> Arrival:
        self.asked.append(addr)
        return self._arrived

    def answer_to(self, addr: Address) -> Callable[[bytes], None]:
        return lambda packet: self.write(packet, addr)  # type: ignore[no-untyped-call]


def told(arrived: Arrival) -> dict[str, Any]:
    """What a connection is told."""
    protocol = WhoamiFactory(now=lambda: MOMENT).buildProtocol(None)
    transport = connect(protocol, ArrivedTransport(arrived))
    assert transport.disconnecting
    assert not transport.disconnected
    line = transport.value()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    document: dict[str, Any] = json.loads(line)
    return document


def answer(arrived: Arrival, datagram: bytes) -> bytes | None:
    """What a datagram is answered."""
    protocol, transport = WhoamiDatagram(now=lambda: MOMENT), ArrivedDatagramTransport(arrived)
    bind(protocol, transport)
    protocol.datagramReceived(datagram, PEER)
    if not transport.written:
        return None
    [(line, addr)] = transport.written
    assert addr == PEER
    assert transport.asked == [PEER]
    return line


def test_the_doubles_and_the_protocols_are_what_they_say() -> None:
    verifyObject(IArrivalTransport, ArrivedTransport(TCP))
    verifyObject(IArrivalDatagramTransport, ArrivedDatagramTransport(UDP))
    factory = WhoamiFactory()
    verifyObject(IProtocolFactory, factory)
    protocol = factory.buildProtocol(None)
    verifyObject(IProtocol, protocol)
    assert protocol.factory is factory


def test_a_plain_connection_is_told_address_ports_transport_and_time() -> None:
    document = told(TCP)
    assert list(document) == KEYS
    assert document == {
        "address": "192.0.2.1",
        "port": 40312,
        "local_address": "198.51.100.1",
        "local_port": 9042,
        "transport": "tcp",
        "time": "2016-09-15T20:29:12.000001Z",
        "tls": None,
        "proxy": None,
    }


def test_tls_and_proxy_are_told_in_full() -> None:
    tls = TLSArrival("TLSv1.3", "TLS_AES_256_GCM_SHA384", "bench.example", 'CN=Gerät "7",O=Example')
    proxy = ProxyArrival(2, "192.0.2.9", 555, "198.51.100.1", 443, "127.0.0.1", "bench.example")
    document = told(replace(TCP, transport="tls", tls=tls, proxy=proxy))
    assert document["tls"] == {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "server_name": "bench.example",
        "client_subject": 'CN=Gerät "7",O=Example',
    }
    assert document["proxy"] == {
        "version": 2,
        "source": "192.0.2.9",
        "source_port": 555,
        "destination": "198.51.100.1",
        "destination_port": 443,
        "via": "127.0.0.1",
        "server_name": "bench.example",
    }


def test_a_unix_client_has_a_path_or_nothing_and_no_port() -> None:
    document = told(Arrival("unix", "", None, "/run/netsvc/whoami.sock", None))
    assert (document["address"], document["port"], document["local_port"]) == ("", None, None)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=60))
def test_whatever_a_name_holds_the_line_is_one_line_of_ascii(name: str) -> None:
    tls = TLSArrival("TLSv1.3", "x", name, name)
    assert told(replace(TCP, address=name, tls=tls))["tls"]["server_name"] == name


def test_what_a_connection_sends_is_ignored() -> None:
    protocol = WhoamiFactory().buildProtocol(None)
    transport = connect(protocol, ArrivedTransport(TCP))
    before = transport.value()
    protocol.dataReceived(b"{}")
    assert transport.value() == before


def test_a_roomy_datagram_is_told_everything() -> None:
    line = answer(UDP, b"who am i?" + bytes(100))
    assert line is not None
    assert list(json.loads(line)) == KEYS


@settings(deadline=None, max_examples=150)
@given(
    size=st.integers(0, 200),
    arrived=st.sampled_from(
        [UDP, LONGEST_V4, LONGEST_V6, Arrival("unix-datagram", "/a" * 50, None, "/b", None)]
    ),
)
def test_a_reply_never_exceeds_what_its_request_earned_and_leaves_out_from_the_end(
    size: int, arrived: Arrival
) -> None:
    line = answer(arrived, bytes(size))
    if line is None:
        return
    assert len(line) + 28 <= 3 * (size + 28)
    assert line.endswith(b"}\n")
    keys = list(json.loads(line))
    assert keys == KEYS[: len(keys)]
    assert len(keys) >= 2


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 200))
def test_one_key_more_would_not_have_fitted(size: int) -> None:
    whole = json.loads(answer(LONGEST_V6, bytes(1000)) or b"")
    line = answer(LONGEST_V6, bytes(size))
    shown = 1 if line is None else len(json.loads(line))
    if shown < len(KEYS):
        more = {key: whole[key] for key in KEYS[: shown + 1]}
        assert len(json.dumps(more, separators=(",", ":"))) + 1 + 28 > 3 * (size + 28)


def test_the_newline_counts_towards_what_fits() -> None:
    whole = document(UDP, MOMENT)
    line = fitting(whole, 1000)
    assert line is not None
    assert fitting(whole, len(line)) == line
    shorter = fitting(whole, len(line) - 1)
    assert shorter is not None
    assert list(json.loads(shorter)) == KEYS[:-1]


def test_an_empty_datagram_earns_an_ipv4_client_its_address_and_port() -> None:
    assert answer(LONGEST_V4, b"") == b'{"address":"255.255.255.255","port":65535}\n'


@pytest.mark.parametrize("size", [4, 5, 20])
def test_four_bytes_earn_the_longest_ipv6_client_its_address_and_port(size: int) -> None:
    line = answer(LONGEST_V6, bytes(size))
    assert line is not None
    assert json.loads(line)["address"] == LONGEST_V6.address


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_fewer_bytes_earn_the_longest_ipv6_client_nothing(size: int) -> None:
    assert answer(LONGEST_V6, bytes(size)) is None


@pytest.mark.parametrize("arrived", [UDP, LONGEST_V6, Arrival("unix-datagram", 'a"\\b', None, "", None)])
@pytest.mark.parametrize("size", [30, 60, 300])
def test_a_reply_is_not_answered(arrived: Arrival, size: int) -> None:
    line = answer(arrived, bytes(size))
    assert line is not None
    assert is_reply(line)
    assert answer(UDP, line) is None


@pytest.mark.parametrize(
    "datagram",
    [b'{"address": "x", "port": 1}', b' {\n "address":"x" ,\t"port" : null', b'{"address":"\\"","port":'],
)
def test_a_reply_is_known_by_its_beginning_however_it_is_spaced(datagram: bytes) -> None:
    assert is_reply(datagram)


@pytest.mark.parametrize(
    "datagram",
    [b"", b"{}", b"who am i?", b'{"address":1,"port":2}', b'{"port":1,"address":"x"}', b'["address","port":'],
)
def test_other_datagrams_are_not_taken_for_replies(datagram: bytes) -> None:
    assert not is_reply(datagram)


def test_a_hostile_datagram_is_judged_without_looking_twice() -> None:
    # Each would make a pattern that backtracks look at the same bytes again and again.
    for datagram in (b'{"address":"' + b"\\" * 65_000, b" " * 65_000, b'{"address":"' + b'\\"' * 32_000):
        assert not is_reply(datagram)


def test_two_of_them_fall_silent_after_one_answer() -> None:
    line = answer(UDP, b"begin")
    assert line is not None
    assert answer(LONGEST_V4, line) is None
