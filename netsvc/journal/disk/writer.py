"""
The thread that writes the journal, a group of facts at a time.

A commit costs a wait for the disk, whatever is in it, so all that came while the last one was written goes
into the next, and facts that were promised to nobody wait a while for others. Where the disk does not take a
group, whoever waits for it is told so at once, because a promise that is kept too late would be taken for
another one; the facts themselves stay in the queue while there is room, and are tried again every second.

`put`, `stop` and what is public here may be used in any thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from netsvc.facts import NOTE, Notes
from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.database import is_damage, one_line
from netsvc.journal.disk.schema import JournalError

#: Seconds between two attempts to write while the disk does not take it.
RETRY_SECONDS = 1.0

#: Seconds between two looks at what else is to do, where nothing is to be written.
IDLE_SECONDS = 5.0

#: Bytes of memory that a note takes beside its data, and that a promise takes, rounded up.
NOTE_BYTES = 256
PROMISE_BYTES = 1024

#: What is wrong with a fact, not with the disk, when the database does not take it.
_OF_THE_FACT = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.DataError,
    ValueError,
    TypeError,
    OverflowError,
)

Promises = Sequence[Deferred[bool]]


class Batch(NamedTuple):
    """
    Facts on their way to the disk.

    @ivar first: the seq of the first.
    @ivar notes: the facts, flat; see `netsvc.facts`.
    @ivar size: bytes that it takes in memory, more or less.
    @ivar promises: who waits for it.
    @ivar again: whether it was tried before, so that some of it may be there already.
    """

    first: int
    notes: Notes
    size: int
    promises: Promises
    again: bool = False

    @property
    def facts(self) -> int:
        """How many facts."""
        return len(self.notes) // NOTE


class Told(Protocol):
    """Who is told of what the writer does, in the writer's thread."""

    def opened(self, newest: int) -> None:
        """A file was opened whose newest fact has that seq."""

    def settled(self, promises: Promises, written: bool) -> None:
        """What these wait for is on disk, or nobody knows whether it ever will be; not called for nobody."""

    def lose(self, facts: int) -> None:
        """So many facts will never be written."""

    def failing(self, reason: str) -> None:
        """Writing does not work any more; why, in one line."""

    def working(self) -> None:
        """It works again."""

    def ended(self) -> None:
        """The thread has written its last."""


class Storage(Protocol):
    """
    The file; see `netsvc.journal.disk.database.Database`.

    @ivar newest: the seq of the newest fact that was in it when it was opened.
    """

    newest: int

    def open_again(self) -> sqlite3.Connection:
        """Open it after an error."""

    def put_aside(self, error: sqlite3.Error) -> None:
        """Make room for a new one, if it is damaged."""

    def examine(self, connection: sqlite3.Connection) -> None:
        """Look whether it is whole."""

    def is_in_place(self) -> bool:
        """Whether it is still there under its name."""

    def save(self, connection: sqlite3.Connection) -> None:
        """Have in it, before it is closed, what nothing else has."""


class Care(Protocol):
    """What else the file needs; see `netsvc.journal.disk.retention.Retention`."""

    def after(self, connection: sqlite3.Connection, facts: int, size: int) -> bool:
        """A group was written; @return: whether there is more to do."""

    def meanwhile(self, connection: sqlite3.Connection) -> bool:
        """Nothing is to be written; @return: whether there is more to do."""


