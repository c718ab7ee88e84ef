"""`netsvc.journal.disk.columns`: what comes out is what went in."""

from __future__ import annotations

import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netsvc.facts import KINDS, NO_DETAIL, NOTE, rows_of
from netsvc.journal.disk.columns import COLUMNS, INSERT, newest, records_of, rows_from
from netsvc.journal.disk.schema import SCHEMA

_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_VALUES: Any = st.recursive(
    st.one_of(_TEXTS, _NUMBERS, st.none(), st.floats(allow_nan=False)),
    lambda values: st.lists(st.tuples(_TEXTS, values), min_size=1, max_size=3).map(tuple),
    max_leaves=5,
)
_DETAILS = st.lists(st.tuples(_TEXTS, _VALUES), max_size=3).map(tuple)
_ORIGINS = st.tuples(
    _TEXTS, _TEXTS, _TEXTS, _TEXTS, st.none() | st.integers(0, 65_535), _TEXTS, st.none() | _NUMBERS
)
_MORE = st.none() | st.tuples(st.none() | st.integers(0, 2**40), st.none() | _TEXTS, _DETAILS)
_NOTES = st.tuples(_NUMBERS, st.sampled_from(KINDS), _ORIGINS, st.binary(max_size=100), _MORE)


def journal() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA.tables)
    return connection


@given(st.lists(_NOTES, min_size=1, max_size=5))
def test_what_was_noted_is_read_as_the_ring_has_it(notes: list[tuple[Any, ...]]) -> None:
    flat = tuple(value for note in notes for value in note)
    assert len(flat) == len(notes) * NOTE
    connection = journal()
    connection.executemany(INSERT, records_of(7, flat))
    records = connection.execute(f"SELECT {COLUMNS} FROM fact ORDER BY seq").fetchall()
    assert list(rows_from(records)) == list(rows_of(7, flat))
    assert newest(connection) == 6 + len(notes)
    connection.close()


def test_a_path_that_is_no_text_is_shown_with_escapes() -> None:
    origin = ("echo", "unix:///tmp/caf\udce9", "unix", "/tmp/\udcff", None, "/tmp/caf\udce9", 1)
    connection = journal()
    connection.executemany(INSERT, records_of(1, (1, "opened", origin, b"", (None, None, NO_DETAIL))))
    ((listener, address, local),) = connection.execute("SELECT listener, address, local FROM fact")
    assert (listener, address, local) == ("unix:///tmp/caf\\xe9", "/tmp/\\xff", "/tmp/caf\\xe9")
    connection.close()


def test_an_empty_one_has_no_newest() -> None:
    connection = journal()
    assert newest(connection) == 0
    connection.close()
