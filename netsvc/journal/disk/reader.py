"""
The journal for those who read it, while somebody else may be writing to it.

A question is answered a part at a time: each looks at a bounded number of facts, however many there are, and
says where to go on. Nothing is written, nor anything locked that would have the one who writes wait.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote

from netsvc.journal.disk.database import code_of, one_line
from netsvc.journal.disk.ranges import as_recorded
from netsvc.journal.disk.schema import SCHEMA, JournalError
from netsvc.journal.disk.search import Part, Search
from netsvc.journal.query import Filter, Matcher

#: Facts that one part of an answer has looked at, unless it is told otherwise: some 20 ms.
SCAN = 10_000

#: How large it is as JSON, more or less, and how much of data is looked through for it.
LIMIT_BYTES = 16 * 1024 * 1024

#: Facts before a place in which the beginning of a match is looked for.
CONTEXT = 5000

#: The greatest seq that there can be.
END = (1 << 63) - 1

#: Steps of SQLite's machine between two looks at the time: some tenths of a millisecond.
_STEPS = 20_000

#: Seconds to wait for a lock, which a reader needs only while a database is recovered.
_BUSY_SECONDS = 1.0

_FIRST = "SELECT ifnull(min(seq), 0) FROM fact"


class SlowError(JournalError):
    """A part took too long; a smaller one may not."""


class Reader:
    """A journal that is only read, by one thread at a time."""

    def __init__(
        self, connection: sqlite3.Connection, patience: float | None = None, context: int = CONTEXT
    ) -> None:
        """
        @param connection: to a journal; see `open`.
        @param patience: seconds after which a part takes too long; None has all the time.
        @param context: facts before a place in which the beginning of a match is looked for.
        """
        self._connection = connection
        self._patience = patience
        self._context = context
        self._deadline = 0.0
        if patience is not None:
            connection.set_progress_handler(self._is_late, _STEPS)

    @classmethod
    def open(cls, path: Path, patience: float | None = None) -> Reader:
        """
        Open a journal's file. What is beside it is needed too, if it is there.

        @param patience: see `Reader`.
        @raise JournalError: it is not there, no journal, of another version, or cannot be read; one line.
        """
        try:
            connection = _connect(path)
        except sqlite3.Error as error:
            raise _unreadable(path, error) from None
        try:
            _check(connection, path)
        except sqlite3.Error as error:
            connection.close()
            raise _unreadable(path, error) from None
        except BaseException:
            connection.close()
            raise
        return cls(connection, patience)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def interrupt(self) -> None:
        """Have what another thread reads at the moment fail with `SlowError`."""
        # The first is for what it is about to begin with.
        self._deadline = 0.0
        self._connection.interrupt()

    def first(self) -> int:
        """The seq of the oldest fact, 0 where there is none."""
        return self._number(_FIRST)

    def last(self) -> int:
        """The seq of the newest fact, 0 where there is none."""
        return self._number("SELECT ifnull(max(seq), 0) FROM fact")

    def count(self) -> int:
        """How many facts there are; it looks at all of them."""
        return self._number("SELECT count(*) FROM fact")

    def find(
        self,
        wanted: Filter,
        after: int = 0,
        until: int = END,
        newest_first: bool = False,
        limit: int = 1000,
        scan: int = SCAN,
        limit_bytes: int = LIMIT_BYTES,
        matcher: Matcher | None = None,
    ) -> Part:
        """
        Look for facts.

        What a question for content finds is what `Matcher` finds. A match that begins before the part is
        found where it began within `context` facts before it, or the matcher has seen it begin.

        @param wanted: which facts; clients' names are not looked at.
        @param after: those with a greater seq.
        @param until: and none with a greater seq than this.
        @param newest_first: whether to begin with the newest, and to give them in that order.
        @param limit: how many at most.
        @param scan: how many facts to look at, at most.
        @param limit_bytes: how large they are together as JSON, more or less, and how much is looked through
            for content; the fact that reaches it is the last.
        @param matcher: `Part.matcher` of the part before this one; None for the first. It is changed.
        @raise SlowError: it took too long, or was interrupted.
        @raise JournalError: the file cannot be read, or is damaged.
        """
        wanted = as_recorded(wanted)
        self._deadline = monotonic() + (self._patience or 0.0)
        search = Search(self._connection, wanted, limit, limit_bytes, scan, self._context)
        try:
            with self._snapshot():
                part = search.newest(after, until) if newest_first else search.oldest(after, until, matcher)
                return part._replace(first=self._first())
        except sqlite3.Error as error:
            if code_of(error) == sqlite3.SQLITE_INTERRUPT:
                raise SlowError("the journal took too long to answer") from None
            raise JournalError(one_line(error)) from None

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is read within is of one moment, and costs one lock."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def _first(self) -> int:
        return int(self._connection.execute(_FIRST).fetchone()[0])

    def _number(self, question: str) -> int:
        self._deadline = monotonic() + (self._patience or 0.0)
        try:
            return int(self._connection.execute(question).fetchone()[0])
        except sqlite3.Error as error:
            raise JournalError(one_line(error)) from None

    def _is_late(self) -> bool:
        return monotonic() > self._deadline


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise JournalError(f"{path}: no such file")
    if not path.is_file():
        raise JournalError(f"{path}: expected a file")
    # Whoever opens it is not the thread that reads.
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.resolve()))}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_SECONDS,
    )
    try:
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    SCHEMA.check(connection, path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        raise JournalError(f"{path}: nothing is in it")
    if version < SCHEMA.version:
        raise JournalError(
            f"{path}: its schema is version {version}, an older netsvc's; "
            f"a daemon that is started with it makes it version {SCHEMA.version}"
        )


def _unreadable(path: Path, error: sqlite3.Error) -> JournalError:
    return JournalError(f"{path}: {one_line(error)}")
