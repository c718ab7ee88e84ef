"""
What a peer sent, on standard output: raw bytes into a file or a pipe, and inert text on a terminal, where a
control character could move the cursor, rename the window or forge a line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netsvc.commands.ending import close_output
from netsvc.commands.printing import inert
from netsvc.commands.running import NotDone


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

        @raise BrokenPipeError: nobody reads standard output any more.
        @raise NotDone: it cannot be written to, for example because the disk is full.
        """
        data = self._form(piece)
        if not data or sys.stdout is None:
            return
        self._in_line = not data.endswith(b"\n")
        with _written():
            if sys.stdout.isatty():
                sys.stdout.write(inert_lines(data))
            else:
                sys.stdout.buffer.write(data)

    def end_line(self) -> None:
        """
        Begin a new line, unless one begins anyhow.

        @raise BrokenPipeError: see `write`.
        @raise NotDone: see `write`.
        """
        if self._in_line:
            self._in_line = False
            with _written():
                sys.stdout.write("\n")


def on_terminal() -> bool:
    """Whether standard output is a terminal; it can also be closed, and then it is None."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def _written() -> Iterator[None]:
    """Write through, and turn what goes wrong into one line."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        close_output()
        raise NotDone(f"standard output: {(error.strerror or str(error)).lower()}") from None
