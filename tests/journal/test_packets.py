"""IP packets made up around bytes, taken apart as their RFCs describe them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.facts import OriginRow
from netsvc.journal.packets import ACK, SYN, End, Ends, Packet, ends_of, tcp, udp

V4 = Ends(End(ip_address("192.0.2.7"), 4000), End(ip_address("127.0.0.1"), 53))
V6 = Ends(End(ip_address("2001:db8::7"), 4000), End(ip_address("::1"), 53))


def words_sum(data: bytes) -> int:
    """The sum of 16-bit words in ones' complement, word by word; 0xFFFF where a checksum in it is right."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def taken_apart(packet: Packet) -> tuple[Ends, int, bytes]:
    """Addresses and ports, the protocol, and what is behind the IP header, which must be right."""
    data = packet.data
    if data[0] >> 4 == 4:
        size, version, addresses, protocol = 20, 4, data[12:20], data[9]
        assert data[0] == 0x45
        assert struct.unpack_from(">H", data, 2) == (packet.length,)
        assert words_sum(data[:20]) == 0xFFFF
    else:
        size, version, addresses, protocol = 40, 6, data[8:40], data[6]
        assert struct.unpack_from(">I", data) == (6 << 28,)
        assert struct.unpack_from(">H", data, 4) == (packet.length - 40,)
    half = len(addresses) // 2
    behind = data[size:]
    if packet.length == len(data):
        pseudo = addresses + struct.pack(">IHBB", len(behind), 0, 0, protocol)
        assert words_sum(pseudo + behind) == 0xFFFF, version
    ports = struct.unpack_from(">HH", behind)
    ends = (End(ip_address(addresses[half * i : half * i + half]), ports[i]) for i in (0, 1))
    return Ends(*ends), protocol, behind


def origin(address: str, port: int | None, local: str) -> OriginRow:
    """Where a datagram comes from."""
    return ("echo", "udp://:0", "udp", address, port, local, None)


@given(
    ends=st.sampled_from([V4, V6]), payload=st.one_of(st.binary(max_size=70), st.integers(0, 70).map(bytes))
)
def test_a_datagram_has_addresses_ports_length_payload_and_a_right_checksum(
    ends: Ends, payload: bytes
) -> None:
    made = udp(*ends, payload, len(payload))
    assert made is not None
    found, protocol, datagram = taken_apart(made)
    assert (found, protocol) == (ends, 17)
    _, _, size, checksum = struct.unpack_from(">HHHH", datagram)
    assert size == len(datagram) == 8 + len(payload)
    # A checksum of zero would say that there is none (RFC 768), which IPv6 does not allow.
    assert checksum
    assert datagram[8:] == payload


def test_a_checksum_that_comes_to_zero_is_written_as_its_other_form() -> None:
    # The payload's one word is chosen so that all words sum up to 0xFFFF.
    plain = udp(*V4, b"\0\0", 2)
    assert plain is not None
    (checksum,) = struct.unpack_from(">H", plain.data, 26)
    made = udp(*V4, struct.pack(">H", checksum), 2)
    assert made is not None
    assert struct.unpack_from(">H", made.data, 26) == (0xFFFF,)
    taken_apart(made)


# What the length fields of either version's header leave (RFC 791 section 3.1, RFC 8200 section 3).
@pytest.mark.parametrize(("ends", "largest"), [(V4, 65_535 - 20 - 8), (V6, 65_535 - 8)])
def test_the_largest_datagram_is_written_and_a_larger_one_is_none(ends: Ends, largest: int) -> None:
    made = udp(*ends, bytes(largest), largest)
    assert made is not None
    assert len(taken_apart(made)[2]) == 8 + largest
    assert udp(*ends, b"", largest + 1) is None
    assert udp(*ends, b"longer than it is", 3) is None


@pytest.mark.parametrize("ends", [V4, V6])
def test_of_a_datagram_that_was_cut_the_lengths_are_the_true_ones(ends: Ends) -> None:
    made = udp(*ends, b"known", 4096)
    assert made is not None
    found, _, datagram = taken_apart(made)
    assert (found, datagram[8:]) == (ends, b"known")
    assert struct.unpack_from(">H", datagram, 4) == (8 + 4096,)
    assert made.length - len(made.data) == 4096 - 5


@given(
    ends=st.sampled_from([V4, V6]),
    flags=st.sampled_from([ACK, SYN, SYN | ACK]),
    payload=st.binary(max_size=40),
    number=st.integers(0),
)
def test_a_segment_has_numbers_of_32_bits_and_a_right_checksum(
    ends: Ends, flags: int, payload: bytes, number: int
) -> None:
    made = tcp(*ends, flags, number, number + 1, payload, len(payload))
    found, protocol, segment = taken_apart(made)
    assert (found, protocol) == (ends, 6)
    sequence, acknowledged, offset, carried = struct.unpack_from(">IIBB", segment, 4)
    assert (sequence, acknowledged) == (number % 2**32, (number + 1) % 2**32)
    assert carried == flags
    assert segment[(offset >> 4) * 4 :] == payload


@pytest.mark.parametrize(
    ("address", "port", "local", "client", "here"),
    [
        ("192.0.2.7", 1, "127.0.0.1:2", "192.0.2.7", "127.0.0.1"),
        ("2001:db8::7", 1, "[::1]:2", "2001:db8::7", "::1"),
        ("fe80::7%eth0", 1, "[fe80::1%eth0]:2", "fe80::7%eth0", "fe80::1%eth0"),
        ("192.0.2.7", 1, "0.0.0.0:2", "192.0.2.7", "0.0.0.0"),
        ("192.0.2.7", 1, "[::]:2", "192.0.2.7", "0.0.0.0"),
        ("2001:db8::7", 1, "0.0.0.0:2", "2001:db8::7", "::"),
        ("192.0.2.7", 1, "[2001:db8::1]:2", "::ffff:192.0.2.7", "2001:db8::1"),
    ],
)
def test_both_ends_have_addresses_of_one_version(
    address: str, port: int, local: str, client: str, here: str
) -> None:
    ends = ends_of(origin(address, port, local))
    assert ends == Ends(End(ip_address(client), 1), End(ip_address(here), 2))
    assert ends is not None
    assert udp(*ends, b"x", 1) is not None


@pytest.mark.parametrize(
    ("address", "port", "local"),
    [
        ("", None, "/run/netsvc/echo.sock"),
        ("/run/client.sock", None, "/run/netsvc/echo.sock"),
        ("192.0.2.7", None, "127.0.0.1:2"),
        ("192.0.2.7", 1, ""),
        ("192.0.2.7", 1, "127.0.0.1"),
        ("192.0.2.7", 1, "127.0.0.1:99999"),
        ("192.0.2.7", 70_000, "127.0.0.1:1"),
        ("host.example", 1, "127.0.0.1:1"),
        ("192.0.2.7", 1, "127.0.0.1:²"),
    ],
)
def test_what_is_no_address_with_a_port_has_no_ends(address: str, port: int | None, local: str) -> None:
    assert ends_of(origin(address, port, local)) is None
