"""
The ring as those read it who read a few facts at a time: in slices, either way, and told of what has left.

Nothing more is kept for it than the last seq of each batch, in which a place is found in about as many steps
as the number of batches has binary digits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable

from zope.interface import implementer

from netsvc.facts import NOTE, Notes, Row, rows_of
from netsvc.interfaces import IFactArchive, IFactStore
from netsvc.journal.memory import Ring


@implementer(IFactArchive, IFactStore)
class Timeline(Ring):
    """
    The newest facts, as `IFactStore` gives them.

    @ivar gone: see `IFactStore`. It begins with where this process does: what was before, another one has
        had.
    @ivar began: see `IFactStore`.
    """

    def __init__(self, memory: int, flush: Callable[[], None] = lambda: None, began: int = 0) -> None:
        """
        @param memory: bytes that the notes together may take.
        @param flush: has what waits handed on, `Facts.flush`.
        @param began: microseconds since the epoch, now: less than the seq of every fact to come.
        """
        super().__init__(memory, flush)
        self.gone = self.began = began
        self._taken = 0
        self._lasts: deque[int] = deque()

    @property
    def taken(self) -> int:
        """See `IFactStore`."""
        self._flush()
        return self._taken

    @property
    def left(self) -> int:
        """See `IFactStore`."""
        return self.taken - self._count

    def begin_after(self, seq: int) -> None:
        """
        Say up to which seq others have had facts, if that is beyond what the clock told.

        @param seq: less than that of every fact to come. Once there was one it changes nothing any more.
        """
        if not self.taken:
            self.gone = self.began = max(self.began, seq)

    def _keep(self, first: int, notes: Notes) -> None:
        count = len(notes) // NOTE
        self._taken += count
        self._lasts.append(first + count - 1)
        super()._keep(first, notes)
        while len(self._lasts) > len(self._batches):
            self.gone = self._lasts.popleft()

    def since(self, after: int, limit: int | None = None) -> list[Row]:
        """
        See `IFactStore`.

        @param limit: None for no limit.
        """
        if limit is None:
            return super().since(after)
        self._flush()
        found: list[Row] = []
        for index in range(self._index_after(after), len(self._batches)):
            first, notes, _ = self._batches[index]
            begin = max(0, after + 1 - first)
            end = begin + limit - len(found)
            found += rows_of(first + begin, notes[begin * NOTE : end * NOTE])
            if len(found) == limit:
                break
        return found

    def before(self, seq: int, limit: int) -> list[Row]:
        """See `IFactStore`."""
        self._flush()
        found: list[Row] = []
        for index in range(min(self._index_after(seq - 1), len(self._batches) - 1), -1, -1):
            first, notes, _ = self._batches[index]
            end = max(0, min(seq - first, len(notes) // NOTE))
            begin = max(0, end - limit + len(found))
            found += reversed(list(rows_of(first + begin, notes[begin * NOTE : end * NOTE])))
            if len(found) == limit:
                break
        return found

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        if self._lasts:
            self.gone = self._lasts[-1]
            self._lasts.clear()

    def _index_after(self, seq: int) -> int:
        """The index of the first batch with a fact that is newer than a seq."""
        return bisect_right(self._lasts, seq)