class Writer(threading.Thread):
    """
    Writes batches in the order in which they come.

    @ivar queued: bytes that wait, those that are being written too.
    @ivar broken: whether the last attempt to write failed; see `put`.
    @ivar written: the seq of the last fact of those that were written.
    """

    def __init__(
        self,
        storage: Storage,
        connection: sqlite3.Connection | None,
        told: Told,
        care: Care,
        delay: float,
        count: int,
        size: int,
    ) -> None:
        """
        @param storage: the file.
        @param connection: it, open, nobody else's from now on; None where that is still to be done.
        @param told: told of everything.
        @param care: for the file, between two groups and when there is none.
        @param delay: seconds that a fact which is not promised waits for others at most.
        @param count: facts in a group after which no more batches join it.
        @param size: bytes in it after which none does: what a commit needs in memory, and of the log.
        """
        super().__init__(name="netsvc journal", daemon=True)
        self.queued = 0
        self.broken = False
        self.written = 0
        self._storage = storage
        self._connection = connection
        self._told = told
        self._care = care
        self._delay = delay
        self._count = count
        self._size = size
        # Guards the queue, and wakes the thread.
        self._changed = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        self._promised = 0
        self._stopped = False
        self._hurried = False
        # Of the thread alone: whether the file needs more care, and what is known to be wrong with it.
        self._more = False
        self._damage: sqlite3.Error | None = None
        self._next_try = 0.0

    def put(self, batch: Batch) -> bool:
        """
        Write a batch, when it is its turn.

        @return: whether it is promised: not where writing does not work, for that would be kept too late.
        """
        with self._changed:
            promised = not self.broken
            if not promised:
                batch = batch._replace(promises=())
            self._batches.append(batch)
            self._waiting += batch.facts
            self._promised += bool(batch.promises)
            self.queued += batch.size
            # Not for each one: who waits for a group to grow is woken when it has.
            if len(self._batches) == 1 or self._has_enough():
                self._changed.notify()
        return promised

    def hurry(self) -> None:
        """Write what waits at once: somebody wants to read it."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def stop(self) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def oldest(self) -> int | None:
        """When the oldest fact in the queue was noted, in nanoseconds since the epoch; None: it is empty."""
        with self._changed:
            return self._batches[0].notes[0] if self._batches else None

    def next_seq(self) -> int | None:
        """The seq of the first fact in the queue; None: it is empty."""
        with self._changed:
            return self._batches[0].first if self._batches else None

    def run(self) -> None:
        """The thread; see `threading.Thread`."""
        try:
            self._attempt(self._examine)
            while group := self._next_group():
                if not self._attempt(partial(self._write, group)) and self._stopped:
                    break
        except Exception as error:  # noqa: BLE001 - a defect, which must not end in silence
            self._told.failing(f"defect in the journal: {one_line(error)}")
        finally:
            self._end()

    # -- groups --------------------------------------------------------------------------------------

    def _next_group(self) -> list[Batch]:
        """What is to be written next, which stays in the queue until it is; nothing at the end."""
        while True:
            with self._changed:
                if self.broken:
                    self._changed.wait_for(lambda: self._stopped, max(0.0, self._next_try - monotonic()))
                else:
                    self._changed.wait_for(self._has_work, 0 if self._more else IDLE_SECONDS)
                    if self._batches:
                        self._changed.wait_for(self._has_enough, self._delay)
                if self._batches or self._stopped:
                    return self._group()
            self._attempt(self._probe if self.broken else self._take_care)

    def _has_work(self) -> bool:
        return bool(self._batches) or self._stopped

    def _has_enough(self) -> bool:
        # Who waits for a promise waits for the disk alone: what comes meanwhile makes the next group.
        urgent = self._stopped or self._hurried or self._promised > 0
        return urgent or self._waiting >= self._count or self.queued >= self._size

    def _group(self) -> list[Batch]:
        group: list[Batch] = []
        facts = size = 0
        for batch in self._batches:
            group.append(batch)
            facts += batch.facts
            size += batch.size
            # A disk that is nearly full may take a little where it does not take much.
            if self.broken or facts >= self._count or size >= self._size:
                break
        return group

    def _write(self, group: Sequence[Batch]) -> None:
        connection = self._opened()
        lost = _commit(connection, group)
        self.written = group[-1].first + group[-1].facts - 1
        with self._changed:
            self._hurried = False
            for batch in group:
                self._batches.popleft()
                self._promised -= bool(batch.promises)
                self._waiting -= batch.facts
                self.queued -= batch.size
        self._settle(group, lost)
        self._recover()
        facts = sum(batch.facts for batch in group) - sum(lost.values())
        self._more = self._care.after(connection, facts, sum(batch.size for batch in group))

    def _settle(self, group: Sequence[Batch], lost: Mapping[int, int]) -> None:
        """
        Tell who waits for a group.

        @param lost: how many facts are lost of which batch, by its `first`; which of its promises are about
            those is not known here.
        """
        if not lost:
            self._tell([promise for batch in group for promise in batch.promises], True)
            return
        for batch in group:
            self._tell(batch.promises, batch.first not in lost)
        self._told.lose(sum(lost.values()))

    def _tell(self, promises: Promises, written: bool) -> None:
        if promises:
            self._told.settled(promises, written)

    def _recover(self) -> None:
        if self.broken:
            self.broken = False
            self._told.working()

    # -- the file ------------------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        """The database, opened anew where it was closed for an error, was damaged, or has lost its name."""
        if self._connection is not None and self._storage.is_in_place():
            return self._connection
        self._close()
        if self._damage is not None:
            self._storage.put_aside(self._damage)
            self._damage = None
        self._connection = self._storage.open_again()
        self._told.opened(self._storage.newest)
        return self._connection

    def _examine(self) -> None:
        self._storage.examine(self._opened())

    def _probe(self) -> None:
        """Find out whether it can be written to again, although nothing is to be written."""
        connection = self._opened()
        # It is written out although it stays the same.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")
        self._recover()

    def _take_care(self) -> None:
        self._more = False
        self._more = self._care.meanwhile(self._opened())

    def _attempt(self, work: Callable[[], None]) -> bool:
        """
        Do something with the database.

        @return: whether it worked; if not, nothing of it was done, and nobody waits for it any more.
        """
        try:
            work()
        except (sqlite3.Error, JournalError) as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: sqlite3.Error | JournalError) -> None:
        self._more = False
        self._next_try = monotonic() + RETRY_SECONDS
        try:
            self._close()
        except (sqlite3.Error, JournalError) as another:
            error = another
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._damage = error
            if not self.broken:
                # A new one is begun at once.
                self._next_try = 0.0
        with self._changed:
            before, self.broken = self.broken, True
            self._promised = 0
            promises = [promise for batch in self._batches for promise in batch.promises]
            self._batches = deque(batch._replace(promises=(), again=True) for batch in self._batches)
        self._tell(promises, False)
        if not before:
            self._told.failing(one_line(error))

    def _close(self) -> None:
        if self._connection is None:
            return
        # If that fails it stays open, with what only it has, and is tried again.
        self._storage.save(self._connection)
        connection, self._connection = self._connection, None
        connection.close()

    def _end(self) -> None:
        self._attempt(self._close)
        with self._changed:
            left = list(self._batches)
            self._batches.clear()
            self.queued = self._waiting = self._promised = 0
            self.broken = True
        self._tell([promise for batch in left for promise in batch.promises], False)
        if left:
            self._told.lose(sum(batch.facts for batch in left))
        self._told.ended()


def size_of(notes: Notes, promises: Promises) -> int:
    """Bytes that notes take in memory with who waits for them, more or less; what waits is bounded by it."""
    return NOTE_BYTES * (len(notes) // NOTE) + PROMISE_BYTES * len(promises) + sum(map(len, notes[3::NOTE]))


def _commit(connection: sqlite3.Connection, group: Sequence[Batch]) -> dict[int, int]:
    """
    Write a group, so that all of it is on disk or nothing.

    @return: how many facts of which batch, by its `first`, the database does not take for what they are.
    @raise sqlite3.Error: the disk does not take it.
    """
    lost: dict[int, int] = {}
    connection.execute("BEGIN IMMEDIATE")
    try:
        for batch in group:
            connection.execute("SAVEPOINT batch")
            try:
                cursor = connection.executemany(INSERT, records_of(batch.first, batch.notes))
                if cursor.rowcount < batch.facts and not batch.again:
                    lost[batch.first] = batch.facts - cursor.rowcount
            except _OF_THE_FACT:
                connection.execute("ROLLBACK TO batch")
                lost[batch.first] = _insert_singly(connection, batch)
            connection.execute("RELEASE batch")
        connection.execute("COMMIT")
    except BaseException:
        # Where the disk is at fault, SQLite may have done it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return lost


def _insert_singly(connection: sqlite3.Connection, batch: Batch) -> int:
    """Insert what can be inserted; @return: how many facts cannot."""
    lost = 0
    for index in range(batch.facts):
        try:
            notes = batch.notes[index * NOTE : (index + 1) * NOTE]
            cursor = connection.executemany(INSERT, records_of(batch.first + index, notes))
            lost += cursor.rowcount < 1 and not batch.again
        except _OF_THE_FACT:
            lost += 1
    return lost
