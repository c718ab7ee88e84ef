"""A ring that is soon full, and a history that has what leaves it: the journal's own reader, on a clock."""

from __future__ import annotations

import sqlite3
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from netsvc.clientlist.memory import ClientList
from netsvc.facts import NOTE, Notes
from netsvc.interfaces import IFactArchive, IFactHistory
from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.reader import END, Reader
from netsvc.journal.disk.schema import SCHEMA, JournalError
from netsvc.journal.disk.search import Part
from netsvc.journal.query import Filter, Matcher, Page
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import Found, Watchers

from .watch_rig import EVERYTHING, START, AskedFacts, SlowTimeline, WatchRig


@implementer(IFactArchive, IFactHistory)
class Recorded:
    """
    Facts in a database in memory, which takes them and answers when a test lets it.

    @ivar delay: seconds until an answer.
    @ivar scan: facts that one answer looks at.
    @ivar broken: whether nothing can be read.
    @ivar stalled: see `IFactHistory`.
    @ivar removed: see `IFactHistory`.
    @ivar lost: what `missing` tells of.
    @ivar questions: how many were asked.
    """

    def __init__(self, clock: Clock) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(SCHEMA.tables)
        self.delay = 0.001
        self.scan = 1000
        self.broken = self.stalled = False
        self.removed = self.questions = 0
        self.lost: tuple[int, int, int] | None = None
        self._clock = clock
        self._reader = Reader(self.connection)
        self._waiting: list[tuple[int, Notes]] = []

    @property
    def written(self) -> int:
        """See `IFactHistory`."""
        return self._waiting[0][0] - 1 if self._waiting else END

    def take(self, first: int, notes: Notes) -> None:
        """See `IFactArchive`; it is not written before `write`."""
        self._waiting.append((first, notes))

    def write(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        for first, notes in waiting:
            self.connection.executemany(INSERT, records_of(first, notes))

    def lose(self) -> None:
        """Lose what waits."""
        (first, _), (last, notes) = self._waiting[0], self._waiting[-1]
        count = sum(len(one) // NOTE for _, one in self._waiting)
        self.lost = (first, last + len(notes) // NOTE - 1, count)
        self._waiting = []

    def forget_context(self) -> None:
        """Look at nothing before a place."""
        self._reader = Reader(self.connection, context=0)

    def remove(self, until: int) -> None:
        """Let go of the oldest ones."""
        self.removed = until
        self.connection.execute("DELETE FROM fact WHERE seq <= ?", (until,))

    def hurry(self) -> None:
        """See `IFactHistory`; a test decides when."""

    def missing(self, after: int, until: int) -> tuple[int, int, int] | None:
        """See `IFactHistory`."""
        return self.lost if self.lost and self.lost[1] > after and self.lost[0] <= until else None

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
        self.questions += 1
        assert after <= until <= self.written

        def find() -> Part:
            if self.broken:
                raise JournalError("it is broken")
            return self._reader.find(
                wanted, after, until, newest_first, limit, self.scan, limit_bytes, matcher
            )

        return deferLater(self._clock, self.delay, find)


class PastRig(WatchRig):
    """What is needed for watching, with a history, put together as the daemon does."""

    def __init__(self, memory: int = 3000, **limits: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = float(START)
        self.facts = AskedFacts(clock=self.now, later=self.clock.callLater)
        # Less than the seq of the first fact.
        self.began = self.now() // 1000 - 1
        self.timeline = SlowTimeline(self.clock, memory, self.facts.flush, self.began)
        self.facts.keep(self.timeline)
        self.history = Recorded(self.clock)
        self.facts.keep(self.history)
        self.clients = ClientList(self.clock)
        self.encoded = []
        self.watchers = Watchers(
            self.facts,
            self.timeline,
            self.clients,
            self.clock,
            WatchLimits(**limits),
            self._encode,
            self.history,
        )

    def fill(self, *data: bytes, connection: int | None = 7) -> None:
        """Note facts one by one, in time for each to be a batch, and have them written."""
        for one in data:
            self.emit(one, connection=connection)
            self.clock.advance(0.005)
        self.facts.flush()
        self.history.write()


#: More than the ring of the rig has room for.
MANY = tuple(b"%d" % number for number in range(60))


def full() -> PastRig:
    """Many facts, of which the ring has the last ones alone."""
    rig = PastRig()
    rig.fill(*MANY)
    assert 0 < len(rig.timeline) < len(MANY) // 2
    return rig


def found_by(rig: PastRig, asked: Deferred[Found], seconds: float = 1.0) -> Found:
    """What a question ends with."""
    found: list[Found] = []
    asked.addCallback(found.append)
    rig.pass_time(seconds)
    assert len(found) == 1
    return found[0]


def read(rig: PastRig, wanted: Filter = EVERYTHING, **page: Any) -> Found:
    """A page."""
    return found_by(rig, rig.watchers.read(wanted, Page(**{"limit": 1000, **page})))


def data_of(found: Found) -> tuple[bytes, ...]:
    """The data of what was found."""
    return tuple(row[5] for row in found.rows)


def seq_of(rig: PastRig, data: bytes) -> int:
    """The seq of the one fact that has this data."""
    ((seq,),) = rig.history.connection.execute("SELECT seq FROM fact WHERE data = ?", (data,))
    return int(seq)
