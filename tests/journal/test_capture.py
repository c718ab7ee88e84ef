"""Facts as a file of packets."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netsvc.journal.capture
from netsvc.facts import CLOSED, KINDS, OPENED, RECEIVED, REFUSED, SENT, Row
from netsvc.journal.capture import LARGEST_CHUNK, Capture
from netsvc.journal.packets import ACK, FIN, LARGEST_SEGMENT, PSH, RST, SYN, Packet
from tests.commands.journalrig import BEGAN, TCP, UDP6, fact
from tests.journal.test_packets import taken_apart
from tests.journal.test_pcapng import blocks, options

UNIX = ("echo", "unix:///run/e.sock", "unix", "", None, "/run/e.sock", 9)
UNIX_DATAGRAM = ("echo", "unix-datagram:///run/d.sock", "unix-datagram", "/c", None, "/run/d.sock", None)

#: A segment: who sent it, its flags, both numbers and its payload.
Segment = tuple[str, int, int, int, bytes]


def captured(rows: Iterable[Row], connections: bool = False) -> tuple[Capture, list[tuple[int, str, Packet]]]:
    """What is made of facts: the time, the comment and the packet of each block."""
    capture = Capture("a test", connections)
    found = []
    for row in rows:
        for kind, body in blocks(b"".join(capture.add(row))):
            assert kind == 6
            _, high, low, size, length = struct.unpack_from(">IIIII", body)
            comment = options(body[20 + (size + 3) // 4 * 4 :])[1].decode()
            found.append((high << 32 | low, comment, Packet(body[20 : 20 + size], length)))
    return capture, found


def datagrams(rows: Iterable[Row]) -> list[tuple[int, str, int, int, bytes]]:
    """Time, source, both ports and payload of each."""
    found = []
    for time, _, packet in captured(rows)[1]:
        (source, target), protocol, datagram = taken_apart(packet)
        assert protocol == 17
        found.append((time, str(source.address), source.port, target.port, datagram[8:]))
    return found


def segments(rows: Iterable[Row]) -> list[Segment]:
    """What is made of connections; numbers count from the first of each side."""
    first: dict[object, int] = {}
    found = []
    for _, _, packet in captured(rows, connections=True)[1]:
        (source, target), protocol, segment = taken_apart(packet)
        assert protocol == 6
        sequence, acknowledged, offset, flags = struct.unpack_from(">IIBB", segment, 4)
        sequence -= first.setdefault(source, sequence)
        acknowledged = acknowledged - first[target] if target in first else 0
        side = "client" if source.port == TCP[4] else "local"
        found.append((side, flags, sequence, acknowledged, segment[(offset >> 4) * 4 :]))
    return found


#: What any program could have written into a journal's columns.
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
ADDRESSES = st.sampled_from(["127.0.0.1", "::1", "fe80::1%eth0", "", "/run/x", "no address"])
PLACES = st.one_of(
    ADDRESSES, st.sampled_from(["127.0.0.1:80", "[::]:1", "[::1]:65536", ":1"]), st.text(max_size=9)
)
ROWS = st.tuples(
    NUMBERS,
    NUMBERS,
    st.sampled_from([*KINDS, "unheard of"]),
    st.tuples(
        st.text(max_size=9),
        st.text(max_size=9),
        st.text(max_size=9),
        st.one_of(ADDRESSES, st.text(max_size=9)),
        st.one_of(st.none(), st.integers(-1, 65_536), NUMBERS),
        PLACES,
        st.one_of(st.none(), st.integers(1, 3), NUMBERS),
    ),
    st.one_of(st.none(), st.integers(0, 70_000), NUMBERS),
    st.one_of(st.none(), st.binary(max_size=50)),
    st.one_of(st.none(), st.text(max_size=9)),
    st.just(()),
)


@given(st.lists(ROWS, max_size=5), st.booleans())
def test_whatever_is_in_a_journal_becomes_packets_or_is_left_out(rows: list[Row], connections: bool) -> None:
    capture, packets = captured(rows, connections)
    assert capture.packets == len(packets)
    for _, _, one in packets:
        taken_apart(one)


def test_it_begins_with_what_it_is_and_one_interface() -> None:
    (first, body), (second, _) = blocks(Capture("a test", connections=False).begin())
    assert (first, second) == (0x0A0D0D0A, 1)
    said = options(body[16:])
    assert said[4] == b"a test"
    assert b"the rest of the headers is made up" in said[1]
    assert b"TCP" not in said[1]
    (_, body), _ = blocks(Capture("a test", connections=True).begin())
    assert b"TCP connections are made up" in options(body[16:])[1]


def test_a_datagram_goes_the_way_that_it_went() -> None:
    rows = [fact(1, b"in"), fact(2, b"out", SENT), fact(3, b"", origin=UDP6), fact(4, b"6", SENT, UDP6)]
    assert datagrams(rows) == [
        (BEGAN + 1 * 10**9, "192.0.2.7", 4000, 50000, b"in"),
        (BEGAN + 2 * 10**9, "127.0.0.1", 50000, 4000, b"out"),
        (BEGAN + 3 * 10**9, "2001:db8::7", 4000, 50000, b""),
        (BEGAN + 4 * 10**9, "::1", 50000, 4000, b"6"),
    ]


def test_a_packet_says_which_fact_it_is_made_of() -> None:
    _, ((_, comment, _),) = captured([fact(17)])
    assert comment == "echo, udp://127.0.0.1:50000, fact 17"
    _, ((_, comment, _),) = captured([fact(18, origin=TCP)], connections=True)
    assert comment == "echo, tcp://127.0.0.1:50000, connection 7, fact 18"


def test_of_data_that_was_cut_the_packet_is_cut_too() -> None:
    _, ((_, _, packet),) = captured([fact(1, b"12345", length=5000)])
    assert (len(packet.data), packet.length) == (28 + 5, 28 + 5000)


def test_what_is_no_datagram_that_went_is_left_out_and_counted() -> None:
    rows = [
        fact(1, b"x", REFUSED),
        fact(2, None, OPENED, TCP),
        fact(3, b"x", RECEIVED, TCP),
        fact(4, b"x", RECEIVED, UNIX),
        fact(5, b"x", SENT, UNIX_DATAGRAM),
        fact(6, b"x", length=70_000),
        fact(7, b"x"),
    ]
    capture, packets = captured(rows)
    assert len(packets) == capture.packets == 1
    assert capture.left_out == {
        "of connections": 2,
        "of UNIX sockets": 1,
        "with a length that none can have": 1,
    }


def test_a_connection_has_a_handshake_running_numbers_and_an_end() -> None:
    rows = [
        fact(1, None, OPENED, TCP),
        fact(2, b"hello", RECEIVED, TCP),
        fact(3, b"answer", SENT, TCP),
        fact(4, b"bye", RECEIVED, TCP),
        fact(5, None, CLOSED, TCP, reason="fin"),
    ]
    assert segments(rows) == [
        ("client", SYN, 0, 0, b""),
        ("local", SYN | ACK, 0, 1, b""),
        ("client", ACK, 1, 1, b""),
        ("client", PSH | ACK, 1, 1, b"hello"),
        ("local", PSH | ACK, 1, 6, b"answer"),
        ("client", PSH | ACK, 6, 7, b"bye"),
        ("client", FIN | ACK, 9, 7, b""),
        ("local", FIN | ACK, 7, 10, b""),
        ("client", ACK, 10, 8, b""),
    ]


def test_a_connection_that_netsvc_has_ended_ends_from_its_side() -> None:
    rows = [
        fact(1, b"x", RECEIVED, TCP),
        fact(2, b"yz", SENT, TCP),
        fact(3, None, CLOSED, TCP, reason="idle"),
    ]
    assert segments(rows)[2:] == [
        ("local", FIN | ACK, 2, 1, b""),
        ("client", FIN | ACK, 1, 3, b""),
        ("local", ACK, 3, 2, b""),
    ]


def test_a_reset_is_one() -> None:
    rows = [fact(1, b"x", RECEIVED, TCP), fact(2, None, CLOSED, TCP, reason="reset")]
    assert [(flags, sequence) for _, flags, sequence, _, _ in segments(rows)] == [
        (PSH | ACK, 0),
        (RST | ACK, 1),
    ]


def test_a_connection_whose_beginning_is_not_there_has_no_handshake() -> None:
    rows = [fact(1, b"x", SENT, TCP), fact(2, b"yz", SENT, TCP), fact(3, None, CLOSED, UNIX)]
    assert [(flags, sequence, data) for _, flags, sequence, _, data in segments(rows)] == [
        (PSH | ACK, 0, b"x"),
        (PSH | ACK, 1, b"yz"),
    ]


def test_a_long_chunk_is_several_segments_of_which_the_unknown_rest_is_cut() -> None:
    length = 2 * LARGEST_SEGMENT + 10
    capture, found = captured([fact(1, b"known", RECEIVED, TCP, length), fact(2, b"x", RECEIVED, TCP)], True)
    cut = [(len(packet.data) - 40, packet.length - 40) for _, _, packet in found]
    assert cut == [(5, LARGEST_SEGMENT), (0, LARGEST_SEGMENT), (0, 10), (1, 1)]
    numbers = [struct.unpack_from(">I", packet.data, 24)[0] for _, _, packet in found]
    assert [number - numbers[0] for number in numbers] == [0, LARGEST_SEGMENT, 2 * LARGEST_SEGMENT, length]
    assert found[0][1].endswith(f"part of a chunk of {length} bytes")
    assert capture.packets == 4


def test_a_number_that_another_process_has_used_is_another_connection() -> None:
    other = (*TCP[:3], "198.51.100.1", *TCP[4:])
    _, found = captured([fact(1, b"x", RECEIVED, TCP), fact(100, b"y", RECEIVED, other)], True)
    assert [struct.unpack_from(">I", packet.data, 24)[0] for _, _, packet in found] == [1, 100]


def test_a_chunk_that_cannot_be_is_left_out() -> None:
    capture, found = captured(
        [fact(1, b"x", RECEIVED, TCP, LARGEST_CHUNK + 1), fact(2, b"xy", SENT, TCP, 1)], True
    )
    assert (found, sum(capture.left_out.values())) == ([], 2)


def test_no_more_connections_are_remembered_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netsvc.journal.capture, "MAX_CONNECTIONS", 2)
    numbered = [(*TCP[:6], number) for number in (1, 2, 1, 3, 1, 2)]
    _, found = captured([fact(seq, b"x", RECEIVED, one) for seq, one in enumerate(numbered, 1)], True)
    numbers = [struct.unpack_from(">I", packet.data, 24)[0] for _, _, packet in found]
    # The second one was longest without a byte when the third came.
    assert numbers == [1, 2, 2, 4, 3, 6]
