"""The newest facts first: looked for by the slice, with the reactor in between."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from netsvc.facts import Row
from netsvc.interfaces import IFactStore
from netsvc.journal.query import Matcher
from netsvc.journal.reading import cost_of


class Backwards(NamedTuple):
    """
    What was found.

    @ivar rows: the facts, newest first.
    @ivar reached: the seq down to which all facts were looked at.
    """

    rows: list[Row]
    reached: int


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

    async def before_all(self, store: IFactStore, matcher: Matcher, clock: IReactorTime) -> Backwards:
        """
        Find them from the newest one backwards, which is soon over where there are many.

        @param matcher: of a filter that does not look back.
        """
        found: list[Row] = []
        before = self.until + 1
        while True:
            rows = [row for row in store.before(before, self.slice_rows) if row[0] > self.after]
            # Not before, because what is read is what is there by then.
            gone = store.gone
            found += matcher.matching(rows)
            if len(found) >= self.limit:
                break
            if len(rows) < self.slice_rows:
                return self._within(found, max(self.after, gone))
            before = rows[-1][0]
            await deferLater(clock, 0)
        return self._within(found, found[self.limit - 1][0] - 1)

    async def after_all(
        self, store: IFactStore, matcher: Matcher, clock: IReactorTime, gone_elsewhere: bool = False
    ) -> Backwards:
        """
        Find them from the oldest one onwards, as one must whose filter looks back.

        @param matcher: one that has seen what comes before `after`.
        @param gone_elsewhere: whether what leaves the store meanwhile is found somewhere else, with all that
            is older.
        """
        found: deque[Row] = deque(maxlen=self.limit)
        place = base = self.after
        while True:
            rows = [row for row in store.since(place, self.slice_rows) if row[0] <= self.until]
            # Not before, because what waits is handed on first, and has others leave.
            if place < store.gone:
                matcher.forget()
                if gone_elsewhere:
                    found.clear()
                    base = store.gone
            for row in matcher.matching(rows):
                if len(found) == self.limit:
                    base = found[0][0]
                found.append(row)
            if len(rows) < self.slice_rows:
                return self._within(list(reversed(found)), base)
            place = rows[-1][0]
            await deferLater(clock, 0)

    def _within(self, found: list[Row], reached: int) -> Backwards:
        """As many of them as there is room for."""
        room = self.limit_bytes
        for count, row in enumerate(found[: self.limit]):
            if room <= 0:
                return Backwards(found[:count], found[count - 1][0] - 1)
            room -= cost_of(row)
        return Backwards(found[: self.limit], reached)
