"""Blocks of a pcapng file, read back as its specification describes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.journal.pcapng import INBOUND, LONGEST_TEXT, OUTBOUND, interface, packet, section

Block = tuple[int, bytes]


def blocks(data: bytes) -> Iterator[Block]:
    """The type and the body of each block."""
    while data:
        kind, length = struct.unpack_from(">II", data)
        assert length % 4 == 0
        assert struct.unpack_from(">I", data, length - 4) == (length,)
        yield kind, data[8 : length - 4]
        data = data[length:]


def options(data: bytes) -> dict[int, bytes]:
    """Options, up to the one that ends them, behind which there is nothing."""
    found: dict[int, bytes] = {}
    while True:
        code, length = struct.unpack_from(">HH", data)
        if code == 0:
            assert (length, data[4:]) == (0, b"")
            return found
        found[code] = data[4 : 4 + length]
        data = data[4 + (length + 3) // 4 * 4 :]


def test_a_section_is_told_by_its_magic_numbers_and_says_what_it_is() -> None:
    ((kind, body),) = blocks(section("netsvc 1", "of facts"))
    assert kind == 0x0A0D0D0A
    assert struct.unpack_from(">IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
    assert options(body[16:]) == {1: b"of facts", 4: b"netsvc 1"}


def test_an_interface_has_ip_packets_of_any_length_and_nanoseconds() -> None:
    ((kind, body),) = blocks(interface("netsvc"))
    assert kind == 1
    assert struct.unpack_from(">HHI", body) == (101, 0, 0)
    assert options(body[8:]) == {2: b"netsvc", 9: b"\x09"}


@given(
    st.integers(0, (1 << 64) - 1),
    st.binary(max_size=100),
    st.integers(0, 100),
    st.sampled_from([INBOUND, OUTBOUND]),
    st.text(max_size=20),
)
def test_a_packet_is_read_as_it_was_written(
    time: int, data: bytes, missing: int, direction: int, comment: str
) -> None:
    written = packet(time, data, len(data) + missing, direction, comment)
    ((kind, body),) = blocks(written + b"")
    assert kind == 6
    number, high, low, captured, length = struct.unpack_from(">IIIII", body)
    assert (number, high << 32 | low, captured, length) == (0, time, len(data), len(data) + missing)
    assert body[20 : 20 + captured] == data
    padded = (captured + 3) // 4 * 4
    found = options(body[20 + padded :])
    assert found == {1: comment.encode("utf-8", "replace"), 2: struct.pack(">I", direction)}


@pytest.mark.parametrize(("time", "written"), [(-1, 0), (1 << 64, (1 << 64) - 1)])
def test_a_time_that_cannot_be_written_is_the_nearest_that_can(time: int, written: int) -> None:
    ((_, body),) = blocks(packet(time, b"", 0, INBOUND, ""))
    assert struct.unpack_from(">Q", body, 4) == (written,)


def test_a_text_fits_into_its_option_and_is_not_cut_within_a_letter() -> None:
    ((_, body),) = blocks(interface("é" * LONGEST_TEXT))
    assert options(body[8:])[2] == ("é" * (LONGEST_TEXT // 2)).encode()
    ((_, body),) = blocks(interface("x" + "é" * LONGEST_TEXT))
    assert options(body[8:])[2].decode() == "x" + "é" * (LONGEST_TEXT // 2 - 1)
