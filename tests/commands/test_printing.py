"""Tables, and text that does nothing but be seen."""

from __future__ import annotations

from hypothesis import given, strategies

from netsvc.commands.inert import inert
from netsvc.commands.printing import plain_table


@given(strategies.text(strategies.characters(codec=None)))
def test_inert_text_has_no_controls_and_is_one_line(text: str) -> None:
    found = inert(text)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in found)
    assert len(found.splitlines()) <= 1
    found.encode()


def test_inert_text_is_what_can_be_seen() -> None:
    assert inert("grüße ✓") == "grüße ✓"
    assert inert("\x1b[2J\n\x9b\u202e\udcff") == r"\x1b[2J\n\x9b\u202e\udcff"


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    table = plain_table(("name", "port"), [("a\n", "1"), ("longer name", "")])
    assert table == "name         port\na\\n          1\nlonger name"


def test_a_table_may_have_no_row() -> None:
    assert plain_table(("name", "port"), []) == "name  port"
