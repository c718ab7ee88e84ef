"""
A place in the facts, from which somebody reads on a slice at a time, and what a slice gives.

There is no queue of facts for a reader: what it has not seen is in the store, and its place is the seq of
what it has seen. Where the store has lost what comes next, the reading goes on behind that and says so.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from netsvc.facts import Fact, Row
from netsvc.interfaces import IFactStore
from netsvc.journal.query import Filter, Matcher, NameOf

#: Bytes of a fact as JSON beside its data, rounded up; its data take four for each three.
FACT_BYTES = 400

_SEQ = itemgetter(0)
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Gap(NamedTuple):
    """
    Facts that the store has lost before they were seen.

    @ivar after: the seq of the last one that was seen.
    @ivar until: the seq of the last one that was lost; seqs are microseconds, so the two tell how long it
        was.
    @ivar facts: how many there were, whether they fitted or not; None where that is not known.
    """

    after: int
    until: int
    facts: int | None


def joined(earlier: Gap | None, later: Gap | None) -> Gap | None:
    """
    What one is told who is told only once.

    @return: from the beginning of the one to the end of the other; there may be facts between them that are
        not lost, and not counted.
    """
    if earlier is None or later is None:
        return earlier or later
    facts = None if earlier.facts is None or later.facts is None else earlier.facts + later.facts
    return Gap(earlier.after, later.until, facts)


@dataclass(frozen=True)
class Terms:
    """
    What is read, and how much of it at a time.

    @ivar wanted: which facts.
    @ivar facts: how many a delivery has at most.
    @ivar limit_bytes: how large a delivery is as JSON, more or less; it ends with the fact that reaches this.
    @ivar sampled: whether the newest facts of a slice are enough and the others only counted; else none is
        left out.
    """

    wanted: Filter
    facts: int
    limit_bytes: int
    sampled: bool


class Excerpt(NamedTuple):
    """
    What a look at older facts gave, of which there may be too many to look at all at once.

    @ivar rows: the facts that fit.
    @ivar place: the seq up to which facts were looked at; where the newest come first, down to which.
    @ivar more: whether it ended although there are neither as many as were asked for nor no more to look at.
    @ivar gap: what there is no more, or None.
    @ivar matcher: what has seen everything up to the place; None where it is what it was.
    """

    rows: list[Row]
    place: int
    more: bool
    gap: Gap | None = None
    matcher: Matcher | None = None


class Delivery:
    """
    What a slice of the facts gave.

    @ivar rows: the facts that fit, oldest first.
    @ivar last: the seq up to which facts were looked at; what comes next is later.
    @ivar left_out: how many others fitted that were left out of a sample.
    @ivar gap: what was lost before `rows`, or None.
    @ivar more: whether it is all that a bounded look at older facts gave, which did not come to their end.
    """

    __slots__ = ("_encode", "_encoded", "gap", "last", "left_out", "more", "rows")

    def __init__(
        self,
        rows: list[Row],
        last: int,
        left_out: int,
        gap: Gap | None,
        encode: Callable[[Delivery], bytes],
        more: bool = False,
    ) -> None:
        """
        @param encode: makes `encoded`.
        """
        self.more = more
        self.rows = rows
        self.last = last
        self.left_out = left_out
        self.gap = gap
        self._encode = encode
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The delivery as bytes to send, made once for all that it is delivered to."""
        if self._encoded is None:
            self._encoded = self._encode(self)
        return self._encoded


def json_of(delivery: Delivery, name_of: NameOf) -> bytes:
    """
    A delivery as JSON: ``{"facts": […], "last": 17…, "left_out": 0, "gap": null}``.

    @param name_of: gives the client's name for an address, `IClientStore.name_of`.
    """
    document = {
        "facts": [Fact.of(row).as_json(name_of) for row in delivery.rows],
        "last": delivery.last,
        "left_out": delivery.left_out,
        "gap": delivery.gap and delivery.gap._asdict(),
    }
    # A path that is no UTF-8 has surrogates (PEP 383), which this makes JSON's own escapes of.
    return _JSON.encode(document).encode("utf-8", "backslashreplace")


