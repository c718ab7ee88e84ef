"""
The messages of a load, which carry their number, and the search for them in what comes back.

Pure: bytes in, counts out. An answer is right if it is, or ends with, the very bytes that were sent; whatever
else comes is told, never skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import Protocol

#: Digits of a message's number; a shorter message has as many as it has room for.
DIGITS = 12

#: Bytes of the shortest message that has a number of its own, and an end that is nowhere else in it.
SHORTEST = DIGITS + 1

#: What may stand before the message in an answer, such as a time stamp; bytes.
LONGEST_PREFIX = 256

_LETTERS = b"abcdefghijklmnopqrstuvwxyz"


class Differs(Exception):  # noqa: N818 - an answer's property
    """
    What came is no answer to what was sent.

    @ivar expected: what was sent.
    @ivar came: what came in its place, as far as it was read.
    """

    def __init__(self, expected: bytes, came: bytes) -> None:
        super().__init__()
        self.expected = expected
        self.came = came


class Messages:
    """
    Messages of one size: their number, letters, and a newline, for servers that answer per line.

    @ivar size: bytes of each.
    """

    def __init__(self, size: int) -> None:
        """@param size: from 1 on; below `SHORTEST` the numbers repeat."""
        self.size = size
        digits = min(max(size - 1, 1), DIGITS)
        self._modulus = 10**digits
        rest = size - digits
        letters = bytes(islice(cycle(_LETTERS), rest - 1)) + b"\n" if rest else b""
        self._form = b"%%0%dd" % digits + letters

    def make(self, number: int) -> bytes:
        """The message that has a number."""
        message: bytes = self._form % (number % self._modulus)
        return message

    def number_in(self, message: bytes) -> int:
        """
        The number that a message has, its size being at least `SHORTEST`.

        @raise ValueError: it has none.
        """
        digits = message[:DIGITS]
        if len(digits) < DIGITS or not digits.isdigit():
            raise ValueError
        return int(digits)


class Answers(Protocol):
    """Finds answers in a stream, in the order of the messages."""

    def feed(self, data: bytes) -> int:
        """
        Take what came next.

        @return: how many more messages are answered with it.
        @raise Differs: it is no answer.
        """

    def rest(self) -> bytes:
        """What came and is no answer so far; empty where it is the beginning of one."""


class EchoAnswers:
    """Answers that are the messages themselves; nothing is copied."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        """@param make: takes 0, 1, 2, …, returns what is sent then."""
        self._make = make
        self._number = 0
        self._expected = make(0)
        self._matched = 0

    def feed(self, data: bytes) -> int:
        """See `Answers`."""
        answered = 0
        # The usual case: one answer, whole.
        if not self._matched and data == self._expected:
            self._next()
            return 1
        position = 0
        while position < len(data):
            piece = data[position : position + len(self._expected) - self._matched]
            if not self._expected.startswith(piece, self._matched):
                raise Differs(self._expected, self._expected[: self._matched] + piece)
            position += len(piece)
            self._matched += len(piece)
            if self._matched == len(self._expected):
                answered += 1
                self._next()
        return answered

    def rest(self) -> bytes:
        """See `Answers`."""
        return b""

    def _next(self) -> None:
        self._number += 1
        self._expected = self._make(self._number)
        self._matched = 0


class SuffixAnswers:
    """
    Answers that end with the message; what stands before it is short.

    No message is sent before the last is answered. So an answer ends where the stream so far does, and a
    message may be so short that what stands before it could contain it.
    """

    def __init__(self, make: Callable[[int], bytes]) -> None:
        """@param make: takes 0, 1, 2, …, returns what is sent then."""
        self._make = make
        self._number = 0
        self._expected = make(0)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> int:
        """See `Answers`."""
        expected = self._expected
        # The usual case: one answer, whole. None comes before it, so what stands before it is none.
        if not self._buffer and data.endswith(expected) and len(data) <= LONGEST_PREFIX + len(expected):
            self._next()
            return 1
        self._buffer += data
        answered = self._search()
        if len(self._buffer) > LONGEST_PREFIX + len(self._expected):
            raise Differs(self._expected, bytes(self._buffer))
        return answered

    def rest(self) -> bytes:
        """See `Answers`."""
        return bytes(self._buffer)

    def _search(self) -> int:
        """Take the answers from the buffer, and count them."""
        if not self._buffer.endswith(self._expected):
            return 0
        if len(self._buffer) > LONGEST_PREFIX + len(self._expected):
            return 0
        self._buffer.clear()
        self._next()
        return 1

    def _next(self) -> None:
        self._number += 1
        self._expected = self._make(self._number)


class SeveralSuffixAnswers(SuffixAnswers):
    """The same where several messages wait for their answers, which then stand one behind the other."""

    def _search(self) -> int:
        buffer = self._buffer
        answered = start = 0
        while len(buffer) - start >= len(self._expected):
            found = buffer.find(self._expected, start, start + LONGEST_PREFIX + len(self._expected))
            if found < 0:
                break
            start = found + len(self._expected)
            answered += 1
            self._next()
        del buffer[:start]
        return answered


class AnyAnswers:
    """Every piece that comes answers one message, whatever it is."""

    def feed(self, data: bytes) -> int:
        """See `Answers`."""
        return 1

    def rest(self) -> bytes:
        """See `Answers`."""
        return b""


def answers_in_stream(expect: str, make: Callable[[int], bytes], depth: int) -> Answers:
    """
    What finds the answers that are expected.

    @param expect: ``echo``, ``suffix`` or ``any``.
    @param make: see `EchoAnswers`.
    @param depth: how many messages may wait for an answer.
    """
    if expect == "echo":
        return EchoAnswers(make)
    if expect == "suffix":
        return SuffixAnswers(make) if depth == 1 else SeveralSuffixAnswers(make)
    return AnyAnswers()


def number_answered(expect: str, messages: Messages, data: bytes) -> int:
    """
    The number of the message that a datagram says to answer.

    @param expect: ``echo`` or ``suffix``.
    @raise ValueError: it has none.
    """
    return messages.number_in(_answer_in(expect, messages, data))


def check_answer(expect: str, messages: Messages, number: int, data: bytes) -> None:
    """
    Compare a datagram with the message that it says to answer.

    @param number: of `number_answered`.
    @raise Differs: it is another.
    """
    message = _answer_in(expect, messages, data)
    expected = messages.make(number)
    if message != expected or len(data) - len(message) > LONGEST_PREFIX:
        raise Differs(expected, data)


def _answer_in(expect: str, messages: Messages, data: bytes) -> bytes:
    return data if expect == "echo" else data[-messages.size :]
