"""
The file of a journal, opened by a command: to look at it, and to leave no trace.

A journal that nobody has open is one file, and is read as it is. One that a daemon writes to has its newest
facts in a log beside it, and readers agree with the writer by a third file (SQLite's ``-shm``).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from os.path import realpath
from pathlib import Path

import click

from netsvc.commands.complaints import NotDone
from netsvc.journal.disk.database import BESIDE, code_of, is_damage, one_line
from netsvc.journal.disk.lock import Lock
from netsvc.journal.disk.schema import SCHEMA, JournalError

#: Seconds to wait for a daemon that is just opening or leaving the file.
_BUSY_SECONDS = 5.0

#: What SQLite says where it may not do what a reader has to.
_FORBIDDEN = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})

#: The argument that all commands of the group have.
file_argument = click.argument("file", metavar="FILE", type=click.Path(readable=False, path_type=Path))


@contextmanager
def told(file: Path) -> Iterator[None]:
    """
    Say in one line what is wrong with a journal, for the time of a with statement.

    @param file: it, as the user calls it.
    @raise NotDone: it cannot be used.
    """
    try:
        yield
    except JournalError as error:
        line = str(error)
        known = line.startswith((f"{file}: ", f"{realpath(file)}: "))
        raise NotDone(line if known else f"{file}: {line}") from None
    except sqlite3.Error as error:
        raise NotDone(f"{file}: {_what(file.name, error)}") from None


class Look(sqlite3.Connection):
    """
    A connection to a journal that is only read.

    @ivar alone: the file as it was opened, where all is in it and nobody is asked about locks; else None.
    """

    alone: tuple[Path, object] | None = None

    def still(self) -> None:
        """
        To be called when something was read.

        @raise JournalError: somebody has written to a file that nobody had open, so it may be of two moments.
        """
        if self.alone is not None and _state_of(self.alone[0]) != self.alone[1]:
            raise JournalError("a daemon has begun to write to it; ask again")


@contextmanager
def looking(file: Path) -> Iterator[Look]:
    """
    A journal to look at, for the time of a with statement; it may change from one query to the next.

    @param file: where it is.
    @raise JournalError: it is none, or cannot be read; or see `Look.still`.
    @raise sqlite3.Error: it is damaged.
    """
    path = Path(realpath(file))
    try:
        if not path.exists():
            raise JournalError(f"{file}: no such file")
        if not path.is_file():
            raise JournalError(f"{file}: expected a file")
        # Before SQLite has it open, whose locks would go with this one's closing (fcntl(2)).
        SCHEMA.check_header(path)
    except OSError as error:
        raise JournalError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    with closing(_connect(path)) as connection:
        SCHEMA.check(connection, file)
        if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'fact'").fetchone()[0]:
            raise JournalError(f"{file}: no journal: there are no facts in it")
        try:
            yield connection
        except (JournalError, sqlite3.Error):
            # Not damaged, then.
            connection.still()
            raise


def belongs_to(file: Path, other: str) -> bool:
    """Whether a path is that of a journal, or of one of the files beside it."""
    return realpath(other) in {f"{realpath(file)}{ending}" for ending in (*BESIDE, ".lock")}


def is_written_to(file: Path) -> bool | None:
    """Whether a daemon has the journal open; None where that may not be known."""
    path = Path(realpath(file))
    if os.path.exists(f"{path}.lock") and not os.access(f"{path}.lock", os.R_OK):
        return None
    try:
        Lock.check(path)
    except JournalError:
        return True
    return False


def _connect(path: Path) -> Look:
    # Without a log all is in the one file. SQLite would make the others, for whoever looks, and a daemon that
    # is somebody else could not use them then.
    state, has_log = _state_of(path), os.path.lexists(f"{path}-wal")
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro{'' if has_log else '&immutable=1'}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        factory=Look,
    )
    if not has_log:
        connection.alone = (path, state)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _state_of(path: Path) -> object:
    """What is another one when a file was written to, or is another file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _what(name: str, error: sqlite3.Error) -> str:
    """What is wrong, for who reads it."""
    if is_damage(error):
        return f"no journal, or a damaged one ({one_line(error)})"
    if code_of(error) in _FORBIDDEN:
        return (
            f"the files {name}-wal and {name}-shm, which belong to it, cannot be read or made; "
            "read it as its owner, or copy it with its -wal to a directory of your own"
        )
    return one_line(error)
