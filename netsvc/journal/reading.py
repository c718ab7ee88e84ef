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


class Delivery:
    """
    What a slice of the facts gave.

    @ivar rows: the facts that fit, oldest first.
    @ivar last: the seq up to which facts were looked at; what comes next is later.
    @ivar left_out: how many others fitted that were left out of a sample.
    @ivar gap: what was lost before `rows`, or None.
    """

    __slots__ = ("_encode", "_encoded", "gap", "last", "left_out", "rows")

    def __init__(
        self,
        rows: list[Row],
        last: int,
        left_out: int,
        gap: Gap | None,
        encode: Callable[[Delivery], bytes],
    ) -> None:
        """
        @param encode: makes `encoded`.
        """
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
    """

    __slots__ = ("_matcher", "_position", "place", "terms")

    def __init__(self, terms: Terms, place: int, matcher: Matcher) -> None:
        """
        @param matcher: one of `terms.wanted` that has seen what comes before `place`, or some of it.
        """
        self.terms = terms
        self.place = place
        self._matcher = matcher
        # How many facts the store had been given up to the place, where that is known.
        self._position: int | None = None

    def copy(self) -> Reading:
        """Another at the same place."""
        other = Reading(self.terms, self.place, self._matcher.copy())
        other._position = self._position
        return other

    def matcher(self) -> Matcher:
        """One that has seen what comes before `place`."""
        return self._matcher.copy()

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
        rows = slice_after(self.place)
        found, left_out, stopped = self._sample(rows) if self.terms.sampled else self._first(rows)
        if rows:
            self.place = found[-1][0] if stopped else rows[-1][0]
        self._count(rows, store)
        return Delivery(found, self.place, left_out, gap, encode)

    def _skip_what_is_gone(self, store: IFactStore) -> Gap | None:
        if self.place >= store.gone:
            return None
        lost = None if self._position is None else store.left - self._position
        gap = Gap(self.place, store.gone, lost)
        self.place, self._position = store.gone, store.left
        self._matcher.forget()
        return gap

    def _first(self, rows: list[Row]) -> tuple[list[Row], int, bool]:
        """The oldest that fit, how many are left out (none), and whether it stopped at the last of them."""
        found: list[Row] = []
        room = self.terms.limit_bytes
        for row in self._matcher.matching(rows):
            found.append(row)
            room -= cost_of(row)
            if len(found) >= self.terms.facts or room <= 0:
                return found, 0, True
        return found, 0, False

    def _sample(self, rows: list[Row]) -> tuple[list[Row], int, bool]:
        """The same of the newest that fit."""
        fitting = list(self._matcher.matching(rows))
        room = self.terms.limit_bytes
        begin = len(fitting)
        while begin > max(0, len(fitting) - self.terms.facts) and room > 0:
            begin -= 1
            room -= cost_of(fitting[begin])
        return fitting[begin:], begin, False

    def _count(self, rows: list[Row], store: IFactStore) -> None:
        if self.place >= store.last:
            self._position = store.taken
        elif self._position is not None:
            self._position += bisect_right(rows, self.place, key=_SEQ)


def cost_of(row: Row) -> int:
    """Bytes that a fact takes as JSON, more or less."""
    return FACT_BYTES + len(row[5] or b"") * 4 // 3
