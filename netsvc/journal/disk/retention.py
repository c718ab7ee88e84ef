"""
What leaves the journal, and when: facts that are too old, too many, or take too much of the disk.

The oldest leave first, a few at a time between two groups of new ones, so that nobody waits for it. The space
that they took is what the next ones are written to; what is not needed for that goes back to the file system.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from time import time_ns

from netsvc.journal.disk.database import log_bytes, log_kept
from netsvc.journal.disk.writer import NOTE_BYTES

#: Facts, and bytes of facts, that leave in one go, unless more were written just before: then twice as much,
#: so that what comes in can never outrun what leaves.
STEP_FACTS = 500
STEP_BYTES = 256 * 1024
_FASTER = 2

#: Pages given back to the file system in one go: 1 MiB, a few milliseconds.
STEP_PAGES = 256

#: Share of the journal, and bytes at most, that may be free within it while it is being written to.
_FREE_SHARE = 16
_FREE_BYTES = 8 * 1024 * 1024

_SECOND = 1_000_000_000


class Retention:
    """
    Looks after a journal's file, in the thread that writes it; see `netsvc.journal.disk.writer.Care`.

    @ivar removed: the seq of the newest fact that it has let go of, 0 where there was none.
    """

    def __init__(self, age: float, count: int, size: int, now: Callable[[], int] = time_ns) -> None:
        """
        @param age: seconds after which a fact leaves; 0 keeps it.
        @param count: facts that there may be; 0 is no limit.
        @param size: bytes that they may take on disk, all in all; 0 is no limit.
        @param now: nanoseconds since the epoch.
        """
        self.removed = 0
        self._age = int(age * _SECOND)
        self._count = count
        self._size = size
        self._free = min(_FREE_BYTES, size // _FREE_SHARE) if size else _FREE_BYTES
        # What is for the facts themselves, beside what may be free, the log, and a group on its way there.
        # The log is larger while somebody reads for long, but that is no reason to delete anything.
        self._room = size - self._free - log_kept(size) - log_bytes(size)
        self._now = now
        # How many facts there are, once somebody has to know; whose count that is, and as others left it.
        self._there: int | None = None
        self._counted: tuple[sqlite3.Connection | None, int] = (None, 0)
        self._changed = False

    @classmethod
    def unattended(cls, age: float, count: int, size: int, now: Callable[[], int] = time_ns) -> Retention:
        """The same for a journal that nobody writes to, which needs no room for a log and for what comes."""
        made = cls(age, count, size, now)
        made._room, made._free = size, 0
        return made

    def after(self, connection: sqlite3.Connection, facts: int, size: int) -> bool:
        """
        Let go of some, if there is reason to, after a group was written.

        @param facts: how many facts were written.
        @param size: bytes that these take, more or less.
        @return: whether there may be more to do.
        @raise sqlite3.Error: it did not work, and nothing has left.
        """
        self._changed = True
        if self._there is not None:
            self._there += facts
        more = self._let_go(connection, max(STEP_FACTS, _FASTER * facts), max(STEP_BYTES, _FASTER * size))
        self._give_back(connection, self._free)
        return more

    def meanwhile(self, connection: sqlite3.Connection) -> bool:
        """
        The same where nothing is written; all that is free goes back.

        @return: whether there may be more to do.
        @raise sqlite3.Error: it did not work.
        """
        if self.step(connection, STEP_FACTS, STEP_BYTES):
            self._changed = True
            return True
        if self._changed:
            # What has left the database leaves the file only when the log is copied into it.
            self._changed = False
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return False

    def step(self, connection: sqlite3.Connection, facts: int, size: int) -> bool:
        """
        Let go of some facts, or give some of what is free back.

        @param facts: how many facts may leave in one go.
        @param size: how many bytes of them.
        @return: whether there may be more to do.
        @raise sqlite3.Error: it did not work.
        """
        return self._let_go(connection, facts, size) or self._give_back(connection, 0)

    def _let_go(self, connection: sqlite3.Connection, most: int, most_bytes: int) -> bool:
        """@return: whether there may be more that has to leave."""
        limit = self._now() - self._age if self._age else None
        excess, excess_bytes = self._excess(connection), self._excess_bytes(connection)
        if excess <= 0 and excess_bytes <= 0 and limit is None:
            return False
        last, leaving, leaving_bytes = None, 0, 0
        # What a message has of bytes is known without reading them.
        oldest = connection.execute("SELECT seq, time, ifnull(length(data), 0) FROM fact ORDER BY seq")
        for seq, time, length in oldest:
            too_old = limit is not None and time < limit
            if not (too_old or leaving < excess or leaving_bytes < excess_bytes):
                break
            if leaving == most or leaving_bytes >= most_bytes:
                break
            last, leaving, leaving_bytes = seq, leaving + 1, leaving_bytes + NOTE_BYTES + length
        oldest.close()
        if last is None:
            return False
        # Before they leave, so that nobody who misses them is told that nothing has.
        self.removed = max(self.removed, last)
        connection.execute("DELETE FROM fact WHERE seq <= ?", (last,))
        if self._there is not None:
            self._there -= leaving
        self._changed = True
        return leaving == most or leaving_bytes >= most_bytes

    def _excess(self, connection: sqlite3.Connection) -> int:
        """How many facts there are too many."""
        if not self._count:
            return 0
        version = (connection, _pragma(connection, "data_version"))
        if self._there is None or version != self._counted:
            # Counted anew only when somebody else, a person with a tool, has written too.
            self._counted = version
            (self._there,) = connection.execute("SELECT count(*) FROM fact").fetchone()
        return self._there - self._count

    def _excess_bytes(self, connection: sqlite3.Connection) -> int:
        """How many bytes they take too many on disk, with the log and what may be free."""
        if not self._size:
            return 0
        pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
        return pages * _pragma(connection, "page_size") - self._room

    def _give_back(self, connection: sqlite3.Connection, keep: int) -> bool:
        """
        Give free pages back to the file system, some of them.

        @param keep: bytes that may stay free.
        @return: whether that has changed anything.
        """
        free = _pragma(connection, "freelist_count")
        excess = free - keep // _pragma(connection, "page_size")
        if excess <= 0:
            return False
        connection.execute(f"PRAGMA incremental_vacuum({min(excess, STEP_PAGES)})").fetchall()
        return _pragma(connection, "freelist_count") < free


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
