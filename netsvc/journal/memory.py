"""
The ring: the newest facts, in memory, within a fixed number of bytes; the oldest leave first.

Rows are kept as they come (see `netsvc.facts`); nothing is made of them until somebody reads.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from sys import getsizeof

from zope.interface import implementer

from netsvc.facts import Row
from netsvc.interfaces import IFactSink

#: What a row costs beyond its data: the tuple, its large integers, the bytes object's head and a slot in the
#: deque; measured with tracemalloc on CPython 3.11, rounded up.
ROW_COST = 288

#: What an origin costs; a connection's is counted with its first and its last row, a datagram's with each.
ORIGIN_COST = 240

#: What a key of the detail costs, beyond its value.
_PAIR_COST = 64


@implementer(IFactSink)
class Ring:
    """The newest facts."""

    def __init__(self, memory: int) -> None:
        """
        @param memory: bytes that the rows together may take.
        """
        self._memory = memory
        self._size = 0
        self._rows: deque[Row] = deque()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        """Bytes that the rows take; each row's are the same when it comes and when it leaves."""
        return self._size

    @property
    def last(self) -> int:
        """The seq of the newest fact, 0 where there is none."""
        return self._rows[-1][0] if self._rows else 0

    def note(self, row: Row) -> None:
        """Keep a fact; see `IFactSink`."""
        rows = self._rows
        rows.append(row)
        size = self._size + _cost(row)
        while size > self._memory:
            size -= _cost(rows.popleft())
        self._size = size

    def since(self, after: int) -> list[Row]:
        """
        The facts with a seq greater than one, oldest first.

        @param after: a seq; 0 gives all.
        """
        newest_first = takewhile(lambda row: row[0] > after, reversed(self._rows))
        found = list(newest_first)
        found.reverse()
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()
        self._size = 0


def _cost(row: Row) -> int:
    """Bytes that a row takes."""
    data = row[5]
    if data and row[3][6]:
        # A connection's message, which is nearly every row.
        return ROW_COST + len(data)
    return ROW_COST + ORIGIN_COST + (len(data) if data else 0) + _cost_of(row[7])


def _cost_of(value: object) -> int:
    """Bytes that a fact's detail takes, and the values in it."""
    if not isinstance(value, tuple):
        return getsizeof(value)
    return sum(_PAIR_COST + _cost_of(inner) for _, inner in value)
