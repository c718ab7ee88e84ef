"""
Where in the journal the facts are that a filter asks for, in terms of SQL: which entries of which index to
look at, and what to ask of each row there.

However large a journal is, a question may look at a part of it only, so nothing here is sorted, and each
range is one that an index has in the order of the seqs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from netsvc.journal.disk.columns import as_text
from netsvc.journal.query import Filter

#: Microseconds that a fact's seq may be away from its time, unless the index of those has it for which that
#: is not so; the schema has the same number.
SLACK = 1_000_000

#: The facts that are in that index: a part of the index's own definition, by which SQLite knows it again.
_MISDATED = "abs(seq - time / 1000) > 1000000"


class Condition(NamedTuple):
    """
    What is asked of a row.

    @ivar sql: an expression with a place for each value; "" asks nothing.
    @ivar values: the values.
    """

    sql: str
    values: tuple[Any, ...] = ()


class Range(NamedTuple):
    """
    Entries of an index that are in the order of their seqs.

    @ivar source: SQL that says which index.
    @ivar sql: what they have in common.
    @ivar values: the values in that.
    """

    source: str
    sql: str = ""
    values: tuple[Any, ...] = ()


class Span(NamedTuple):
    """
    A part of the seqs.

    @ivar after: behind this one.
    @ivar until: up to this one.
    @ivar misdated: whether only misdated facts are to be looked at there.
    """

    after: int
    until: int
    misdated: bool = False


def as_recorded(wanted: Filter) -> Filter:
    """The filter with its texts as the database has them, and without names, of which that knows nothing."""
    return replace(
        wanted,
        name=frozenset(),
        service=frozenset(map(as_text, wanted.service)),
        listener=frozenset(map(as_text, wanted.listener)),
        peer=frozenset((as_text(address), port) for address, port in wanted.peer),
    )


def spans(wanted: Filter, after: int, until: int) -> list[Span]:
    """
    The seqs between two that facts of the times asked for can have, in their order.

    @param after: behind this one.
    @param until: up to this one.
    """
    if wanted.since is None and wanted.until is None:
        return [Span(after, until)] if after < until else []
    first = after if wanted.since is None else min(max(after, wanted.since // 1000 - SLACK - 1), until)
    last = until if wanted.until is None else max(min(until, wanted.until // 1000 + SLACK), first)
    found = (Span(after, first, True), Span(first, last), Span(last, until, True))
    return [span for span in found if span.after < span.until]


def ranges(wanted: Filter, span: Span, services_of: Callable[[str], Iterable[str]]) -> Iterator[Range]:
    """
    The ranges that together have every fact of a span that can fit, each fact in one of them.

    @param services_of: gives the services that have facts of an address.
    """
    if span.misdated:
        yield Range("INDEXED BY fact_misdated", _MISDATED)
    elif wanted.peer:
        for address in sorted({address for address, _ in wanted.peer}):
            for service in services_of(address):
                if not wanted.service or service in wanted.service:
                    yield Range("INDEXED BY fact_by_peer", "address = ? AND service = ?", (address, service))
    elif wanted.service:
        for service in sorted(wanted.service):
            yield Range("INDEXED BY fact_by_service", "service = ?", (service,))
    else:
        yield Range("NOT INDEXED")


def condition(wanted: Filter, span: Span) -> Condition:
    """
    What a fact in one of the ranges of a span has to have beside that to fit, its content aside.

    Where content is asked for, that is less: whose bytes have to be looked at, because what is sought may
    begin in them.
    """
    asked = [
        _one_of("listener", wanted.listener),
        _one_of("connection", wanted.connection),
        _of_peers(wanted),
    ]
    if span.misdated:
        asked += [
            _one_of("service", wanted.service),
            _one_of("address", {address for address, _ in wanted.peer}),
        ]
    if wanted.contains:
        asked += [_content(wanted)]
    else:
        asked += [_one_of("kind", wanted.kind), *_times(wanted)]
    given = [one for one in asked if one.sql]
    return Condition(" AND ".join(one.sql for one in given), sum((one.values for one in given), ()))


def _one_of(column: str, values: Iterable[Any]) -> Condition:
    listed = tuple(sorted(values))
    return Condition(f"{column} IN ({', '.join('?' * len(listed))})" if listed else "", listed)


def _of_peers(wanted: Filter) -> Condition:
    """The ports asked for, where there are any: the addresses are the ranges'."""
    if all(port is None for _, port in wanted.peer):
        return Condition("")
    either: list[str] = []
    values: list[Any] = []
    for address, port in sorted(wanted.peer, key=repr):
        either.append("address = ?" if port is None else "address = ? AND port = ?")
        values += [address] if port is None else [address, port]
    return Condition(f"({' OR '.join(either)})", tuple(values))


def _content(wanted: Filter) -> Condition:
    """A datagram that has it, which SQLite sees soonest, or anything of a stream."""
    sought = tuple(sorted(wanted.contains))
    return Condition(f"(connection IS NOT NULL{' OR instr(data, ?)' * len(sought)})", sought)


def _times(wanted: Filter) -> Iterator[Condition]:
    if wanted.since is not None:
        yield Condition("time >= ?", (wanted.since,))
    if wanted.until is not None:
        yield Condition("time < ?", (wanted.until,))
