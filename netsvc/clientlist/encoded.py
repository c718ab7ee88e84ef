"""
The client list as JSON, kept ready in blocks.

With 100,000 entries the list is 8 MB long and changes with every client that comes, and every client wants
it. So each entry is encoded once, when it enters, and the entries lie in blocks, each of which keeps its own
text until one of its entries changes. A change costs one block, whatever the length of the list.

A reader that is slow must not hold a copy of the list, or a thousand of them would hold a thousand. So
`pieces` reads the blocks as it goes: an entry keeps its place as long as its name is in the list, and a
reader meets each place once, as it is then. What is new goes behind the last place that the reader will
come to.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

#: Entries in a block: about 10 KB of text, so that a change is encoded in microseconds.
BLOCK = 128

_SEPARATOR = b", "

#: Writes a text as JSON; many times as quick as `json.dumps` with all that may stand in a dictionary.
quoted = json.JSONEncoder().encode


class EncodedList:
    """
    A JSON object in which the keys keep the order in which they came, as `json.dumps` writes it.

    It is ASCII, everything else being escaped, so that it is one line for everybody who reads lines, and can
    be cut and decoded anywhere.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, dict[str, bytes]] = {}
        # The numbers of the blocks that there are, rising; a number is never used twice.
        self._numbers: list[int] = []
        self._newest = 0
        self._places: dict[str, int] = {}
        self._joined: dict[int, bytes] = {}
        self._whole: bytes | None = None

    def __len__(self) -> int:
        return len(self._places)

    def set(self, key: str, value: str) -> None:
        """
        Enter a value under a key; one that was there is replaced in its place.

        @param value: JSON, in ASCII.
        """
        number = self._places.get(key)
        if number is None:
            number = self._places[key] = self._open_block()
        self._blocks[number][key] = f"{quoted(key)}: {value}".encode("ascii")
        self._changed(number)

    def discard(self, key: str) -> None:
        """Take a key out, if it is there."""
        number = self._places.pop(key, None)
        if number is None:
            return
        block = self._blocks[number]
        del block[key]
        self._changed(number)
        if not block:
            del self._blocks[number]
            del self._numbers[bisect_left(self._numbers, number)]

    def whole(self) -> bytes:
        """The object as it is now, in one piece; the same bytes until something changes."""
        if self._whole is None:
            self._whole = b"{%b}" % _SEPARATOR.join(self._text(number) for number in self._numbers)
        return self._whole

    def pieces(self) -> Iterator[bytes]:
        """
        The object in pieces, each read when it is asked for.

        Every key that is there now and stays is in it; one that leaves before it was read may be missing; one
        that comes later is not in it; none is in it twice.
        """
        if not self._numbers:
            return iter((b"{}",))
        # Keys that come later may come into the last block, so that one is read now.
        last = self._numbers[-1]
        return self._walk(last, self._text(last))

    def newest(self, limit: int) -> bytes:
        """
        The object with the last keys only.

        @param limit: how many at the most.
        """
        found: list[bytes] = []
        for number in reversed(self._numbers):
            if len(found) >= limit:
                break
            found += reversed(self._blocks[number].values())
        return b"{%b}" % _SEPARATOR.join(reversed(found[:limit]))

    def _walk(self, last: int, tail: bytes) -> Iterator[bytes]:
        opening = b"{"
        number = -1
        while (found := bisect_right(self._numbers, number)) < len(self._numbers):
            number = self._numbers[found]
            if number >= last:
                break
            yield opening + self._text(number)
            opening = _SEPARATOR
        yield b"%b%b}" % (opening, tail)

    def _text(self, number: int) -> bytes:
        text = self._joined.get(number)
        if text is None:
            text = self._joined[number] = _SEPARATOR.join(self._blocks[number].values())
        return text

    def _open_block(self) -> int:
        """The number of the block for new keys: the newest, never an older one that has room again."""
        block = self._blocks.get(self._newest)
        if block is None or len(block) >= BLOCK:
            self._newest += 1
            self._blocks[self._newest] = {}
            self._numbers.append(self._newest)
        return self._newest

    def _changed(self, number: int) -> None:
        self._joined.pop(number, None)
        self._whole = None
