"""`netsvc.net.addresses`: one form for each address, one key for each network."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.net.addresses import fold, host_and_port, network_key, parse


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("/run/netsvc/echo.sock", "/run/netsvc/echo.sock"),
        ("", ""),
        ("example.org", "example.org"),
    ],
)
def test_every_address_has_one_form(given: str, form: str) -> None:
    assert fold(given) == form


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=100)
def test_a_mapped_address_is_its_ipv4_address(number: int) -> None:
    plain = str(ipaddress.IPv4Address(number))
    assert fold(f"::ffff:{plain}") == fold(plain) == plain
    assert parse(f"::ffff:{plain}") == ipaddress.IPv4Address(number)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 32))
@settings(deadline=None, max_examples=200)
def test_ipv4_keys_are_equal_exactly_within_one_network(one: int, other: int, prefix: int) -> None:
    first, second = str(ipaddress.IPv4Address(one)), str(ipaddress.IPv4Address(other))
    network = ipaddress.ip_network((one, prefix), strict=False)
    same = network_key(first, prefix, 64) == network_key(second, prefix, 64)
    assert same == (ipaddress.IPv4Address(other) in network)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1), st.integers(0, 128))
@settings(deadline=None, max_examples=200)
def test_ipv6_keys_are_equal_exactly_within_one_network(one: int, other: int, prefix: int) -> None:
    low = (1 << (128 - prefix)) - 1
    near = (one & ~low) | (other & low)
    if any(number >> 32 == 0xFFFF for number in (one, other, near)):
        return  # IPv4-mapped: counted as IPv4
    text = str(ipaddress.IPv6Address(one))
    assert network_key(text, 24, prefix) == network_key(str(ipaddress.IPv6Address(near)), 24, prefix)
    same = network_key(text, 24, prefix) == network_key(str(ipaddress.IPv6Address(other)), 24, prefix)
    assert same == (one >> (128 - prefix) == other >> (128 - prefix))


def test_a_mapped_address_is_counted_as_ipv4() -> None:
    assert network_key("::ffff:192.0.2.1", 24, 64) == network_key("192.0.2.200", 24, 64)
    assert network_key("192.0.2.1", 24, 64) != network_key("192.0.3.1", 24, 64)


def test_ipv4_and_ipv6_never_share_a_key() -> None:
    assert network_key("0.0.0.1", 32, 128) != network_key("::1", 32, 128)


def test_what_is_no_address_is_a_network_of_its_own() -> None:
    assert network_key("/run/a", 24, 64) != network_key("/run/b", 24, 64)
    assert network_key("", 24, 64) == network_key("", 24, 64)


def test_a_scope_does_not_split_a_network() -> None:
    assert network_key("fe80::1%1", 24, 64) == network_key("fe80::2%1", 24, 64)


def test_address_and_port_as_text() -> None:
    assert host_and_port("127.0.0.1", 8009) == "127.0.0.1:8009"
    assert host_and_port("::1", 8009) == "[::1]:8009"
    assert host_and_port("/run/echo.sock", None) == "/run/echo.sock"
