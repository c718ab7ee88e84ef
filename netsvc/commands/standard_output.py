"""
Standard output, which can be full, closed, or read by nobody any more: none of that is worth a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import click

from netsvc.commands.complaints import NotDone


def open_standard_streams() -> None:
    """
    Open what this process was started without (``<&-``, ``>&-``, ``2>&-``) to read and write nothing.

    To be called first: the numbers 0 to 2 would go to sockets else, and be written to.

    What standard output's encoding has no letter for is escaped, as Python does on standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as the process
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def written() -> Iterator[None]:
    """
    Write through to standard output at the end of a with statement.

    @raise BrokenPipeError: nobody reads standard output any more.
    @raise NotDone: it cannot be written to, for example because the disk is full.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        close_output()
        raise NotDone(f"standard output: {(error.strerror or str(error)).lower()}") from None


def write_line(text: str) -> None:
    """
    Write a line to standard output.

    @param text: one line or several, without a newline behind the last.
    @raise BrokenPipeError: see `written`.
    @raise NotDone: see `written`.
    """
    with written():
        click.echo(text)


def close_output() -> None:
    """Write standard output to nowhere: what is buffered would fail again, with a message, at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
