"""
What a peer sent, on standard output: raw bytes into a file or a pipe, and inert text on a terminal, where a
control character could move the cursor, rename the window or forge a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from netsvc.commands.printing import inert
from netsvc.commands.standard_output import written


def inert_lines(data: bytes) -> str:
    """
    Bytes as text for a terminal: line ends work, tabs too, and everything else is inert.

    @param data: UTF-8 as far as it goes; what is not stands as ``\\xff``.
    """
    text = data.decode(errors="backslashreplace").replace("\r\n", "\n")
    return "".join(one if one in "\n\t" else inert(one) for one in text)


def hex_line(data: bytes) -> bytes:
    """One piece in hexadecimal, and a newline."""
    return data.hex(" ").encode() + b"\n"


class Output:
    """Standard output, as it is when a piece is written: prompts replace it for a while."""

    def __init__(self, form: Callable[[bytes], bytes] = bytes) -> None:
        """@param form: makes what is written of a piece; as it came by default."""
        self._form = form
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
                sys.stdout.write(inert_lines(data))
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
                sys.stdout.write("\n")


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()
