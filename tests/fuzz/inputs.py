"""
Made inputs: bytes and texts that are nearly right.

What a grammar says is right tries little, and what chance alone makes is refused at the first byte. So pieces
that are right are taken and broken in a few places: bits, lengths, cuts, repeats, and pieces of another one.
All chance comes from one `Inputs`, so that a seed gives the same inputs again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

#: Numbers at which code that counts bytes, or reads a length, goes wrong.
_SIZES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 27, 28, 63, 64, 106, 107, 108, 127, 128, 255, 256, 257, 511, 512)
_LARGE = (1023, 1024, 4095, 4096, 4097, 8191, 8192, 16_383, 16_384, 16_385, 65_506, 65_507, 65_535, 65_536)
_BYTES = b"\x00\x01\x07\x08\t\n\x0b\r\x1b !\"%'*:[\\]{}~\x7f\x80\x9b\xa0\xc0\xe2\xed\xef\xf4\xff"

#: Characters that end lines, drive terminals, turn the writing, join, have no UTF-8, or mean something.
_SIGNS = (
    "\0\x07\x08\t\n\x0b\x0c\r\x1b\x1c\x7f\x80\x85\x9b\xa0\xad\u0130\u0301\u061c\u0660\u200b\u200d\u200f\u2028"
    "\u2029\u202e\u2066\u20ac\u5b57\ud800\udcff\ufb01\ufeff\uffff\U0001f600\U000e0041"
    " \"#%&'*+,-./0:;=?@[\\]_{}~"
)


class Inputs(random.Random):
    """Chance, with a seed, and what inputs are made with."""

    def often(self) -> bool:
        """Three times out of four."""
        return self.random() < 0.75

    def rarely(self) -> bool:
        """Once in eight times."""
        return self.random() < 0.125

    def below(self, end: int) -> int:
        """A number from 0 to one less than `end`, which is at least 1."""
        return int(self.random() * end)

    def one_of(self, items: Sequence[_Item]) -> _Item:
        """One of several, of which there is at least one."""
        return items[int(self.random() * len(items))]

    def size(self, most: int) -> int:
        """A number of bytes up to `most`: mostly few, and often one at which counting goes wrong."""
        kind = self.random()
        if kind < 0.5:
            return min(most, int(self.expovariate(0.05)))
        if kind < 0.8:
            return min(most, self.one_of(_SIZES))
        if kind < 0.9:
            return min(most, self.one_of(_LARGE))
        return self.below(most + 1)

    def blob(self, most: int) -> bytes:
        """Bytes with nothing in mind; long ones repeat themselves."""
        size = self.size(most)
        if size <= 64:
            return self.randbytes(size)
        piece = self.randbytes(1 + self.below(48))
        return (piece * (size // len(piece) + 1))[:size]

    def cut(self, data: bytes) -> list[bytes]:
        """The same bytes in pieces, now and then in single ones."""
        if len(data) > 1 and self.rarely():
            data, rest = data[:16], data[16:]
            return [data[at : at + 1] for at in range(len(data))] + ([rest] if rest else [])
        places = sorted({self.below(len(data) + 1) for _ in range(self.below(4))})
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

    def broken(self, data: bytes, others: Sequence[bytes]) -> bytes:
        """
        The same bytes with a few faults, or as they are.

        @param others: what pieces of something else are taken from; at least one.
        """
        while self.often():
            data = self.one_of(_FAULTS)(self, data, self.one_of(others))
        return data

    def broken_text(self, text: str, others: Sequence[str]) -> str:
        """The same for a text."""
        while self.random() < 0.6:
            text = self.one_of(_TEXT_FAULTS)(self, text, self.one_of(others))
        return text


# -- faults of bytes --------------------------------------------------------------------------------------


def _flip(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    return data[:at] + bytes(byte ^ 1 << chance.below(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _set(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    return data[:at] + bytes([chance.one_of(_BYTES)]) + data[at + 1 :]


def _set_length(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    size = chance.one_of(_SIZES if chance.often() else _LARGE) % 65_536
    return data[:at] + size.to_bytes(2, "big") + data[at + 2 :]


def _insert(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    return data[:at] + chance.blob(24) + data[at:]


def _take_out(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    return data[:at] + data[at + 1 + chance.size(24) :]


def _truncate(chance: Inputs, data: bytes, other: bytes) -> bytes:
    return data[: chance.below(len(data) + 1)]


def _repeat(chance: Inputs, data: bytes, other: bytes) -> bytes:
    at = chance.below(len(data) + 1)
    piece = data[at : at + 1 + chance.size(64)]
    return data[:at] + piece * (2 + chance.below(3)) + data[at + len(piece) :]


def _splice(chance: Inputs, data: bytes, other: bytes) -> bytes:
    return data[: chance.below(len(data) + 1)] + other[chance.below(len(other) + 1) :]


_FAULTS: tuple[Callable[[Inputs, bytes, bytes], bytes], ...] = (
    _flip,
    _flip,
    _set,
    _set_length,
    _insert,
    _take_out,
    _truncate,
    _repeat,
    _splice,
)


# -- faults of texts --------------------------------------------------------------------------------------


def _put_sign(chance: Inputs, text: str, other: str) -> str:
    at = chance.below(len(text) + 1)
    return text[:at] + chance.one_of(_SIGNS) + text[at + chance.below(2) :]


def _put_number(chance: Inputs, text: str, other: str) -> str:
    at = chance.below(len(text) + 1)
    number = chance.one_of(("-1", "0", "007", "65536", "1e999", "nan", "inf", "0x10", "9" * 5000, "٣"))
    return text[:at] + number + text[at + chance.below(4) :]


def _leave_out(chance: Inputs, text: str, other: str) -> str:
    at = chance.below(len(text) + 1)
    return text[:at] + text[at + 1 + chance.size(8) :]


def _say_again(chance: Inputs, text: str, other: str) -> str:
    at = chance.below(len(text) + 1)
    piece = text[at : at + 1 + chance.size(24)]
    return text[:at] + piece * (2 + chance.below(40 if chance.rarely() else 2)) + text[at + len(piece) :]


def _go_on_with(chance: Inputs, text: str, other: str) -> str:
    return text[: chance.below(len(text) + 1)] + other[chance.below(len(other) + 1) :]


def _change_case(chance: Inputs, text: str, other: str) -> str:
    return text.upper() if chance.often() else text.swapcase()


_TEXT_FAULTS: tuple[Callable[[Inputs, str, str], str], ...] = (
    _put_sign,
    _put_sign,
    _put_number,
    _leave_out,
    _say_again,
    _go_on_with,
    _change_case,
)
