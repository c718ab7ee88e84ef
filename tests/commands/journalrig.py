"""Journals for tests of the commands that read one, written as a daemon writes them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from netsvc.facts import NO_DETAIL, RECEIVED, OriginRow, Row
from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.database import Database

#: Where the datagrams of these tests come from.
UDP: OriginRow = ("echo", "udp://127.0.0.1:50000", "udp", "192.0.2.7", 4000, "127.0.0.1:50000", None)
UDP6: OriginRow = ("echo", "udp://[::1]:50000", "udp", "2001:db8::7", 4000, "[::1]:50000", None)
TCP: OriginRow = ("echo", "tcp://127.0.0.1:50000", "tcp", "192.0.2.7", 4001, "127.0.0.1:50000", 7)

#: The time of the first fact that `fact` makes, in nanoseconds.
BEGAN = 1_795_177_666_000_000_000


def fact(
    seq: int,
    data: bytes | None = b"x",
    kind: str = RECEIVED,
    origin: OriginRow = UDP,
    length: int | None = None,
    reason: str | None = None,
) -> Row:
    """One fact, a second later than the one whose seq is one less; a length is given where data was cut."""
    if length is None and data is not None:
        length = len(data)
    return (seq, BEGAN + seq * 10**9, kind, origin, length, data, reason, NO_DETAIL)


def journal(path: Path, rows: Iterable[Row]) -> Path:
    """Make a journal, or add to one; gives its path back."""
    with closing(Database(path, print).open()) as connection:
        connection.execute("BEGIN")
        for seq, time, kind, origin, length, data, reason, detail in rows:
            note = (time, kind, origin, data or b"", (length, reason, detail))
            connection.executemany(INSERT, records_of(seq, note))
        connection.execute("COMMIT")
    return path
