"""
The ring: the newest facts, in memory, within a fixed number of bytes; the oldest leave first.

Notes are kept as they come, by the batch (see `netsvc.facts`); nothing is made of them until somebody reads,
and then what has not been handed on yet is read too. What leaves, leaves by the batch.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from sys import getsizeof

from zope.interface import implementer

from netsvc.facts import NOTE, Notes, Row, rows_of
from netsvc.interfaces import IFactArchive

#: What a note costs beyond its data: its place in the batch, the time and the bytes object's head; measured
#: with tracemalloc on CPython 3.11, rounded up.
ROW_COST = 128

#: What an origin costs, and the tuple of what else is known; a connection's origin is counted with its first
#: and its last note, a datagram's where its peer is new.
ORIGIN_COST = 320

#: What a batch costs beyond its notes, and its place in the deque.
BATCH_COST = 160

#: What a key of the detail costs, beyond its value.
_PAIR_COST = 64

#: Notes that leave together at most: with few, a ring as small as may be still holds some.
_TOGETHER = 256

#: Notes after which the garbage collector is asked for its youngest generation. It looks once at every value
#: in a new tuple, and then, as there is nothing in it to collect, never again. But notes alone hardly ever
#: make it begin: what seconds of a flood have left would be looked at all at once, in up to 27 ms. So many
#: take 0.07 ms.
_YOUNG = 1024

_Batch = tuple[int, Notes, int]


@implementer(IFactArchive)
class Ring:
    """The newest facts."""

    def __init__(self, memory: int, flush: Callable[[], None] = lambda: None) -> None:
        """
        @param memory: bytes that the notes together may take.
        @param flush: has what waits handed on, `Facts.flush`.
        """
        self._memory = memory
        self._flush = flush
        self._size = 0
        self._count = 0
        self._young = 0
        self._batches: deque[_Batch] = deque()

    def __len__(self) -> int:
        self._flush()
        return self._count

    @property
    def size(self) -> int:
        """Bytes that the notes take."""
        return self._size

    @property
    def last(self) -> int:
        """The seq of the newest fact, 0 where there is none."""
        self._flush()
        if not self._batches:
            return 0
        first, notes, _ = self._batches[-1]
        return first + len(notes) // NOTE - 1

    def take(self, first: int, notes: Notes) -> None:
        """Keep a batch, as several where it is large, for each leaves as a whole; see `IFactArchive`."""
        for begin in range(0, len(notes) // NOTE, _TOGETHER):
            self._keep(first + begin, notes[begin * NOTE : (begin + _TOGETHER) * NOTE])
        self._young += len(notes) // NOTE
        if self._young >= _YOUNG:
            self._young = 0
            gc.collect(0)

    def _keep(self, first: int, notes: Notes) -> None:
        cost = _cost(notes)
        self._batches.append((first, notes, cost))
        self._count += len(notes) // NOTE
        self._size += cost
        while self._size > self._memory:
            _, gone, cost = self._batches.popleft()
            self._count -= len(gone) // NOTE
            self._size -= cost

    def since(self, after: int) -> list[Row]:
        """
        The facts with a seq greater than one, oldest first.

        @param after: a seq; 0 gives all.
        """
        self._flush()
        newest_first = takewhile(
            lambda batch: batch[0] + len(batch[1]) // NOTE - 1 > after, reversed(self._batches)
        )
        found: list[Row] = []
        for first, notes, _ in reversed(list(newest_first)):
            skipped = max(0, after + 1 - first)
            found += rows_of(first + skipped, notes[skipped * NOTE :])
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._flush()
        self._batches.clear()
        self._size = self._count = 0


def _cost(notes: Notes) -> int:
    """Bytes that a batch takes."""
    data = sum(map(len, notes[3::NOTE]))
    # A connection's message shares its origin; whatever else there is has more to tell.
    more = sum(ORIGIN_COST + _cost_of(one[2]) for one in filter(None, notes[4::NOTE]))
    return BATCH_COST + ROW_COST * (len(notes) // NOTE) + data + more


def _cost_of(value: object) -> int:
    """Bytes that a fact's detail takes, and the values in it."""
    if not isinstance(value, tuple):
        return getsizeof(value)
    return sum(_PAIR_COST + _cost_of(inner) for _, inner in value)
