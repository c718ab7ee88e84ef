"""
One part of an answer out of a journal: found by index where there is one, and bounded in any case.

How far a part reaches is found out first, by counting entries of the indexes; within that everything may be
looked at. Facts come out of several ranges of an index in their order, one at a time, so that nobody sorts
them and whoever has enough stops.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from operator import itemgetter
from typing import NamedTuple

from netsvc.facts import Row
from netsvc.journal.disk.columns import COLUMNS, rows_from
from netsvc.journal.disk.ranges import Condition, Range, Span, condition, ranges, spans
from netsvc.journal.query import Filter, Matcher
from netsvc.journal.reading import cost_of

_SEQ = itemgetter(0)


class Part(NamedTuple):
    """
    A part of an answer.

    @ivar rows: facts that fit, as `netsvc.facts` has them.
    @ivar place: where to go on: `after` of the next part, or `until` where the newest come first.
    @ivar done: whether nothing is left to look at between the two.
    @ivar first: the seq of the oldest fact that there is, 0 where there is none.
    @ivar matcher: what has seen everything up to the place, for the next part; None where the newest come
        first.
    """

    rows: list[Row]
    place: int
    done: bool
    first: int = 0
    matcher: Matcher | None = None


class Search:
    """Looks for one part of an answer, within one snapshot of a journal."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        wanted: Filter,
        limit: int,
        limit_bytes: int,
        scan: int,
        context: int,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._left = max(1, scan)
        self._context = context

    def oldest(self, after: int, until: int, matcher: Matcher | None) -> Part:
        """From the oldest one on."""
        if matcher is None:
            matcher = self._primed(after)
        found: list[Row] = []
        room = self._limit_bytes
        for span in self._spans(after, until):
            bound = self._bound(span, newest_first=False)
            with self._rows(span._replace(until=bound), newest_first=False) as rows:
                counted = _Counted(rows, self._limit_bytes)
                for row in matcher.matching(counted) if self._wanted.contains else counted:
                    found.append(row)
                    room -= cost_of(row)
                    if len(found) >= self._limit or room <= 0:
                        return Part(found, row[0], row[0] >= until, matcher=matcher)
            if counted.stopped:
                return Part(found, counted.last, counted.last >= until, matcher=matcher)
            if bound < span.until:
                return Part(found, bound, False, matcher=matcher)
        return Part(found, max(after, until), True, matcher=matcher)

    def newest(self, after: int, until: int) -> Part:
        """From the newest one back."""
        found: list[Row] = []
        room = self._limit_bytes
        for span in reversed(self._spans(after, until)):
            bound = self._bound(span, newest_first=True)
            block = span._replace(after=bound)
            # What is sought for in streams is found forwards alone.
            with self._backwards(block) if self._wanted.contains else self._rows(block, True) as rows:
                for row in rows:
                    found.append(row)
                    room -= cost_of(row)
                    if len(found) >= self._limit or room <= 0:
                        return Part(found, row[0] - 1, row[0] - 1 <= after)
            if bound > span.after:
                return Part(found, bound, False)
        return Part(found, min(after, until), True)

    # -- content -----------------------------------------------------------------------------------------

    def _primed(self, after: int) -> Matcher:
        """A matcher that has seen what comes before a place."""
        matcher = Matcher(self._wanted, _nobody)
        if self._wanted.looks_back and after > 0 and self._context > 0:
            left, self._left = self._left, self._context
            before = Span(0, after)
            before = before._replace(after=self._bound(before, newest_first=True))
            self._left = left
            with self._rows(before, newest_first=False) as rows:
                matcher.prime(rows)
        return matcher

    @contextmanager
    def _backwards(self, block: Span) -> Iterator[Iterator[Row]]:
        """What fits in a block, the newest first."""
        matcher = self._primed(block.after)
        with self._rows(block, newest_first=False) as rows:
            yield reversed(list(matcher.matching(rows)))

    # -- SQL ---------------------------------------------------------------------------------------------

    def _spans(self, after: int, until: int) -> list[Span]:
        found = spans(self._wanted, after, until)
        if self._wanted.looks_back and any(map(self._has_misdated, found)):
            # A match may go on from a fact that tells its time by its seq to one that does not.
            return [Span(after, until)]
        return found

    def _has_misdated(self, span: Span) -> bool:
        if not span.misdated:
            return False
        (entry,) = ranges(self._wanted, span, self._services_of)
        sql = f"SELECT seq FROM fact {entry.source} WHERE {entry.sql} AND seq > ? AND seq <= ? LIMIT 1"
        return self._connection.execute(sql, (span.after, span.until)).fetchone() is not None

    def _bound(self, span: Span, newest_first: bool) -> int:
        """
        How far one may look at everything within a span; what is looked at for that is counted.

        @return: the end of the span in that direction, or what to give as the other end to go on.
        """
        end = span.after if newest_first else span.until
        if not condition(self._wanted, span).sql and not self._wanted.contains:
            # Whatever is looked at fits, and there is a limit for that.
            return end
        entries = list(ranges(self._wanted, span, self._services_of))
        share = max(1, self._left // max(1, len(entries)))
        for entry in entries:
            count, last = self._connection.execute(*_boundary(entry, span, newest_first, share)).fetchone()
            self._left -= count
            if count == share:
                end = max(end, last - 1) if newest_first else min(end, last)
        self._left = max(1, self._left)
        return end

    @contextmanager
    def _rows(self, span: Span, newest_first: bool) -> Iterator[Iterator[Row]]:
        """The facts of a span that fit, but for what is asked of their content."""
        asked = condition(self._wanted, span)
        with ExitStack() as stack:
            # One that is not read to its end would hold on to the database.
            cursors = [
                stack.enter_context(
                    closing(self._connection.execute(*_selection(one, span, asked, newest_first)))
                )
                for one in ranges(self._wanted, span, self._services_of)
            ]
            merged = (
                heapq.merge(*cursors, key=_SEQ, reverse=newest_first) if len(cursors) != 1 else cursors[0]
            )
            yield rows_from(merged)

    def _services_of(self, address: str) -> Iterator[str]:
        """The services that have facts of an address: one look into the index for each."""
        question = (
            "SELECT service FROM fact INDEXED BY fact_by_peer "
            "WHERE address = ? AND service > ? ORDER BY service LIMIT 1"
        )
        service = ""
        while found := self._connection.execute(question, (address, service)).fetchone():
            (service,) = found
            yield service


class _Counted:
    """
    Rows that are looked at, as far as there is room.

    @ivar last: the seq of the last one.
    @ivar stopped: whether there was no more room.
    """

    def __init__(self, rows: Iterator[Row], room: int) -> None:
        self.last = 0
        self.stopped = False
        self._rows = rows
        self._room = room

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.last = row[0]
            self._room -= len(row[5] or b"")
            yield row
            if self._room <= 0:
                self.stopped = True
                return


def _boundary(entry: Range, span: Span, newest_first: bool, count: int) -> tuple[str, tuple[object, ...]]:
    """SQL for how many of a range's entries there are in a span, up to a number, and where that ends."""
    farthest, direction = ("min", "DESC") if newest_first else ("max", "ASC")
    where = " AND ".join(filter(None, (entry.sql, "seq > ? AND seq <= ?")))
    inner = f"SELECT seq FROM fact {entry.source} WHERE {where} ORDER BY seq {direction} LIMIT ?"
    return (
        f"SELECT count(*), {farthest}(seq) FROM ({inner})",
        (*entry.values, span.after, span.until, count),
    )


def _selection(
    entry: Range, span: Span, asked: Condition, newest_first: bool
) -> tuple[str, tuple[object, ...]]:
    """SQL for the facts of a range in a span of which something is asked."""
    where = " AND ".join(filter(None, (entry.sql, "seq > ? AND seq <= ?", asked.sql)))
    return (
        f"SELECT {COLUMNS} FROM fact {entry.source} WHERE {where} "
        f"ORDER BY seq {'DESC' if newest_first else 'ASC'}",
        (*entry.values, span.after, span.until, *asked.values),
    )


def _nobody(address: str) -> None:
    """No client has a name here."""
