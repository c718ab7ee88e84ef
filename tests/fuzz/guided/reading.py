"""
Bytes as decisions: what a target reads of its input to know what to do.

Every input means something, however short: what is missing is 0. A byte is one decision, so that changing it
changes one thing, and data stand in the input as they are, so that what code compares them with can be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

#: From here on a length byte counts in longer steps.
_LONG, _STEP = 0xF0, 4096


class Reading:
    """Takes an input apart, from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        """@param data: the input."""
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte, 0 at the end."""
        at, self._at = self._at, self._at + 1
        return self._data[at] if at < len(self._data) else 0

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """One of several, of which there are 1 to 256."""
        return items[self.byte() % len(items)]

    def piece(self) -> bytes:
        """
        Some bytes with their length before them.

        A length of `_LONG` and more is a piece that repeats one byte some thousand times.
        """
        size = self.byte()
        if size >= _LONG:
            return bytes([self.byte()]) * ((size - _LONG + 1) * _STEP + 1)
        return self._take(size)

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data))

    def places(self) -> list[int]:
        """Up to three numbers, for `pieces_at`."""
        return [self.byte() * 256 + self.byte() for _ in range(self.byte() % 4)]

    def _take(self, size: int) -> bytes:
        at, self._at = self._at, self._at + size
        return self._data[at : self._at]


def pieces_at(data: bytes, places: Sequence[int]) -> list[bytes]:
    """
    Bytes in pieces, none of which is empty.

    @param places: where they are cut; beyond the end it goes on from the beginning.
    """
    cuts = sorted(place % (len(data) + 1) for place in places)
    ends = zip([0, *cuts], [*cuts, len(data)], strict=True)
    return [data[start:end] for start, end in ends if start < end]


def single(data: bytes) -> list[bytes]:
    """The same one byte after the other."""
    return [data[at : at + 1] for at in range(len(data))]
