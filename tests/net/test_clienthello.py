"""The server name in a ClientHello, whole, in pieces, and in bytes that are none."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.net.clienthello import server_name


def hello(name: str | None) -> bytes:
    """The first record of Python's own client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(record: bytes, size: int) -> bytes:
    """The same message in records of at most `size` bytes (RFC 8446 section 5.1)."""
    message = record[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(record[:3] + len(part).to_bytes(2, "big") + part for part in parts)


HELLO = hello("device.example")


def test_name_is_found() -> None:
    assert server_name(HELLO) == "device.example"
    assert server_name(HELLO + b"early data, say") == "device.example"


def test_no_name_is_none() -> None:
    assert server_name(hello(None)) is None


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_name_is_found_across_records(size: int) -> None:
    assert server_name(in_records(HELLO, size)) == "device.example"


def test_unfinished_hello_has_no_name() -> None:
    for at in range(len(HELLO)):
        assert server_name(HELLO[:at]) is None


def test_name_that_is_not_ascii_is_escaped() -> None:
    assert server_name(HELLO.replace(b"device", b"\xc3\xa4vice")) == "\\xc3\\xa4vice.example"


def test_hello_without_extensions_has_no_name() -> None:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\xc0\x2b" + b"\x01\0"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    assert server_name(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x17" + HELLO[1:], HELLO[:5] + b"\x02" + HELLO[6:], b"GET / HTTP/1.1\r\n"]
)
def test_other_bytes_have_no_name(data: bytes) -> None:
    assert server_name(data) is None


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda body: HELLO[:44] + body)))
def test_any_bytes_have_a_name_or_none(data: bytes) -> None:
    assert server_name(data) is None or server_name(data)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_any_changed_byte_has_a_name_or_none(at: int, byte: int) -> None:
    assert server_name(HELLO[:at] + bytes([byte]) + HELLO[at + 1 :]) != ""
