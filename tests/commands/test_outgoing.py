"""What a command line's messages are, and how they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from netsvc.commands.complaints import NotDone
from netsvc.commands.outgoing import Message, from_hex, messages_of
from netsvc.commands.send import with_seconds
from netsvc.commands.standard_input import LONGEST_LINE, StandardInput


async def pieces(message: Message) -> list[bytes]:
    """All pieces of a message that needs no reactor."""
    return [piece async for piece in message.pieces(None)]


# -- messages -----------------------------------------------------------------------------------------------


@given(st.binary(), st.sampled_from(["", " ", ":"]))
def test_hexadecimal_is_read_as_it_is_commonly_written(data: bytes, between: str) -> None:
    assert from_hex(between.join(f"{byte:02x}" for byte in data)) == data


@pytest.mark.parametrize("text", ["0", "zz", "0x00", "0 0"])
def test_what_is_not_hexadecimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not hexadecimal; expected two digits for each byte"):
        from_hex(text)


def test_messages_come_before_files_and_get_an_end() -> None:
    assert messages_of(["a", "-", os.fsdecode(b"\xff")], ["f"], False, b"\r\n") == [
        Message(b"a\r\n"),
        Message(file="-"),
        Message(b"\xff\r\n"),
        Message(file="f"),
    ]
    assert messages_of(["00 ff"], [], True, b"") == [Message(b"\x00\xff")]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["a:1", "m", "--wait"], ["a:1", "m", "--wait=3.0"]),
        (["--wait", "a:1", "m"], ["--wait=3.0", "a:1", "m"]),
        (["--wait", "2.5", "a:1", "m"], ["--wait=2.5", "a:1", "m"]),
        (["--wait=7", "a:1", "m"], ["--wait=7", "a:1", "m"]),
        (["a:1", "--", "--wait"], ["a:1", "--", "--wait"]),
        ([], []),
    ],
)
def test_wait_takes_a_number_only_if_one_follows(given: list[str], read: list[str]) -> None:
    assert with_seconds(given) == read


# -- files --------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_file_comes_in_pieces_or_whole(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    message = Message(file=str(path))
    found = await pieces(message)
    assert len(found) > 1
    assert b"".join(found) == content
    assert await message.whole(None) == content


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_empty_message_is_a_datagram_and_no_part_of_a_stream() -> None:
    assert await Message(b"").whole(None) == b""
    assert await pieces(Message(b"")) == []


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_must_be_one_datagram_is_not_read_without_end() -> None:
    with pytest.raises(NotDone) as caught:
        await Message(file="/dev/zero").whole(None)
    assert str(caught.value) == "/dev/zero: more than 1000000 bytes; no datagram carries that"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = "no such file or directory"
    for path, shown, why in (
        (str(tmp_path / "none"), str(tmp_path / "none"), missing),
        (str(tmp_path), str(tmp_path), "is a directory"),
        ("", "''", missing),
    ):
        with pytest.raises(NotDone) as caught:
            await pieces(Message(file=path))
        assert str(caught.value) == f"{shown}: {why}"


# -- standard input -----------------------------------------------------------------------------------------


async def lines_of(reactor: Any, path: Path) -> list[bytes]:
    """The lines of a file, read as standard input is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        reader = StandardInput(reactor, descriptor)
        found = []
        while (line := await reader.line()) is not None:
            found.append(line)
        return found
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\n\nb", [b"a", b"", b"b"]),
        (b"x" * 100_000 + b"\ny", [b"x" * 100_000, b"y"]),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_lines_are_read_from_a_file(
    started_reactor: Any, tmp_path: Path, content: bytes, lines: list[bytes]
) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    assert await lines_of(started_reactor, path) == lines


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_line_from_a_pipe_may_come_in_pieces(started_reactor: Any) -> None:
    ours, theirs = os.pipe()
    reader = StandardInput(started_reactor, ours)
    os.write(theirs, b"one\ntw")
    assert await reader.line() == b"one"
    os.write(theirs, b"o\nthree")
    assert await reader.line() == b"two"
    os.close(theirs)
    assert await reader.line() == b"three"
    assert await reader.line() is None
    os.close(ours)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_line_without_end_is_refused(started_reactor: Any) -> None:
    with pytest.raises(NotDone, match=f"a line has more than {LONGEST_LINE} bytes"):
        await lines_of(started_reactor, Path("/dev/zero"))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_standard_input_that_cannot_be_read_is_one_line(started_reactor: Any, tmp_path: Path) -> None:
    with pytest.raises(NotDone, match="standard input: is a directory"):
        await lines_of(started_reactor, tmp_path)
