"""The small modules of the pages, by themselves: what they make of bytes, texts, numbers and times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import Chromium, Tab

pytestmark = [pytest.mark.live, pytest.mark.program("chromium")]


@pytest.fixture(scope="module")
def tab(browser: Chromium, site: str) -> Iterator[Tab]:
    """A page from whose origin modules can be loaded."""
    with browser.tab(f"{site}/static/icon.svg") as opened:
        yield opened


def call(tab: Tab, module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module."""
    return tab.evaluate(
        f"import('/static/{module}.js').then((module) => module.{function}(...{json.dumps(arguments)}))"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, grüße, 日本", "plain, grüße, 日本"),
        ("a\r\n\tb", "a⇤↵⇥b"),
        ("\x00\x1b[31m\x7f", "··[31m·"),
        ("\u202eabc\u2069\u200b\ufeff\u2028", "�abc����"),
        ("\U000e0041", "�"),
        ("👩🏽 🇩🇪", "👩🏽 🇩🇪"),
    ],
)
def test_text_is_shown_sign_by_sign(tab: Tab, text: str, shown: str) -> None:
    assert call(tab, "text", "shown", text) == shown


def test_bytes_become_text_and_hex(tab: Tab) -> None:
    expression = (
        "import('/static/hex.js').then(({bytesOf, textOf, hexOf}) => "
        "[textOf(bytesOf('aMOp/wo=')), hexOf(bytesOf('AP8='))])"
    )
    assert tab.evaluate(expression) == ["hé�↵", "00 ff"]


def test_a_dump_has_sixteen_bytes_a_line(tab: Tab) -> None:
    dumped = tab.evaluate(
        "import('/static/hex.js').then(({dump}) => dump(new TextEncoder().encode('0123456789abcdef\\n<')))"
    )
    assert dumped.split("\n") == [
        "0000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef",
        "0010  0a 3c                                             .<",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("68 65", [0x68, 0x65]), ("0x00:ff", [0, 255]), ("", []), ("0", None), ("zz", None), ("hello", None)],
)
def test_hex_is_read_as_people_type_it(tab: Tab, text: str, expected: list[int] | None) -> None:
    expression = f"import('/static/hex.js').then((hex) => hex.bytesFromHex({json.dumps(text)}))"
    found = tab.evaluate(f"{expression}.then((bytes) => bytes && [...bytes])")
    assert found == expected


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        ("size", 999, "999 B"),
        ("size", 1000, "1 kB"),
        ("size", 1_234_567, "1.2 MB"),
        ("rate", 0.25, "0.3"),
        ("rate", 19_999.7, "20,000"),
        ("duration", 0.0123, "12.3 ms"),
        ("duration", 75, "1 min 15 s"),
        ("duration", 90_000, "1 d 1 h"),
        ("instant", "1795177666958230001", "2026-11-20T12:27:46.958230001Z"),
    ],
)
def test_numbers_are_as_people_read_them(tab: Tab, function: str, value: Any, text: str) -> None:
    assert call(tab, "format", function, value) == text


def test_times_are_local_and_say_so(browser: Chromium, site: str) -> None:
    for zone, expected in [
        ("Asia/Kolkata", "2026-11-20T17:57:46.958230001+05:30"),
        ("America/St_Johns", "2026-11-20T08:57:46.958230001-03:30"),
    ]:
        with browser.tab(f"{site}/static/icon.svg", zone=zone) as tab:
            assert call(tab, "format", "instant", "1795177666958230001") == expected


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("2026-07-01T12:30:00Z", "2026-07-01T08:30:00"),
        ("2026-07-01T12:30:00+02:00", "2026-07-01T06:30:00"),
        ("yesterday", ""),
        ("", ""),
        (None, ""),
        ("9999999999d", ""),
    ],
)
def test_moments_of_a_link_are_local_in_a_field(
    browser: Chromium, site: str, text: str | None, field: str
) -> None:
    with browser.tab(f"{site}/static/icon.svg", zone="America/New_York") as tab:
        assert call(tab, "moment", "fieldOf", text) == field
        if field:
            assert call(tab, "moment", "fieldOf", call(tab, "moment", "instantOf", field)) == field


def test_addresses_are_as_people_write_them(tab: Tab) -> None:
    assert call(tab, "format", "place", "127.0.0.1", 80) == "127.0.0.1:80"
    assert call(tab, "format", "place", "::1", 80) == "[::1]:80"
    assert call(tab, "format", "place", "/run/a.sock", None) == "/run/a.sock"
    assert call(tab, "format", "place", "", None) == "unnamed"
