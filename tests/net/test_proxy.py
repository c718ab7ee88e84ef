"""The PROXY header: both versions, at every split, and what is refused."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.interfaces import ProxyArrival
from netsvc.net.proxy import MAX_V2_LENGTH, NotAHeader, ProxyError, ProxyHeaderParser, crc32c

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
STARTS = (b"PROXY ", SIGNATURE)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def build_v2(kind: int, body: bytes, command: int = 0x21) -> bytes:
    return SIGNATURE + bytes([command, kind]) + len(body).to_bytes(2, "big") + body


def inet(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    packed = [ipaddress.ip_address(text).packed for text in (source, destination)]
    return b"".join(packed) + source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")


def checksummed(kind: int, before: bytes, after: bytes = b"") -> bytes:
    """A v2 header with a CRC32c extension between two parts."""
    empty = build_v2(kind, before + tlv(0x03, bytes(4)) + after)
    value = crc32c(empty).to_bytes(4, "big")
    return build_v2(kind, before + tlv(0x03, value) + after)


TCP4 = inet("192.0.2.7", "198.51.100.1", 40312, 8009)
TCP6 = inet("2001:db8::7", "2001:db8::1", 40312, 8009)

#: Each header and what it tells.
GOOD = {
    "v1 TCP4": (
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40312 8009\r\n",
        ProxyArrival(1, "192.0.2.7", 40312, "198.51.100.1", 8009, ""),
    ),
    "v1 TCP6": (
        b"PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 1 65535\r\n",
        ProxyArrival(1, "2001:db8::7", 1, "2001:db8::1", 65535, ""),
    ),
    "v1 TCP6 mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 0 8009\r\n",
        ProxyArrival(1, "192.0.2.7", 0, "198.51.100.1", 8009, ""),
    ),
    "v1 longest TCP6": (
        b"PROXY TCP6 " + b" ".join([b":".join([b"fffe"] * 8)] * 2) + b" 65535 65535\r\n",
        ProxyArrival(1, ":".join(["fffe"] * 8), 65535, ":".join(["fffe"] * 8), 65535, ""),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", ProxyArrival(1, None, None, None, None, "")),
    "v1 UNKNOWN with whatever": (
        b"PROXY UNKNOWN " + b"\xff" * 91 + b"\r\n",
        ProxyArrival(1, None, None, None, None, ""),
    ),
    "v2 TCP4": (
        build_v2(0x11, TCP4),
        ProxyArrival(2, "192.0.2.7", 40312, "198.51.100.1", 8009, ""),
    ),
    "v2 UDP4": (
        build_v2(0x12, TCP4),
        ProxyArrival(2, "192.0.2.7", 40312, "198.51.100.1", 8009, ""),
    ),
    "v2 TCP6": (
        build_v2(0x21, TCP6),
        ProxyArrival(2, "2001:db8::7", 40312, "2001:db8::1", 8009, ""),
    ),
    "v2 TCP6 mapped": (
        build_v2(0x21, inet("::ffff:192.0.2.7", "::ffff:198.51.100.1", 40312, 8009)),
        ProxyArrival(2, "192.0.2.7", 40312, "198.51.100.1", 8009, ""),
    ),
    "v2 UNIX": (
        build_v2(0x31, b"/run/client.sock".ljust(108, b"\0") + b"/run/" + b"s" * 103),
        ProxyArrival(2, "/run/client.sock", None, "/run/" + "s" * 103, None, ""),
    ),
    "v2 UNIX without a name and abstract": (
        build_v2(0x31, bytes(108) + b"\0proxy".ljust(108, b"\0")),
        ProxyArrival(2, "", None, "@proxy", None, ""),
    ),
    "v2 UNIX whose path is not UTF-8": (
        build_v2(0x31, b"/run/caf\xe9".ljust(108, b"\0") + bytes(108)),
        ProxyArrival(2, "/run/caf\\xe9", None, "", None, ""),
    ),
    "v2 LOCAL": (build_v2(0x00, b"", 0x20), ProxyArrival(2, None, None, None, None, "")),
    "v2 LOCAL with a body to skip": (
        build_v2(0xFF, b"\xff" * 40, 0x20),
        ProxyArrival(2, None, None, None, None, ""),
    ),
    "v2 UNSPEC": (build_v2(0x00, b"whatever"), ProxyArrival(2, None, None, None, None, "")),
    "v2 UNSPEC protocol": (build_v2(0x10, b""), ProxyArrival(2, None, None, None, None, "")),
    "v2 with extensions": (
        checksummed(
            0x11, TCP4 + tlv(0x02, b"example.com"), tlv(0x04, b"") + tlv(0xEA, b"vpce") + tlv(0x05, b"id")
        ),
        ProxyArrival(2, "192.0.2.7", 40312, "198.51.100.1", 8009, "", "example.com"),
    ),
    "v2 with an empty server name": (
        build_v2(0x21, TCP6 + tlv(0x02, b"")),
        ProxyArrival(2, "2001:db8::7", 40312, "2001:db8::1", 8009, ""),
    ),
    "v2 longest": (
        build_v2(0x11, TCP4 + tlv(0x04, bytes(MAX_V2_LENGTH - len(TCP4) - 3))),
        ProxyArrival(2, "192.0.2.7", 40312, "198.51.100.1", 8009, ""),
    ),
}

#: Each header that is refused and a part of the reason.
BAD = {
    b"PROXY \r\n": "family b''",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n": "family b''",
    b"PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n": "family b'tcp4'",
    b"PROXY UNKNOWNS\r\n": "family b'UNKNOWNS'",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n": "family b'UDP4'",
    b"PROXY TCP4\r\n": "0 fields behind TCP4; expected 4",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n": "3 fields",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n": "5 fields",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n": "5 fields",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n": "LF alone",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n": "b'2\\r'; expected a port",
    b"PROXY UNKNOWN a\nb\r\n": "LF alone",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n": "b'192.0.2.07'; expected an address of TCP4",
    b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n": "expected an address of TCP4",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n": "expected an address of TCP4",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n": "expected an address of TCP4",
    b"PROXY TCP4 \xff 198.51.100.1 1 2\r\n": "b'\\xff'; expected an address of TCP4",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n": "expected an address of TCP6",
    b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n": "without a zone",
    b"PROXY TCP6 2001:db8:::7 2001:db8::1 1 2\r\n": "expected an address of TCP6",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n": "b'01'; expected a port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n": "b'+1'; expected a port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n": "b'65536'; expected a port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n": "expected a port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 1_0 2\r\n": "expected a port",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 \xd9\xa1 2\r\n": "expected a port",
    b"PROXY UNKNOWN" + b" " * 95: "without an end within 107 bytes",
    b"PROXY UNKNOWN" + b" " * 93 + b"\r\n": "without an end within 107 bytes",
    SIGNATURE + b"\x11": "version 1; expected 2",
    build_v2(0x11, TCP4, 0x22): "command 2",
    build_v2(0x41, TCP4): "0x41",
    build_v2(0x13, TCP4): "0x13",
    build_v2(0x11, TCP4[:-1]): "11 bytes of addresses; expected 12",
    build_v2(0x21, TCP4): "12 bytes of addresses; expected 36",
    build_v2(0x31, bytes(215)): "215 bytes of addresses; expected 216",
    SIGNATURE + b"\x21\x11\x10\x01": "announces 4097 bytes",
    build_v2(0x11, TCP4 + b"\x04"): "reaches beyond its end",
    build_v2(0x11, TCP4 + b"\x04\x00"): "reaches beyond its end",
    build_v2(0x11, TCP4 + b"\x04\x00\x02x"): "reaches beyond its end",
    build_v2(0x11, TCP4 + tlv(0x02, b"\xff")): "b'\\xff'; expected UTF-8",
    build_v2(0x11, TCP4 + tlv(0x02, b"n" * 256)): "256 bytes; expected at most 255",
    build_v2(0x11, TCP4 + tlv(0x02, b"one") + tlv(0x02, b"two")): "0x02 twice",
    build_v2(0x11, TCP4 + tlv(0x03, bytes(4))): "checksum is wrong",
    build_v2(0x11, TCP4 + tlv(0x03, b"abc")): "checksum of 3 bytes",
}


def outcome(*pieces: bytes) -> tuple[ProxyArrival, bytes] | str | None:
    """What a fresh parser makes of pieces: a header and all bytes behind it, why it refuses, or None."""
    parser = ProxyHeaderParser()
    for number, piece in enumerate(pieces):
        try:
            parsed = parser.feed(piece)
        except ProxyError as error:
            return str(error)
        if parsed is not None:
            header, rest = parsed
            return header, rest + b"".join(pieces[number + 1 :])
    return None


@pytest.mark.parametrize("name", GOOD)
def test_header_is_read_and_what_follows_is_left(name: str) -> None:
    data, told = GOOD[name]
    for rest in (b"", b"\r\n", b"PROXY TCP4 ", b"x" * 70_000):
        assert outcome(data + rest) == (told, rest)


@pytest.mark.parametrize("name", GOOD)
def test_every_split_in_two_gives_the_same_header(name: str) -> None:
    data, told = GOOD[name]
    for at in range(len(data)):
        parser = ProxyHeaderParser()
        assert parser.feed(data[:at]) is None
        assert parser.pending == data[:at]
        assert parser.feed(data[at:] + b"rest") == (told, b"rest")
        assert parser.pending == b""


@pytest.mark.parametrize("name", GOOD)
def test_single_bytes_give_the_same_header(name: str) -> None:
    data, told = GOOD[name]
    assert outcome(*(bytes([byte]) for byte in data)) == (told, b"")


@pytest.mark.parametrize("data", BAD)
def test_bad_header_is_refused_with_its_reason_at_every_split(data: bytes) -> None:
    reason = outcome(data)
    assert isinstance(reason, str)
    assert BAD[data] in reason
    for at in range(len(data)):
        assert outcome(data[:at], data[at:]) == reason


@pytest.mark.parametrize(
    "data", [b"PROXY TCP4 192.0.2.7", b"PROXY UNKNOWN" + b" " * 93, SIGNATURE + b"\x21\x11\0\x0c"]
)
def test_unfinished_header_waits(data: bytes) -> None:
    assert outcome(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXYING",
        b"proxy ",
        b"\r\n\r\nx",
        SIGNATURE[:-1] + b"\r",
    ],
)
def test_other_bytes_are_told_at_the_first_that_differs(data: bytes) -> None:
    differs = next(
        at for at in range(1, len(data) + 1) if not any(start.startswith(data[:at]) for start in STARTS)
    )
    parser = ProxyHeaderParser()
    for at in range(differs - 1):
        assert parser.feed(data[at : at + 1]) is None
    with pytest.raises(NotAHeader) as caught:
        parser.feed(data[differs - 1 : differs])
    assert caught.value.data == data[:differs]
    with pytest.raises(NotAHeader) as whole:
        ProxyHeaderParser().feed(data)
    assert whole.value.data == data


def test_broken_header_is_no_data_of_a_client() -> None:
    for data in BAD:
        with pytest.raises(ProxyError) as caught:
            ProxyHeaderParser().feed(data)
        assert not isinstance(caught.value, NotAHeader)


def test_crc32c_is_castagnolis() -> None:
    # The check value of every catalogue of CRCs, and RFC 3720 appendix B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_one_changed_bit_fails_the_checksum() -> None:
    good = checksummed(0x11, TCP4 + tlv(0x02, b"example.com"))
    for at in range(16, 16 + len(TCP4)):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert outcome(bad) == "PROXY v2 header whose CRC32c checksum is wrong"


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=120).map(b"PROXY ".__add__),
        st.text("TCP46UNKOW 0123456789abcdef:.\r\n", max_size=120).map(
            lambda text: b"PROXY " + text.encode()
        ),
        st.builds(build_v2, st.integers(0, 255), st.binary(max_size=300), st.integers(0x1F, 0x23)),
        st.builds(lambda body: build_v2(0x11, TCP4 + body), st.binary(max_size=60)),
    ),
    st.lists(st.integers(0, 320), max_size=4),
)
def test_any_bytes_end_in_a_header_or_an_inert_error(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    found = outcome(*pieces)
    if isinstance(found, str):
        assert found.isprintable()
        assert len(found) < 300
    whole = outcome(data)
    if not isinstance(whole, str) or not whole.startswith("no PROXY header"):
        # That one error shows what has come so far, which the cuts decide.
        assert found == whole
