"""
What a peer sent, on standard output: raw bytes into a file or a pipe, and inert text on a terminal, where a
control character could move the cursor, rename the window or forge a line.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable

from netsvc.commands.inert import inert
from netsvc.commands.standard_output import written


class InertText:
    """
    Makes text for a terminal of bytes that come in pieces: line ends work, tabs too, and all else is inert.

    Bytes are UTF-8 as far as they go; what is not stands as ``\\xff``. What a piece has only the beginning
    of, a character or CR LF, waits for the next one.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._return = ""

    def feed(self, data: bytes) -> str:
        """Take a piece; gives what can be shown now."""
        return self._shown(self._decoder.decode(data))

    def end(self) -> str:
        """What still waits, as it is, for nothing follows it."""
        text = self._shown(self._decoder.decode(b"", final=True)) + inert(self._return)
        self._return = ""
        return text

    def _shown(self, text: str) -> str:
        text = self._return + text
        self._return = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r").replace("\r\n", "\n")
        return "".join(one if one in "\n\t" else inert(one) for one in text)


def inert_lines(data: bytes) -> str:
    """Bytes that are whole lines as `InertText` makes them."""
    made = InertText()
    return made.feed(data) + made.end()


def hex_line(data: bytes) -> bytes:
    """One piece in hexadecimal, and a newline."""
    return data.hex(" ").encode() + b"\n"


class Output:
    """Standard output, as it is when a piece is written: prompts replace it for a while."""

    def __init__(self, form: Callable[[bytes], bytes] = bytes) -> None:
        """@param form: makes what is written of a piece; as it came by default."""
        self._form = form
        self._text = InertText()
        self._in_line = False

    def write(self, piece: bytes) -> None:
        """
        Write a piece that arrived.

        @raise BrokenPipeError: see `written`.
        @raise NotDone: see `written`.
        """
        data = self._form(piece)
        if not data:
            return
        self._in_line = not data.endswith(b"\n")
        with written():
            if sys.stdout.isatty():
                sys.stdout.write(self._text.feed(data))
            else:
                sys.stdout.buffer.write(data)

    def end_line(self) -> None:
        """
        Begin a new line, unless one begins anyhow.

        @raise BrokenPipeError: see `written`.
        @raise NotDone: see `written`.
        """
        if self._in_line:
            self._in_line = False
            with written():
                sys.stdout.write(self._text.end() + "\n")


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()
