"""The newest facts first: looked for by the slice, with the reactor in between."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from netsvc.facts import Row
from netsvc.interfaces import IFactStore
from netsvc.journal.query import Matcher
from netsvc.journal.reading import cost_of


@dataclass(frozen=True)
class Newest:
    """
    Which of the facts that fit, and how to look for them.

    @ivar after: those with a greater seq.
    @ivar until: and none with a greater seq than this.
    @ivar limit: how many at most.
    @ivar limit_bytes: how large they are together as JSON at most, more or less.
    @ivar slice_rows: how many facts to look at in one go.
    """

    after: int
    until: int
    limit: int
    limit_bytes: int
    slice_rows: int

    async def before_all(self, store: IFactStore, matcher: Matcher, clock: IReactorTime) -> list[Row]:
        """
        Find them from the newest one backwards, which is soon over where there are many.

        @param matcher: of a filter that does not look back.
        @return: the facts, newest first.
        """
        found: list[Row] = []
        before = self.until + 1
        while True:
            rows = [row for row in store.before(before, self.slice_rows) if row[0] > self.after]
            found += matcher.matching(rows)
            if len(found) >= self.limit or len(rows) < self.slice_rows:
                return self._within(found)
            before = rows[-1][0]
            await deferLater(clock, 0)

    async def after_all(self, store: IFactStore, matcher: Matcher, clock: IReactorTime) -> list[Row]:
        """
        Find them from the oldest one onwards, as one must whose filter looks back.

        @param matcher: one that has seen what comes before `after`.
        @return: the facts, newest first.
        """
        found: deque[Row] = deque(maxlen=self.limit)
        place = self.after
        while True:
            if place < store.gone:
                matcher.forget()
            rows = [row for row in store.since(place, self.slice_rows) if row[0] <= self.until]
            found.extend(matcher.matching(rows))
            if len(rows) < self.slice_rows:
                return self._within(list(reversed(found)))
            place = rows[-1][0]
            await deferLater(clock, 0)

    def _within(self, found: list[Row]) -> list[Row]:
        """As many of them as there is room for."""
        room = self.limit_bytes
        for count, row in enumerate(found[: self.limit]):
            if room <= 0:
                return found[:count]
            room -= cost_of(row)
        return found[: self.limit]
