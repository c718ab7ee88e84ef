"""Where a command writes what may be long: a file that is there when it is whole, or a pipe."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from netsvc.commands.complaints import NotDone
from netsvc.commands.standard_output import written

Write = Callable[[bytes], None]


@contextmanager
def writing(out: str | None) -> Iterator[Write]:
    """
    Something to write to, for the time of a with statement.

    A file gets its name when all is written, and replaces the one of that name; only its owner can read it,
    as a journal. A pipe or a device is written to as it is.

    @param out: a path; None or ``-`` is standard output.
    @raise NotDone: it cannot be written to.
    @raise BrokenPipeError: nobody reads it any more.
    """
    if out is None or out == "-":
        yield _write_to_standard_output
        return
    path = Path(os.path.realpath(out))
    with _said(out):
        if path.exists() and not path.is_file():
            with path.open("wb", buffering=0) as device:
                yield _unbuffered(device.fileno())
            return
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".unfinished", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                yield _writing_to(file)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def _write_to_standard_output(data: bytes) -> None:
    with written():
        sys.stdout.buffer.write(data)


def _writing_to(file: BinaryIO) -> Write:
    def write(data: bytes) -> None:
        file.write(data)

    return write


def _unbuffered(descriptor: int) -> Write:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


@contextmanager
def _said(out: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise NotDone(f"{out}: cannot write to it: {(error.strerror or str(error)).lower()}") from None
