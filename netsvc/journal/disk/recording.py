"""
The journal, as the daemon has it: facts go in, and whoever promised something is told when it is on disk.

Everything here is in the reactor's thread, but for what the writer's calls, which only passes it on;
`netsvc.journal.disk.writer` is the other thread.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from os.path import realpath
from pathlib import Path
from time import time_ns
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from netsvc.facts import NOTE, Facts, Notes
from netsvc.interfaces import IFactArchive, IJournal
from netsvc.journal.disk.database import Database, log_bytes
from netsvc.journal.disk.history import History
from netsvc.journal.disk.lock import Lock
from netsvc.journal.disk.reader import END
from netsvc.journal.disk.retention import Retention
from netsvc.journal.disk.schema import DiskError
from netsvc.journal.disk.writer import Batch, Promises, Writer, size_of
from netsvc.settings import Journal

_log = Logger(namespace="netsvc.journal")

#: Seconds of a day, the unit of `netsvc.settings.Journal.age`.
_DAY = 86_400

#: Promises that are kept in one turn of the reactor: a commit may settle thousands, and each is a datagram.
_TURN_PROMISES = 128

#: Losses that are remembered by their seqs, for those who read on later; of more, the oldest become one.
_LOSSES = 64


def recording_of(
    settings: Journal,
    facts: Facts,
    reactor: Any,
    origin: str,
    earlier: Callable[[int], None] = lambda newest: None,
) -> Recording | None:
    """
    The journal that the settings ask for, not open yet; None where they ask for none.

    @param facts: what it will record.
    @param reactor: an `IReactorTime` and `IReactorFromThreads`.
    @param origin: what a user would change.
    @param earlier: told, as it is opened, the seq up to which there are facts in it.
    """
    return Recording(settings, facts, reactor, origin, earlier) if settings.file else None


@implementer(IFactArchive, IJournal)
class Recording:
    """
    Writes all facts to a file.

    @ivar origin: what a user would change.
    @ivar path: the file.
    @ivar history: what has been written, to be read.
    @ivar lost: see `IJournal`.
    @ivar broken: see `IJournal`.
    """

    def __init__(
        self,
        settings: Journal,
        facts: Facts,
        reactor: Any,
        origin: str = "--journal",
        earlier: Callable[[int], None] = lambda newest: None,
    ) -> None:
        """
        @param settings: the file, and what it may cost.
        @param facts: where they come from.
        @param reactor: an `IReactorTime` and `IReactorFromThreads`.
        @param origin: what a user would change.
        @param earlier: told, as it is opened, the seq up to which there are facts in it.
        """
        # Now, because a daemon may change its directory later; and whole, because that is what is locked.
        self.path = Path(realpath(settings.file))
        self.origin = origin
        self.lost = 0
        self.broken = ""
        self._database = Database(self.path, self._say, settings.size)
        self._settings = settings
        self._facts = facts
        self._earlier = earlier
        self._reactor = reactor
        self._promises: list[Deferred[bool]] = []
        self._kept: deque[tuple[Deferred[bool], bool]] = deque()
        # How many the writer was given and has settled; those that it was not, behind how many of these.
        self._made = self._settled = 0
        self._refused: deque[tuple[int, Deferred[bool]]] = deque()
        self._flush: IDelayedCall | None = None
        self._telling: IDelayedCall | None = None
        self._writer: Writer | None = None
        self._ended: Deferred[None] | None = None
        self._forget: Any = None
        self._retention = Retention(settings.age * _DAY, settings.count, settings.size)
        self._removed = self._taken = 0
        # The seqs of the first and the last, and how many there are.
        self._losses: deque[tuple[int, int, int]] = deque()
        self.history = History(self.path, reactor, self)

    @property
    def lag(self) -> float:
        """See `IJournal`."""
        oldest = None if self._writer is None else self._writer.oldest()
        return 0.0 if oldest is None else max(0.0, (time_ns() - oldest) / 1e9)

    def check(self) -> None:
        """
        Find out what is wrong with it that shows before it is opened, and leave everything as it is.

        @raise netsvc.journal.disk.schema.JournalError: it cannot be used.
        """
        # First, because looking into a file that this process has open would undo SQLite's locks (fcntl(2)).
        Lock.check(self.path)
        self._database.check()

    def open(self) -> None:
        """
        Open the file and begin.

        @raise netsvc.journal.disk.schema.JournalError: it cannot be used.
        """
        self.check()
        settings, database = self._settings, self._database
        self._lock = Lock(self.path)
        try:
            connection = self._opened()
        except BaseException:
            self._lock.release()
            raise
        self._writer = Writer(
            database,
            connection,
            self,
            self._retention,
            settings.commit_delay,
            settings.commit_count,
            log_bytes(settings.size),
        )
        self._writer.start()
        self._forget = self._facts.keep(self)

    def _opened(self) -> sqlite3.Connection | None:
        try:
            connection = self._database.open()
        except DiskError:
            # Services go on without it, and the writer says so, and tries again.
            return None
        # Whatever the clock says, for it may have been set back.
        self._facts.begin_after(self._database.newest)
        self._earlier(self._database.newest)
        return connection

    def close(self) -> Deferred[None]:
        """
        Write what waits, and end.

        @return: fires when it is on disk, or cannot be.
        """
        self.history.stop()
        if self._ended is None:
            self._ended = Deferred()
            if self._writer is None:
                self._ended.callback(None)
            else:
                self._forget()
                self._writer.stop()
        return self._ended

    def recorded(self) -> Deferred[bool]:
        """See `IJournal`."""
        if self._writer is None or self._ended is not None or not self._facts.waiting:
            # What was noted has gone past already: nobody could say what became of it.
            return succeed(False)
        promise: Deferred[bool] = Deferred()
        self._promises.append(promise)
        if self._flush is None:
            # At the end of the turn, so that all that arrives in it goes to the disk together.
            self._flush = self._reactor.callLater(0, self._flush_facts)
        return promise

    def take(self, first: int, notes: Notes) -> None:
        """See `IFactArchive`."""
        promises, self._promises = self._promises, []
        writer, size = self._writer, size_of(notes, promises)
        if writer is None or writer.queued + size > self._settings.queue:
            self._lose(len(notes) // NOTE)
            self._remember_loss(first, len(notes) // NOTE)
            self._refuse(promises)
        elif writer.put(Batch(first, notes, size, promises)):
            self._made += len(promises)
        else:
            self._refuse(promises)
        self._taken = first + len(notes) // NOTE - 1

    # -- what others read; see `netsvc.interfaces.IFactHistory` ----------------------------------------

    @property
    def written(self) -> int:
        """See `IFactHistory`."""
        if self._writer is None:
            return 0
        waiting = self._writer.next_seq()
        return END if waiting is None else waiting - 1

    @property
    def stalled(self) -> bool:
        """See `IFactHistory`."""
        return self._writer is None or self._writer.broken

    @property
    def removed(self) -> int:
        """See `IFactHistory`."""
        return max(self._removed, self._retention.removed)

    @property
    def replaced(self) -> bool:
        """Whether another file has the name of the one that is open; for any thread."""
        return self._database.is_replaced()

    def hurry(self) -> None:
        """See `IFactHistory`."""
        if self._writer is not None:
            self._writer.hurry()

    def missing(self, after: int, until: int) -> tuple[int, int, int] | None:
        """See `IFactHistory`."""
        found = [loss for loss in self._losses if loss[1] > after and loss[0] <= until]
        return (found[0][0], found[-1][1], sum(count for *_, count in found)) if found else None

    def _remember_loss(self, first: int, count: int) -> None:
        losses, last = self._losses, first + count - 1
        if losses and losses[-1][1] == self._taken:
            # Nothing was taken in between.
            begin, _, before = losses.pop()
            losses.append((begin, last, before + count))
            return
        losses.append((first, last, count))
        if len(losses) > _LOSSES:
            (begin, _, one), (_, end, another) = losses.popleft(), losses.popleft()
            losses.appendleft((begin, end, one + another))

    def _begin_again(self, newest: int) -> None:
        """A file was opened again, or a new one begun because that one is damaged or gone."""
        writer = self._writer
        if writer is not None and newest < writer.written:
            self._removed = writer.written
            self.history.forget()
        self._facts.begin_after(newest)

    def _flush_facts(self) -> None:
        self._flush = None
        self._facts.flush()

    # -- in the writer's thread; see `netsvc.journal.disk.writer.Told` ---------------------------------

    def opened(self, newest: int) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._begin_again, newest)

    def settled(self, promises: Promises, written: bool) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._settle, promises, written)

    def lose(self, facts: int) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._lose, facts)

    def failing(self, reason: str) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._fail, reason)

    def working(self) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._recover)

    def ended(self) -> None:
        """See `Told`."""
        self._reactor.callFromThread(self._end)

    def _say(self, line: str) -> None:
        # A logger may be used in any thread.
        _log.error("{line}", line=line)

    # -- and back in the reactor's ---------------------------------------------------------------------

    def _refuse(self, promises: Sequence[Deferred[bool]]) -> None:
        """Have it told, when its turn comes, that these are not recorded."""
        self._refused.extend((self._made, promise) for promise in promises)
        self._settle((), False)

    def _settle(self, promises: Sequence[Deferred[bool]], written: bool) -> None:
        if self._refused:
            self._settle_in_turn(promises, written)
        else:
            self._kept.extend((promise, written) for promise in promises)
            self._settled += len(promises)
        if self._telling is None:
            self._tell_some()

    def _settle_in_turn(self, promises: Sequence[Deferred[bool]], written: bool) -> None:
        """Settle these, and after each what was refused behind it: who is refused hears of nothing more."""
        left = iter(promises)
        while True:
            while self._refused and self._refused[0][0] <= self._settled:
                self._kept.append((self._refused.popleft()[1], False))
            promise = next(left, None)
            if promise is None:
                return
            self._kept.append((promise, written))
            self._settled += 1

    def _tell_some(self) -> None:
        self._telling = None
        for _ in range(min(_TURN_PROMISES, len(self._kept))):
            promise, written = self._kept.popleft()
            promise.callback(written)
        if self._kept and self._telling is None:
            self._telling = self._reactor.callLater(0, self._tell_some)

    def _lose(self, facts: int) -> None:
        before, self.lost = self.lost, self.lost + facts
        # Said at the first loss and then ever more rarely: what does not fit now seldom fits in a moment.
        if self.lost.bit_length() != before.bit_length():
            _log.error("{path}: {lost} facts could not be recorded", path=str(self.path), lost=self.lost)

    def _fail(self, reason: str) -> None:
        self.broken = reason
        # What is wrong may be what those who have it open agree on; it ends when nobody has.
        self.history.forget()
        _log.error("{path}: nothing is recorded any more: {reason}", path=str(self.path), reason=reason)

    def _recover(self) -> None:
        self.broken = ""
        _log.info("{path}: recording again; lost until now: {lost}", path=str(self.path), lost=self.lost)

    def _end(self) -> None:
        self._writer = None
        self._lock.release()
        if self._ended is not None:
            self._ended.callback(None)
