"""
What the ring no longer has, read from where it is kept for longer.

The two together are one thing to read: up to what has left the ring a question goes to the history, and from
there on to the ring, which by then may have let go of more, and so on. What the history cannot give is a gap,
as if there were none. And a question that the history has an index for goes there with all that is written,
because in the ring it would have to look at every fact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as LateError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from netsvc.interfaces import IClientStore, IFactHistory, IFactStore
from netsvc.journal.disk.ranges import as_recorded
from netsvc.journal.disk.schema import JournalError
from netsvc.journal.disk.search import Part
from netsvc.journal.query import Filter, Matcher
from netsvc.journal.reading import Excerpt, Gap, Reading, joined

#: Seconds between two looks whether facts have been written that have left the ring already.
LOOK = 0.02

#: Facts, and bytes of them, of which a sample is made.
SAMPLED_FACTS = 1000
SAMPLED_BYTES = 4 * 1024 * 1024

#: Seconds after which an answer will not come any more: the disk hangs, or the questions of all who may wait
#: together take longer.
ANSWER = 60.0

#: Seconds for which a history that could not be read is asked for nothing that the ring has too.
DISTRUST = 1.0


class Past:
    """Reads what is gone from a store."""

    def __init__(
        self, history: IFactHistory, store: IFactStore, clients: IClientStore, clock: IReactorTime
    ) -> None:
        """
        @param history: has what the store had, and more; it is asked for no more than that.
        @param store: that facts leave.
        @param clients: knows the clients' names.
        @param clock: the reactor.
        """
        self._history = history
        self._store = store
        self._clients = clients
        self._clock = clock
        self._distrusted_until = 0.0

    def reach(self, wanted: Filter) -> int:
        """
        Up to which seq the history is to be asked, and the store from there on.

        @param wanted: what for.
        """
        history, store = self._history, self._store
        # First, because it has what waits handed on, which is not written yet and may have others leave.
        last: int = store.last
        gone: int = store.gone
        if not _is_indexed(wanted) or history.stalled or self._clock.seconds() < self._distrusted_until:
            return gone
        until: int = max(gone, min(history.written, last))
        return gone if self._is_left_to_the_store(gone, until) else until

    def after(self, reading: Reading) -> Deferred[Excerpt]:
        """
        Look at what is gone behind a place.

        @param reading: the place, which stays where it is.
        @return: fires with what there is; it may be cancelled.
        """
        return Deferred.fromCoroutine(self._after(reading))

    def before(
        self, wanted: Filter, after: int, until: int, limit: int, limit_bytes: int
    ) -> Deferred[Excerpt | None]:
        """
        Look at what is gone from the newest fact back.

        @param wanted: which facts.
        @param after: those with a greater seq.
        @param until: and none with a greater seq than this.
        @param limit: how many at most.
        @param limit_bytes: how large they are together as JSON at most, more or less.
        @return: fires with what there is, or with None: ask the store for what it has, and come again. It may
            be cancelled.
        """
        return Deferred.fromCoroutine(self._before(wanted, after, until, limit, limit_bytes))

    def matcher_at(self, wanted: Filter, place: int) -> Deferred[Matcher]:
        """
        A matcher that has seen what comes before a place.

        @return: fires with it; it may be cancelled.
        """
        return Deferred.fromCoroutine(self._matcher_at(wanted, place))

    async def _after(self, reading: Reading) -> Excerpt:
        terms, place = reading.terms, reading.place
        until = await self._written_behind(place, terms.wanted)
        narrowed = self._narrowed(terms.wanted)
        if until <= place and place >= self._store.gone:
            # It is the store's again.
            return Excerpt([], place, False)
        if until <= place:
            return self._nothing(place, self._store.gone)
        if narrowed is None:
            # What was seen before is no beginning of anything behind that.
            return Excerpt([], until, False, None, Matcher(terms.wanted, self._clients.name_of))
        facts = SAMPLED_FACTS if terms.sampled else terms.facts
        size = max(SAMPLED_BYTES, terms.limit_bytes) if terms.sampled else terms.limit_bytes
        matcher = reading.matcher().copy(narrowed) if reading.primed else None
        try:
            part = await self._find(narrowed, place, until, False, facts, size, matcher)
        except JournalError:
            self._distrust()
            gone = self._store.gone
            return self._nothing(place, gone) if place < gone else Excerpt([], place, False)
        if self._is_left_to_the_store(self._store.gone, until):
            return await self._after(reading)
        found = len(part.rows)
        return Excerpt(
            part.rows,
            part.place,
            not part.done and found < facts,
            self._lost(place, part.place, part.first),
            part.matcher and part.matcher.copy(terms.wanted, self._clients.name_of),
        )

    async def _before(
        self, wanted: Filter, after: int, until: int, limit: int, limit_bytes: int
    ) -> Excerpt | None:
        while self._history.written < until and not self._history.stalled:
            self._history.hurry()
            await deferLater(self._clock, LOOK)
        written = min(until, self._history.written)
        narrowed = self._narrowed(wanted)
        if narrowed is None:
            return Excerpt([], after, False)
        try:
            part = await self._find(narrowed, after, written, True, limit, limit_bytes)
        except JournalError:
            self._distrust()
            return Excerpt([], after, False, Gap(after, until, None)) if until <= self._store.gone else None
        if self._is_left_to_the_store(self._store.gone, until):
            return None
        gap = self._lost(after if part.done else part.place, written, part.first)
        if written < until:
            gap = Gap(written if gap is None else gap.after, until, None)
        return Excerpt(part.rows, part.place, not part.done, gap)

    async def _matcher_at(self, wanted: Filter, place: int) -> Matcher:
        narrowed = self._narrowed(wanted)
        try:
            if narrowed is not None and wanted.looks_back:
                part = await self._find(narrowed, place, place, False, 1, 1)
                if part.matcher is not None:
                    return part.matcher.copy(wanted, self._clients.name_of)
        except JournalError:
            # What is asked there next says so.
            pass
        return Matcher(wanted, self._clients.name_of)

    async def _written_behind(self, place: int, wanted: Filter) -> int:
        """Up to where facts behind a place can be read; they may be gone before they are written."""
        history, store = self._history, self._store
        while True:
            until: int = min(self.reach(wanted), history.written)
            if until > place or place >= store.gone or history.stalled:
                return until
            history.hurry()
            await deferLater(self._clock, LOOK)

    async def _find(self, wanted: Filter, *question: Any) -> Part:
        asked: Deferred[Part] = self._history.find(wanted, *question)
        try:
            return await asked.addTimeout(ANSWER, self._clock)
        except LateError:
            raise JournalError("the journal does not answer") from None

    def _distrust(self) -> None:
        self._distrusted_until = self._clock.seconds() + DISTRUST

    def _nothing(self, place: int, until: int) -> Excerpt:
        """What there is where nothing can be read."""
        return Excerpt([], until, False, Gap(place, until, None))

    def _is_left_to_the_store(self, gone: int, until: int) -> bool:
        """Whether the store may have facts behind a seq that the history has not, or not any more."""
        history = self._history
        return gone < until and (history.removed > gone or history.missing(gone, until) is not None)

    def _lost(self, after: int, until: int, first: int) -> Gap | None:
        """
        What the history does not have between two seqs that were looked at.

        @param first: the seq of the oldest fact that it has.
        """
        oldest, gap = min(first - 1, until) if first else until, None
        # What was before this process is not known to be complete.
        if 0 < after < oldest and after < max(self._store.began, self._history.removed):
            gap, after = Gap(after, oldest, None), oldest
        missing = self._history.missing(after, until)
        return joined(gap, missing and Gap(missing[0] - 1, missing[1], missing[2]))

    def _narrowed(self, wanted: Filter) -> Filter | None:
        """The filter for the history, with addresses for names; None where nothing can fit."""
        if not wanted.name:
            return as_recorded(wanted)
        entries = self._clients.entries()
        addresses = {str(entries[name]["address"]) for name in wanted.name if name in entries}
        named = {one for one in addresses if one and self._clients.name_of(one) in wanted.name}
        peers = (
            {peer for peer in wanted.peer if peer[0] in named} if wanted.peer else {(a, None) for a in named}
        )
        return as_recorded(replace(wanted, peer=frozenset(peers))) if peers else None


def _is_indexed(wanted: Filter) -> bool:
    """Whether a filter asks for what the history finds without looking at every fact."""
    timed = wanted.since is not None or wanted.until is not None
    return timed or bool(wanted.service or wanted.peer or wanted.name)
