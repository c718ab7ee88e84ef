"""Rows for tests: what a connection or a datagram would have left in the timeline."""

from __future__ import annotations

from collections.abc import Iterable

from netsvc.facts import CLOSED, NO_DETAIL, OPENED, RECEIVED, OriginRow, Row


def origin(
    connection: int | None = 7,
    service: str = "echo",
    address: str = "127.0.0.1",
    port: int | None = 40312,
    listener: str = "tcp://127.0.0.1:50000",
) -> OriginRow:
    """Where a fact comes from."""
    return (service, listener, "tcp", address, port, "127.0.0.1:50000", connection)


def row(
    seq: int,
    data: bytes | None = b"x",
    kind: str = RECEIVED,
    whence: OriginRow | None = None,
    length: int | None = None,
) -> Row:
    """One fact; a length is given where the data was cut."""
    if kind in (OPENED, CLOSED):
        data = None
    if length is None and data is not None:
        length = len(data)
    return (seq, seq * 1000, kind, whence or origin(), length, data, None, NO_DETAIL)


def numbered(pieces: Iterable[tuple[int | None, str, bytes]]) -> list[Row]:
    """Facts of several connections, given as (connection, kind, data), numbered from 1."""
    return [row(seq, data, kind, origin(number)) for seq, (number, kind, data) in enumerate(pieces, 1)]


def seqs(rows: Iterable[Row]) -> list[int]:
    """The numbers of facts."""
    return [one[0] for one in rows]


def nobody(address: str) -> str | None:
    """The client list when it is empty."""
    return None
