"""`netsvc.net.arrival`: how a client arrived."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport

from netsvc.interfaces import Arrival, ProxyArrival, TLSArrival
from netsvc.net.arrival import (
    address_of,
    arrival_at,
    behind_proxy,
    details_of,
    host_and_port,
    tls_below,
    with_tls,
)

_ARRIVAL = Arrival("tcp", "192.0.2.9", 4000, "192.0.2.1", 8009)
_TLS = TLSArrival("TLSv1.3", "TLS_AES_256_GCM_SHA384", "example.org", None)
_HEADER = ProxyArrival(1, "198.51.100.7", 5000, "203.0.113.1", 80, via="")


def _transport(peer: IAddress, host: IAddress) -> Any:
    return StringTransport(hostAddress=host, peerAddress=peer)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        (IPv4Address("TCP", "192.0.2.1", 80), ("192.0.2.1", 80)),
        (IPv6Address("TCP", "::1", 80), ("::1", 80)),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 80), ("192.0.2.1", 80)),
        (IPv6Address("TCP", "2001:DB8:0::1", 80), ("2001:db8::1", 80)),
        (UNIXAddress("/run/echo.sock"), ("/run/echo.sock", None)),
        (UNIXAddress(None), ("", None)),
        (UNIXAddress(b"\0abstract"), ("@abstract", None)),
        (UNIXAddress(b"/tmp/\xff"), ("/tmp/\\xff", None)),
    ],
)
def test_an_address_is_a_text_and_a_port(address: IAddress, known: tuple[str, int | None]) -> None:
    assert host_and_port(address) == known


def test_an_address_of_some_other_kind_is_its_text() -> None:
    assert host_and_port(HostnameAddress(b"example.org", 80))[1] is None


@pytest.mark.parametrize(
    "address",
    [
        IPv4Address("TCP", "192.0.2.1", 80),
        IPv6Address("TCP", "2001:db8::1", 80),
        UNIXAddress("/run/echo.sock"),
        UNIXAddress(None),
    ],
)
def test_from_text_and_port_the_address_comes_back(address: IAddress) -> None:
    assert address_of(*host_and_port(address)) == address


@given(st.binary(max_size=107))
def test_any_path_is_a_text_that_json_and_utf8_can_hold(name: bytes) -> None:
    host, port = host_and_port(UNIXAddress(name or None))
    assert host.encode("utf-8")[:1] != b"\0"
    assert port is None


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_any_path_of_text_comes_back(path: str) -> None:
    address = address_of(*host_and_port(UNIXAddress(path.encode("utf-8", "replace") or None)))
    assert isinstance(address, UNIXAddress)
    assert (address.name or b"") == path.encode("utf-8", "replace")


def test_a_mapped_address_comes_back_as_ipv4() -> None:
    mapped = IPv6Address("TCP", "::ffff:192.0.2.1", 80)
    assert address_of(*host_and_port(mapped)) == IPv4Address("TCP", "192.0.2.1", 80)


def test_the_transport_tells_both_ends() -> None:
    transport = _transport(IPv4Address("TCP", "192.0.2.9", 4000), IPv4Address("TCP", "192.0.2.1", 8009))
    assert arrival_at(transport, "tcp") == _ARRIVAL


def test_a_dual_stack_client_is_an_ipv4_client_of_an_ipv4_address() -> None:
    transport = _transport(
        IPv6Address("TCP", "::ffff:192.0.2.9", 4000), IPv6Address("TCP", "::ffff:192.0.2.1", 8009)
    )
    assert arrival_at(transport, "tcp") == _ARRIVAL


@pytest.mark.parametrize(
    ("peer", "host", "transport"),
    [
        (IPv4Address("TCP", "192.0.2.9", 4000), IPv4Address("TCP", "192.0.2.1", 8009), "tcp"),
        (UNIXAddress(None), UNIXAddress("/run/echo.sock"), "unix"),
    ],
)
def test_an_endpoint_is_what_its_transport_is(peer: IAddress, host: IAddress, transport: str) -> None:
    assert arrival_at(_transport(peer, host), "endpoint").transport == transport


def test_a_unix_client_has_the_path_that_it_reached() -> None:
    arrival = arrival_at(_transport(UNIXAddress(None), UNIXAddress("/run/echo.sock")), "unix")
    assert arrival == Arrival("unix", "", None, "/run/echo.sock", None)


def test_without_a_header_nothing_changes() -> None:
    assert behind_proxy(_ARRIVAL, None) is _ARRIVAL


def test_a_header_gives_the_clients_own_addresses_and_keeps_the_proxys() -> None:
    arrival = behind_proxy(_ARRIVAL, _HEADER)
    assert (arrival.address, arrival.port) == ("198.51.100.7", 5000)
    assert (arrival.local_address, arrival.local_port) == ("203.0.113.1", 80)
    assert arrival.proxy == ProxyArrival(1, "198.51.100.7", 5000, "203.0.113.1", 80, via="192.0.2.9")
    assert arrival.transport == "tcp"


def test_a_header_without_a_source_changes_no_address() -> None:
    header = ProxyArrival(2, None, None, None, None, via="")
    arrival = behind_proxy(_ARRIVAL, header)
    assert (arrival.address, arrival.port, arrival.local_address, arrival.local_port) == (
        "192.0.2.9",
        4000,
        "192.0.2.1",
        8009,
    )
    assert arrival.proxy is not None
    assert arrival.proxy.via == "192.0.2.9"


def test_a_headers_addresses_are_never_mapped_ones() -> None:
    header = ProxyArrival(2, "::ffff:198.51.100.7", 5000, "::ffff:203.0.113.1", 80, via="")
    arrival = behind_proxy(_ARRIVAL, header)
    assert (arrival.address, arrival.local_address) == ("198.51.100.7", "203.0.113.1")


def test_a_header_of_a_unix_client_has_its_path() -> None:
    header = ProxyArrival(2, "/tmp/client", None, "/run/proxy", None, via="")
    arrival = behind_proxy(_ARRIVAL, header)
    assert (arrival.address, arrival.port, arrival.local_address) == ("/tmp/client", None, "/run/proxy")


def test_tls_is_its_own_transport() -> None:
    arrival = with_tls(_ARRIVAL, _TLS)
    assert (arrival.transport, arrival.tls, arrival.address) == ("tls", _TLS, "192.0.2.9")


def test_a_plain_arrival_has_no_details() -> None:
    assert details_of(_ARRIVAL) == ()


def test_the_details_say_what_tls_and_proxy_said_in_exact_tuples() -> None:
    details = details_of(with_tls(behind_proxy(_ARRIVAL, _HEADER), _TLS))
    plain = dict(details)
    assert dict(plain["tls"]) == {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "server_name": "example.org",
        "client_subject": None,
    }
    assert dict(plain["proxy"])["source"] == "198.51.100.7"
    assert dict(plain["proxy"])["via"] == "192.0.2.9"
    _assert_exact(details)


def _assert_exact(value: object) -> None:
    assert type(value) in (tuple, str, int, float, type(None))
    if isinstance(value, tuple):
        for inner in value:
            _assert_exact(inner)


class _Connection:
    """What pyOpenSSL's Connection tells; handshakes with the real one are in the tests of the guard."""

    def __init__(self, name: bytes | None, cipher: str | None) -> None:
        self._name = name
        self._cipher = cipher

    def get_servername(self) -> bytes | None:
        return self._name

    def get_cipher_name(self) -> str | None:
        return self._cipher

    def get_protocol_version_name(self) -> str:
        return "TLSv1.2"


class _TLSTransport:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def getHandle(self) -> _Connection:
        return self._connection

    def getPeerCertificate(self) -> None:
        return None


def test_twisteds_own_tls_tells_what_it_agreed_on() -> None:
    told = tls_below(_TLSTransport(_Connection(b"example.org", "ECDHE-RSA-AES256-GCM-SHA384")))
    assert told == TLSArrival("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "example.org", None)


def test_a_client_that_sends_no_server_name_or_one_of_odd_bytes_is_told_as_it_is() -> None:
    assert tls_below(_TLSTransport(_Connection(None, None))) == TLSArrival("TLSv1.2", "", None, None)
    assert tls_below(_TLSTransport(_Connection(b"\xff.org", None))).server_name == "\\xff.org"
