"""What tests of the journal on disk share: facts, a disk that fails when told to, who hears of all that."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from netsvc.facts import RECEIVED, Notes, OriginRow
from netsvc.journal.disk.database import Database
from netsvc.journal.disk.writer import Batch, Promises, size_of

ORIGIN: OriginRow = ("receiver", "udp://127.0.0.1:6667", "udp", "192.0.2.1", 4000, "127.0.0.1:6667", None)

#: Seconds that anything here may take.
PATIENCE = 30.0


def note(data: bytes, origin: OriginRow = ORIGIN, time: int = 1) -> Notes:
    """One note, flat."""
    return (time, RECEIVED, origin, data, None)


def promised(results: list[bool]) -> Deferred[bool]:
    """A promise that puts what becomes of it into a list."""
    promise: Deferred[bool] = Deferred()
    watch(promise, results)
    return promise


def watch(promise: Deferred[bool], results: list[bool]) -> None:
    """Have what becomes of a promise put into a list."""

    def told(written: bool) -> bool:
        results.append(written)
        return written

    promise.addCallback(told)


def batch(first: int, *datas: bytes, promises: Promises = ()) -> Batch:
    """Messages on their way to the disk."""
    notes = tuple(value for data in datas for value in note(data))
    return Batch(first, notes, size_of(notes, promises), promises)


def contents(path: Path) -> list[bytes]:
    """The messages in a journal, in its order, as another process would read them."""
    connection = sqlite3.connect(path)
    try:
        return [data for (data,) in connection.execute("SELECT data FROM fact ORDER BY seq")]
    finally:
        connection.close()


class FickleDatabase(Database):
    """
    A real file whose disk fails when told to.

    @ivar trouble: ``full``, ``read-only`` or ``""``.
    """

    trouble = ""
    _connection: sqlite3.Connection | None = None

    def open(self) -> sqlite3.Connection:
        self._connection = super().open()
        self._be_fickle(self._connection)
        return self._connection

    def is_in_place(self) -> bool:
        assert self._connection is not None
        self._be_fickle(self._connection)
        return super().is_in_place()

    def _be_fickle(self, connection: sqlite3.Connection) -> None:
        # No fewer pages than there are, so that it is just full.
        connection.execute(f"PRAGMA max_page_count = {1 if self.trouble == 'full' else 1 << 30}").fetchall()
        connection.execute(f"PRAGMA query_only = {'ON' if self.trouble == 'read-only' else 'OFF'}")


class Heard:
    """Hears what a writer tells, in the writer's thread."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.on_settled: Callable[[], None] = lambda: None
        self._changed = threading.Condition()

    def opened(self, newest: int) -> None:
        """See `netsvc.journal.disk.writer.Told`, as for the others."""
        self._hear("opened", newest)

    def settled(self, promises: Sequence[Deferred[bool]], written: bool) -> None:
        self.on_settled()
        for promise in promises:
            promise.callback(written)
        self._hear("settled", (len(promises), written))

    def lose(self, facts: int) -> None:
        self._hear("lose", facts)

    def failing(self, reason: str) -> None:
        self._hear("failing", reason)

    def working(self) -> None:
        self._hear("working", None)

    def ended(self) -> None:
        self._hear("ended", None)

    def told(self, what: str) -> list[Any]:
        """All that was told of one thing."""
        return [value for name, value in self.events if name == what]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that one of the events made so."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE), self.events

    def wait_for(self, what: str, times: int = 1) -> None:
        """Wait until something was told so many times."""
        self.wait(lambda: len(self.told(what)) >= times)

    def _hear(self, name: str, value: Any) -> None:
        with self._changed:
            self.events.append((name, value))
            self._changed.notify_all()


class Loop(Clock):
    """A reactor in memory that other threads may call."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        """See `IReactorFromThreads`."""
        self._calls.put(lambda: call(*arguments))

    def until(self, holds: Callable[[], bool]) -> None:
        """Turn until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, "it never held"
            self.advance(0.001)
            try:
                self._calls.get(timeout=0.01)()
            except queue.Empty:
                continue
