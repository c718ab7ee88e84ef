"""
The ring: the newest facts, in memory, within a fixed number of bytes; the oldest leave first.

Rows are kept as they come (see `netsvc.facts`); nothing is made of them until somebody reads.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile

from zope.interface import implementer

from netsvc.facts import Row
from netsvc.interfaces import IFactSink

#: What a row costs beyond its data: the tuple, its two large integers, the bytes object's head, a slot in the
#: deque, and its share of the origin; measured with sys.getsizeof on CPython 3.11, rounded up.
ROW_COST = 288


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
        """Bytes that the rows take, by `ROW_COST` and the length of their data."""
        return self._size

    @property
    def last(self) -> int:
        """The seq of the newest fact, 0 where there is none."""
        return self._rows[-1][0] if self._rows else 0

    def note(self, row: Row) -> None:
        """Keep a fact; see `IFactSink`."""
        rows = self._rows
        rows.append(row)
        data = row[5]
        size = self._size + (ROW_COST if data is None else ROW_COST + len(data))
        while size > self._memory:
            data = rows.popleft()[5]
            size -= ROW_COST if data is None else ROW_COST + len(data)
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