class Reading:
    """
    A place in the facts, and what was seen before it.

    @ivar terms: what is read.
    @ivar place: the seq up to which facts were looked at.
    @ivar primed: whether `matcher` has seen what comes before `place`, or some of it.
    """

    __slots__ = ("_matcher", "_position", "place", "primed", "terms")

    def __init__(self, terms: Terms, place: int, matcher: Matcher, primed: bool = True) -> None:
        """
        @param matcher: one of `terms.wanted`.
        """
        self.terms = terms
        self.place = place
        self.primed = primed
        self._matcher = matcher
        # How many facts the store had been given up to the place, where that is known.
        self._position: int | None = None

    def copy(self) -> Reading:
        """Another at the same place."""
        other = Reading(self.terms, self.place, self._matcher.copy(), self.primed)
        other._position = self._position
        return other

    def matcher(self) -> Matcher:
        """One that has seen what comes before `place`, if it is `primed`."""
        return self._matcher.copy()

    def is_near(self, store: IFactStore, facts: int) -> bool:
        """Whether it is known that no more than so many of a store's facts are behind the place."""
        if self.place >= max(store.last, store.gone):
            self._position = store.taken
        return self._position is not None and store.taken - self._position <= facts

    def read(
        self,
        store: IFactStore,
        slice_after: Callable[[int], list[Row]],
        encode: Callable[[Delivery], bytes],
    ) -> Delivery:
        """
        Look at the facts behind the place, and move it on.

        @param slice_after: gives some of the store's facts behind a seq; none where there is none.
        @param encode: makes `Delivery.encoded`.
        """
        gap = self._skip_what_is_gone(store)
        if self._need_only_the_newest(store):
            return self._newest(store, gap, encode)
        rows = slice_after(self.place)
        if self.terms.sampled:
            found, left_out = self._sample(list(self._matcher.matching(rows)))
            stopped = False
        else:
            left_out = 0
            found, stopped = self._first(rows)
        if rows:
            self.place = found[-1][0] if stopped else rows[-1][0]
        self._count(rows, store)
        return Delivery(found, self.place, left_out, gap, encode)

    def go_on(self, excerpt: Excerpt, encode: Callable[[Delivery], bytes]) -> Delivery:
        """
        Move the place on behind facts that the store does not have.

        @param excerpt: what a look at those has given.
        @param encode: makes `Delivery.encoded`.
        """
        self.place, self._position = excerpt.place, None
        if excerpt.matcher is not None:
            self._matcher = excerpt.matcher
        elif excerpt.gap is not None:
            self._matcher.forget()
        self.primed = True
        found, left_out = self._sample(excerpt.rows) if self.terms.sampled else (excerpt.rows, 0)
        return Delivery(found, self.place, left_out, excerpt.gap, encode, excerpt.more)

    def _need_only_the_newest(self, store: IFactStore) -> bool:
        """Whether others than the newest facts would only be counted, and their number is known already."""
        terms = self.terms
        return (
            terms.sampled
            and terms.wanted.everything
            and self._position is not None
            and store.taken - self._position > terms.facts
        )

    def _newest(self, store: IFactStore, gap: Gap | None, encode: Callable[[Delivery], bytes]) -> Delivery:
        """Go to the end, however far that is: thousands of facts in a second are not looked at for a few."""
        assert self._position is not None
        rows = store.before(store.last + 1, self.terms.facts)[::-1]
        found, left_out = self._sample(rows)
        left_out += store.taken - self._position - len(rows)
        self.place, self._position = store.last, store.taken
        return Delivery(found, self.place, left_out, gap, encode)

    def _skip_what_is_gone(self, store: IFactStore) -> Gap | None:
        if self.place >= store.gone:
            return None
        lost = None if self._position is None else store.left - self._position
        gap = Gap(self.place, store.gone, lost)
        self.place, self._position = store.gone, store.left
        self._matcher.forget()
        return gap

    def _first(self, rows: list[Row]) -> tuple[list[Row], bool]:
        """The oldest that fit, and whether it stopped at the last of them."""
        found: list[Row] = []
        room = self.terms.limit_bytes
        for row in self._matcher.matching(rows):
            found.append(row)
            room -= cost_of(row)
            if len(found) >= self.terms.facts or room <= 0:
                return found, True
        return found, False

    def _sample(self, fitting: list[Row]) -> tuple[list[Row], int]:
        """The newest of those that fit, and how many others there are."""
        room = self.terms.limit_bytes
        begin = len(fitting)
        while begin > max(0, len(fitting) - self.terms.facts) and room > 0:
            begin -= 1
            room -= cost_of(fitting[begin])
        return fitting[begin:], begin

    def _count(self, rows: list[Row], store: IFactStore) -> None:
        if self.place >= store.last:
            self._position = store.taken
        elif self._position is not None:
            self._position += bisect_right(rows, self.place, key=_SEQ)


def cost_of(row: Row) -> int:
    """Bytes that a fact takes as JSON, more or less."""
    return FACT_BYTES + len(row[5] or b"") * 4 // 3
