"""Facts as rows of the database, and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from netsvc.facts import NO_DETAIL, Detail, Notes, Row, rows_of

#: The columns of a fact, in their order.
COLUMNS = (
    "seq, time, kind, service, listener, transport, address, port, local, connection, "
    "length, data, reason, detail"
)

#: Adds one. One that is there already was written by a commit that failed only after that.
INSERT = f"INSERT INTO fact ({COLUMNS}) VALUES ({', '.join('?' * 14)}) ON CONFLICT (seq) DO NOTHING"

Record = tuple[Any, ...]


def records_of(first: int, notes: Notes) -> Iterator[Record]:
    """
    What goes into the database.

    @param first: the seq of the first note.
    @param notes: the notes, flat.
    """
    for seq, time, kind, origin, length, data, reason, detail in rows_of(first, notes):
        service, listener, transport, address, port, local, connection = origin
        # One whole tuple: it is made for every fact, and taking others apart for it costs as much again.
        yield (
            seq,
            time,
            kind,
            service,
            as_text(listener),
            transport,
            as_text(address),
            port,
            as_text(local),
            connection,
            length,
            data,
            reason,
            json.dumps(detail) if detail else None,
        )


def newest(connection: sqlite3.Connection) -> int:
    """The seq of the newest fact in a database, 0 where there is none."""
    (seq,) = connection.execute("SELECT ifnull(max(seq), 0) FROM fact").fetchone()
    return int(seq)


def rows_from(records: Iterable[Record]) -> Iterator[Row]:
    """Rows as `netsvc.facts` has them, of what came out of the database."""
    for seq, time, kind, *origin, length, data, reason, detail in records:
        yield (seq, time, kind, tuple(origin), length, data, reason, _detail(detail))


def as_text(text: str) -> str:
    """
    A text as the database has it.

    A path may have bytes that are no UTF-8, as surrogates (PEP 383), which the database refuses: it has
    them as escapes.
    """
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _detail(text: str | None) -> Detail:
    pairs: Detail = NO_DETAIL if text is None else _pairs(json.loads(text))
    return pairs


def _pairs(value: Any) -> Any:
    """Pairs come back as lists; values that are pairs themselves do too."""
    return tuple((key, _pairs(inner)) for key, inner in value) if isinstance(value, list) else value
