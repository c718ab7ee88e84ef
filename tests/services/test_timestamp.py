"""timestamp answers each chunk, or each line however it was cut, with the time and the data."""

from __future__ import annotations

import ast
import itertools
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol

from netsvc.services.clock import SECOND, ctime
from netsvc.services.timestamp import LineTimestamp, TimestampFactory
from tests.services.transports import MemoryTransport, connect

MOMENT = 1_473_971_352_123_456_789
TIME = ctime(MOMENT).encode()
STAMP = b"[" + TIME + b"] "


class SetClock:
    """A clock that stands where it was set, and counts how often it was looked at."""

    def __init__(self, moment: int = MOMENT) -> None:
        self.moment = moment
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        return self.moment


def connected(factory: TimestampFactory) -> tuple[Protocol, MemoryTransport]:
    protocol = factory.buildProtocol(None)
    return protocol, connect(protocol)


def connected_by_line(
    data: str = "bytes", max_line: int = 65536, now: SetClock | None = None
) -> tuple[LineTimestamp, MemoryTransport]:
    factory = TimestampFactory(framing="line", data=data, max_line=max_line, now=now or SetClock())
    protocol, transport = connected(factory)
    assert isinstance(protocol, LineTimestamp)
    return protocol, transport


def ask(chunk: bytes, **arguments: str) -> bytes:
    """What one chunk is answered at `MOMENT`."""
    protocol, transport = connected(TimestampFactory(now=lambda: MOMENT, **arguments))  # type: ignore[arg-type]
    protocol.dataReceived(chunk)
    assert len(transport.writes) == 1
    return transport.value()


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Every way to cut the data in pieces."""
    for marks in itertools.product((False, True), repeat=max(0, len(data) - 1)):
        ends = [0, *(at for at, cut in enumerate(marks, 1) if cut), len(data)]
        yield [data[start:end] for start, end in itertools.pairwise(ends)]


def lines_of(data: bytes) -> list[bytes]:
    """The lines with their LF; the last one may lack it."""
    *ended, rest = data.split(b"\n")
    return [line + b"\n" for line in ended] + ([rest] if rest else [])


def reference(data: bytes, max_line: int) -> tuple[bytes, bool]:
    """What line framing must answer to all of the data and its end, and whether it closes before that."""
    answer = b""
    for line in lines_of(data):
        body = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(body) > max_line:
            return answer + b"line too long\n", True
        answer += STAMP + line + (b"" if line.endswith(b"\n") else b"\n")
    return answer, False


def feed(pieces: Iterable[bytes], max_line: int) -> tuple[bytes, bool]:
    """What the pieces and their end are answered, and whether the connection closed before the end."""
    protocol, transport = connected_by_line(max_line=max_line)
    for piece in pieces:
        protocol.dataReceived(piece)
    closed = transport.disconnecting
    protocol.readConnectionLost()
    assert transport.disconnecting
    assert not transport.disconnected
    return transport.value(), closed


# Both framings


def test_what_twisted_needs_is_there() -> None:
    verifyObject(IProtocolFactory, TimestampFactory())
    for framing in ("chunk", "line"):
        factory = TimestampFactory(framing=framing)
        protocol = factory.buildProtocol(None)
        verifyObject(IProtocol, protocol)
        assert protocol.factory is factory
    verifyObject(IHalfCloseableProtocol, TimestampFactory(framing="line").buildProtocol(None))


@pytest.mark.parametrize("name", ["framing", "style", "data", "clock"])
def test_an_unknown_choice_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}='sundial': expected one of "):
        TimestampFactory(**{name: "sundial"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [
        ({}, STAMP + b"hello python"),
        ({"style": "plain"}, TIME + b" hello python"),
        ({"data": "repr"}, STAMP + b"b'hello python'"),
        ({"style": "plain", "data": "repr"}, TIME + b" b'hello python'"),
        ({"clock": "iso"}, b"[2016-09-15T20:29:12.123456Z] hello python"),
        ({"clock": "ns"}, b"[1473971352123456789] hello python"),
        ({"clock": "ns", "style": "plain"}, b"1473971352123456789 hello python"),
    ],
)
def test_style_data_and_clock_make_the_reply(arguments: dict[str, str], reply: bytes) -> None:
    assert ask(b"hello python", **arguments) == reply
    assert ask(b"hello python\n", framing="line", **arguments) == reply + b"\n"


def test_the_bracketed_time_has_24_characters() -> None:
    reply = ask(b"x")
    assert len(reply) == 1 + 24 + 2 + 1
    time.strptime(reply[1:25].decode(), "%a %b %d %H:%M:%S %Y")


@pytest.mark.parametrize("text", [b"{}", b"{0}", b"%s", b"\x1b[31m", b"\xff\x00"])
def test_no_data_is_taken_for_a_format(text: bytes) -> None:
    assert ask(text) == STAMP + text
    assert ask(text, data="repr") == STAMP + repr(text).encode()


# The stamp


def test_the_stamp_is_renewed_when_the_second_ends_and_not_before() -> None:
    now = SetClock(100 * SECOND)
    protocol, transport = connected(TimestampFactory(now=now))
    for moment in (100 * SECOND, 101 * SECOND - 1, 101 * SECOND, 160 * SECOND):
        now.moment = moment
        protocol.dataReceived(b"")
        assert transport.writes[-1] == f"[{ctime(moment)}] ".encode()


def test_within_a_second_the_stamp_is_the_same_object() -> None:
    now = SetClock(100 * SECOND)
    stamps = []
    protocol, transport = connected(TimestampFactory(now=now))
    for moment in (100 * SECOND, 100 * SECOND + 1, 101 * SECOND - 1):
        now.moment = moment
        protocol.dataReceived(b"")
        stamps.append(transport.writes[-1])
    # bytes + b"" gives the very same bytes object, so nothing was rendered anew.
    assert stamps[0] is stamps[1] is stamps[2]


@pytest.mark.parametrize("clock", ["ctime", "iso", "ns"])
def test_a_clock_that_is_set_back_is_followed(clock: str) -> None:
    now = SetClock(MOMENT)
    protocol, transport = connected(TimestampFactory(clock=clock, now=now))
    protocol.dataReceived(b"")
    now.moment -= 3600 * SECOND
    protocol.dataReceived(b"")
    fresh, other = connected(TimestampFactory(clock=clock, now=now))
    fresh.dataReceived(b"")
    assert transport.writes[1] == other.writes[0] != transport.writes[0]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=20), st.sampled_from(["ctime", "iso", "ns"]))
def test_a_remembered_stamp_is_always_what_a_new_one_would_be(moments: list[int], clock: str) -> None:
    now = SetClock()
    protocol, transport = connected(TimestampFactory(clock=clock, now=now))
    for moment in moments:
        now.moment = moment
        protocol.dataReceived(b"x")
        fresh, other = connected(TimestampFactory(clock=clock, now=now))
        fresh.dataReceived(b"x")
        assert transport.writes[-1] == other.value()


def test_iso_is_utc_and_the_default_clock_is_the_real_one() -> None:
    before = time.time_ns()
    protocol, transport = connected(TimestampFactory(clock="ns", style="plain"))
    protocol.dataReceived(b"")
    assert before <= int(transport.value()) <= time.time_ns()
    utc = datetime.fromisoformat(ask(b"", clock="iso", style="plain").decode().strip())
    assert int(utc.timestamp()) == MOMENT // SECOND


# Chunk framing


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=500)))
def test_each_chunk_gets_one_reply_byte_for_byte(chunks: list[bytes]) -> None:
    protocol, transport = connected(TimestampFactory(now=SetClock()))
    for chunk in chunks:
        protocol.dataReceived(chunk)
    assert transport.writes == [STAMP + chunk for chunk in chunks]
    assert not transport.disconnecting


def test_a_chunk_costs_one_look_at_the_clock_and_one_write() -> None:
    now = SetClock()
    protocol, transport = connected(TimestampFactory(now=now))
    for _ in range(10):
        protocol.dataReceived(b"x")
    assert now.looks == len(transport.writes) == 10


def test_connections_of_one_factory_do_not_mix() -> None:
    factory = TimestampFactory(now=SetClock())
    (first, to_first), (second, to_second) = connected(factory), connected(factory)
    first.dataReceived(b"1")
    second.dataReceived(b"2")
    assert (to_first.value(), to_second.value()) == (STAMP + b"1", STAMP + b"2")


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_a_literal_reads_back_as_the_data(data: bytes) -> None:
    for framing in ("chunk", "line"):
        protocol, transport = connected(TimestampFactory(framing=framing, data="repr", now=SetClock()))
        protocol.dataReceived(data.replace(b"\n", b" ") + b"\n" if framing == "line" else data)
        literal = transport.value().removeprefix(STAMP).decode("ascii")
        if framing == "chunk":
            assert ast.literal_eval(literal) == data
        else:
            assert ast.literal_eval(literal) == data.replace(b"\n", b" ").removesuffix(b"\r")


# Line framing


@pytest.mark.parametrize(
    "data",
    [b"ab\ncd\r\n", b"\n\n\r\n", b"a\r\r\nb\rc", b"12345\r\nx", b"12345\r", b"123456\n1\n", b"1\n123456789"],
)
def test_every_cut_of_the_input_gives_the_same_answer(data: bytes) -> None:
    expected = reference(data, 5)
    for pieces in cuts(data):
        assert feed(pieces, 5) == expected


@settings(deadline=None, max_examples=300)
@given(
    pieces=st.lists(st.text("ab\r\n", max_size=12).map(str.encode), max_size=12),
    max_line=st.integers(1, 12),
)
def test_any_cut_of_any_input_gives_what_the_whole_would(pieces: list[bytes], max_line: int) -> None:
    answer, closed = feed(pieces, max_line)
    assert (answer, closed) == reference(b"".join(pieces), max_line)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=80), max_size=10))
def test_any_bytes_in_any_pieces_give_what_the_whole_would(pieces: list[bytes]) -> None:
    assert feed(pieces, 40) == reference(b"".join(pieces), 40)


def test_a_reply_ends_as_its_line_did() -> None:
    protocol, transport = connected_by_line()
    protocol.dataReceived(b"lf\ncr lf\r\n\n\r\n")
    assert transport.value() == STAMP + b"lf\n" + STAMP + b"cr lf\r\n" + STAMP + b"\n" + STAMP + b"\r\n"


def test_a_literal_shows_the_line_without_its_end() -> None:
    protocol, transport = connected_by_line(data="repr")
    protocol.dataReceived(b"a\r\nb\n\xff\r\r\n")
    assert transport.value() == STAMP + b"b'a'\r\n" + STAMP + b"b'b'\n" + STAMP + b"b'\\xff\\r'\r\n"


def test_the_replies_of_one_chunk_leave_in_one_write_with_one_stamp() -> None:
    now = SetClock()
    protocol, transport = connected_by_line(now=now)
    protocol.dataReceived(b"1\n2\n3\n4")
    assert transport.writes == [STAMP + b"1\n" + STAMP + b"2\n" + STAMP + b"3\n"]
    assert now.looks == 1


def test_nothing_is_written_before_a_line_is_complete() -> None:
    protocol, transport = connected_by_line()
    for byte in b"not yet":
        protocol.dataReceived(bytes([byte]))
    assert transport.writes == []


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(b"rest", STAMP + b"rest\n"), (b"rest\r", STAMP + b"rest\r\n"), (b"x\n", b""), (b"", b"")],
)
def test_an_unfinished_last_line_is_answered_at_the_end_of_input(sent: bytes, answer: bytes) -> None:
    protocol, transport = connected_by_line()
    protocol.dataReceived(sent)
    before = transport.value()
    protocol.readConnectionLost()
    assert transport.value() == before + answer
    assert transport.disconnecting


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_of_just_the_longest_length_is_answered(end: bytes) -> None:
    line = b"x" * 65536 + end
    protocol, transport = connected_by_line()
    protocol.dataReceived(line)
    assert transport.value() == STAMP + line
    assert not transport.disconnecting


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"and more\nnext\n"])
def test_a_line_one_byte_longer_is_told_so_and_the_connection_closes(end: bytes) -> None:
    protocol, transport = connected_by_line()
    protocol.dataReceived(b"before\n" + b"x" * 65537 + end)
    assert transport.value() == STAMP + b"before\n" + b"line too long\n"
    assert transport.disconnecting
    assert not transport.disconnected


def test_what_comes_after_a_line_too_long_is_ignored() -> None:
    protocol, transport = connected_by_line(max_line=3)
    protocol.dataReceived(b"1234")
    protocol.dataReceived(b"5\n12\n")
    protocol.dataReceived(b"123456\n")
    protocol.readConnectionLost()
    assert transport.writes == [b"line too long\n"]


def test_chunk_framing_knows_no_longest_line() -> None:
    protocol, transport = connected(TimestampFactory(max_line=1, now=SetClock()))
    protocol.dataReceived(b"x" * 200_000)
    assert transport.value() == STAMP + b"x" * 200_000


def test_the_end_of_the_connection_without_an_end_of_input_writes_nothing() -> None:
    protocol, transport = connected_by_line()
    protocol.dataReceived(b"rest")
    protocol.writeConnectionLost()
    protocol.connectionLost()
    assert transport.value() == b""
