"""What peers write is fit to be shown to others."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.services.plain import InvalidNameError, check_name, plain_line, read_name


@pytest.mark.parametrize(
    "name", ["a", "Ζωή", "张伟", "name with blanks", "می\u200cنا", "\U0001f469\u200d\U0001f680"]
)
def test_names_of_every_script_are_taken(name: str) -> None:
    assert read_name(name.encode(), 64) == name


def test_the_longest_name_is_counted_in_bytes() -> None:
    assert read_name(b"x" * 255, 255) == "x" * 255
    assert read_name("é".encode() * 127, 255) == "é" * 127
    for data in (b"x" * 256, "é".encode() * 128):
        with pytest.raises(InvalidNameError, match="longer than 255 bytes"):
            read_name(data, 255)


@pytest.mark.parametrize("data", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\xc3"])
def test_a_name_that_is_not_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidNameError, match="not UTF-8"):
        read_name(data, 255)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="empty"):
        read_name(b"", 255)


@pytest.mark.parametrize(
    "sign",
    [
        "\0",
        "\t",
        "\n",
        "\r",
        "\x1b",
        "\x7f",
        "\x85",
        "\x9b",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u2066",
        "\udcff",
    ],
)
def test_a_name_with_a_control_character_is_refused(sign: str) -> None:
    with pytest.raises(InvalidNameError, match="control character"):
        check_name(f"a{sign}b", 255)


def test_control_characters_of_a_text_are_shown_escaped() -> None:
    assert plain_line("\x1b[31mred\x07") == r"\x1b[31mred\x07"
    assert plain_line("a\nbob: b\r\x85\u2028") == r"a\nbob: b\r\x85\u2028"
    assert plain_line("\u202egnol") == r"\u202egnol"


def test_tabs_and_ordinary_text_stay() -> None:
    text = 'tab\there, "quotes", back\\slash, Ζωή, 张伟, \U0001f600'
    assert plain_line(text) == text


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=50))
def test_any_text_becomes_one_line_that_drives_no_terminal(text: str) -> None:
    line = plain_line(text)
    line.encode("utf-8")
    assert len(line) <= 6 * len(text)
    assert len(line.splitlines()) <= 1
    for sign in line:
        assert sign == "\t" or unicodedata.category(sign) not in {"Cc", "Cs", "Zl", "Zp"}
    assert plain_line(line) == line


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_name_or_are_refused(data: bytes) -> None:
    try:
        name = read_name(data, 255)
    except InvalidNameError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is right
    else:
        assert name.encode() == data
        assert plain_line(name) == name
        assert 1 <= len(data) <= 255
