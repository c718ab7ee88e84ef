"""
The journal for the daemon that writes it: read in a thread of its own, a part at a time.

So nobody waits for the disk but who has asked. The thread rests after each part for as long as that has
taken, because services need the processor too. What takes too long is tried again in smaller parts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.interfaces import IFactHistory
from netsvc.journal.disk.database import file_at, one_line
from netsvc.journal.disk.reader import SCAN, Reader, SlowError
from netsvc.journal.disk.schema import JournalError
from netsvc.journal.disk.search import Part
from netsvc.journal.query import Filter, Matcher

_log = Logger(namespace="netsvc.journal")

#: Seconds that a part may take: longer than any should, on a disk that works.
PATIENCE = 1.0

#: The smallest part: with fewer facts than this something else is wrong.
LEAST_SCAN = 100

#: How much smaller the next one is after one that took too long, and how much larger after one that did not.
_SMALLER, _LARGER = 4, 1.25


class _Question:
    """
    Somebody's question, on its way to the thread and back.

    @ivar answer: fires with what it was answered.
    @ivar given_up: whether nobody waits for that any more.
    """

    def __init__(self, ask: Callable[[Reader, int], Part]) -> None:
        """@param ask: asks a reader that looks at so many facts."""
        self.ask = ask
        self.given_up = False
        self.answer: Deferred[Part] = Deferred(self._give_up)

    def _give_up(self, _: Deferred[Part]) -> None:
        self.given_up = True

    def tell(self, answer: Part | Failure) -> None:
        """Give the answer, in the reactor's thread."""
        if not self.given_up:
            self.answer.callback(answer)


@implementer(IFactHistory)
class History:
    """Reads a journal's file; see `IFactHistory`."""

    def __init__(self, path: Path, reactor: Any, state: Any) -> None:
        """
        @param path: the file.
        @param reactor: an `IReactorFromThreads`.
        @param state: what is written to it; it has `written`, `removed`, `stalled`, `hurry` and
            `missing`, and `replaced`, whether another file has its name.
        """
        self._path = path
        self._reactor = reactor
        self._state = state
        self._stopped = Event()
        # What the thread is to do next; None ends it. It begins with the first question.
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        # The thread's: what it reads, how much at a time, and since when it may go on.
        self._reader: Reader | None = None
        self._files: tuple[object, ...] = ()
        self._scan = SCAN
        self._rest_until = 0.0

    @property
    def written(self) -> int:
        """See `IFactHistory`."""
        return int(self._state.written)

    @property
    def removed(self) -> int:
        """See `IFactHistory`."""
        return int(self._state.removed)

    @property
    def stalled(self) -> bool:
        """See `IFactHistory`."""
        return self._stopped.is_set() or bool(self._state.stalled)

    def hurry(self) -> None:
        """See `IFactHistory`."""
        self._state.hurry()

    def missing(self, after: int, until: int) -> tuple[int, int, int] | None:
        """See `IFactHistory`."""
        found: tuple[int, int, int] | None = self._state.missing(after, until)
        return found

    def find(
        self,
        wanted: Filter,
        after: int,
        until: int,
        newest_first: bool,
        limit: int,
        limit_bytes: int,
        matcher: Matcher | None = None,
    ) -> Deferred[Part]:
        """See `IFactHistory`."""

        def ask(reader: Reader, scan: int) -> Part:
            # A copy, because it may be asked again.
            seen = matcher and matcher.copy()
            return reader.find(wanted, after, until, newest_first, limit, scan, limit_bytes, seen)

        question = _Question(ask)
        if self._stopped.is_set():
            question.tell(Failure(JournalError(f"{self._path}: closed")))
        else:
            try:
                self._do(partial(self._answer, question))
            except RuntimeError as error:
                # The system has no thread for it; it may, for the next one who asks.
                question.tell(Failure(JournalError(f"{self._path}: {one_line(error)}")))
        return question.answer

    def forget(self) -> None:
        """Close the file until the next question: it has lost its name, but keeps its room on the disk."""
        if self._reader is not None and not self._stopped.is_set():
            self._do(self._close)

    def stop(self) -> None:
        """Read no more. Nobody waits for the thread: it ends soon, or hangs with its disk."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        reader = self._reader
        if reader is not None:
            reader.interrupt()
        if self._thread is not None:
            self._work.put(self._close)
            self._work.put(None)

    def _do(self, work: Callable[[], None]) -> None:
        """Have the thread do something, when it is its turn."""
        if self._thread is None:
            # It holds nothing that has to be kept, so the process may end without it.
            thread = Thread(target=self._run, name="netsvc history", daemon=True)
            thread.start()
            self._thread = thread
        self._work.put(work)

    # -- in the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _answer(self, question: _Question) -> None:
        if question.given_up:
            return
        self._stopped.wait(max(0.0, self._rest_until - monotonic()))
        began = monotonic()
        try:
            answer: Part | Failure = self._ask(question)
        except JournalError as error:
            # Whatever is wrong with it, another file may have its name by the next time.
            self._close()
            answer = Failure(error)
        except Exception:  # noqa: BLE001 - a defect, which whoever asked must hear of
            answer = Failure()
        ended = monotonic()
        self._rest_until = ended + (ended - began)
        self._reactor.callFromThread(question.tell, answer)

    def _ask(self, question: _Question) -> Part:
        while True:
            if self._stopped.is_set():
                raise JournalError(f"{self._path}: closed")
            try:
                part = question.ask(self._opened(), self._scan)
            except SlowError:
                if self._scan <= LEAST_SCAN:
                    raise
                self._scan = max(LEAST_SCAN, self._scan // _SMALLER)
            else:
                self._scan = min(SCAN, int(self._scan * _LARGER))
                return part

    def _opened(self) -> Reader:
        """The file that has the name now, with the log that has it: a damaged one is moved aside."""
        if self._state.replaced:
            raise JournalError(f"{self._path}: another file has its name, and is not opened yet")
        files = (file_at(f"{self._path}"), file_at(f"{self._path}-wal"))
        if self._reader is None or files != self._files:
            self._close()
            self._reader, self._files = Reader.open(self._path, PATIENCE), files
        return self._reader

    def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                reader.close()
            except sqlite3.Error as error:
                _log.error(
                    "{path}: it could not be closed: {error}", path=str(self._path), error=one_line(error)
                )
