"""Lines come out the same however the stream was cut, and none is longer than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.services.lines import LineSplitter


def split(*pieces: bytes, max_line: int = 4) -> list[bytes | None]:
    lines = LineSplitter(max_line)
    return [line for piece in pieces for line in lines.feed(piece)] + lines.finish()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"ab", [b"ab"]),
        (b"ab\n", [b"ab"]),
        (b"ab\r\ncd\n\n", [b"ab\r", b"cd", b""]),
        (b"\n\r\n", [b"", b"\r"]),
        (b"abcd\nabcd\r\n", [b"abcd", b"abcd\r"]),
        (b"abcd\r", [b"abcd\r"]),
        (b"abcde\nab\n", [None]),
        (b"ab\nabcde", [b"ab", None]),
        (b"abcd\r\r\n", [None]),
        (b"abcd\rx", [None]),
    ],
)
def test_lines_are_the_same_at_every_cut(stream: bytes, expected: list[bytes | None]) -> None:
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert split(stream[:first], stream[first:second], stream[second:]) == expected


def test_after_a_line_that_is_too_long_there_is_nothing() -> None:
    lines = LineSplitter(4)
    assert lines.feed(b"abcde") == [None]
    assert lines.feed(b"ab\n") == []
    assert lines.finish() == []


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\r", b"\r\n"])))
def test_any_pieces_give_the_lines_of_the_whole(pieces: list[bytes]) -> None:
    assert split(*pieces) == split(b"".join(pieces))


def test_an_unfinished_line_is_not_kept_beyond_the_longest_length() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(b"x" * 100) == []
    assert splitter.feed(b"\r") == []
    assert splitter.feed(b"x") == [None]
    assert splitter.feed(b"y" * 1000 + b"\n") == []
    assert splitter.finish() == []
