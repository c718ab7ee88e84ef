"""A dispatcher, a timeline and those who watch it, under a clock that only tests move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from netsvc.clientlist.memory import ClientList
from netsvc.facts import RECEIVED, Facts, Row
from netsvc.interfaces import IFactArchive
from netsvc.journal.query import After, Filter
from netsvc.journal.reading import Delivery, Gap
from netsvc.journal.timeline import Timeline
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import Following, Watchers

from .rows import origin, seqs

PLENTY = 1 << 40
EVERYTHING = Filter()

#: When the tests begin, in seconds since the epoch.
START = 1_795_177_666


class AskedFacts(Facts):
    """A dispatcher that knows how many archives it has."""

    archives = 0

    def keep(self, archive: IFactArchive) -> Callable[[], None]:
        forget = super().keep(archive)
        self.archives += 1

        def forget_counted() -> None:
            self.archives -= 1
            forget()

        return forget_counted


class SlowTimeline(Timeline):
    """A timeline that takes time to read."""

    read_seconds = 0.0
    slices = 0

    def __init__(self, clock: Clock, memory: int, flush: Callable[[], None], began: int = 0) -> None:
        super().__init__(memory, flush, began)
        self._clock = clock

    def since(self, after: int, limit: int | None = None) -> list[Row]:
        self._clock.rightNow += self.read_seconds
        self.slices += 1
        return super().since(after, limit)


class WatchRig:
    """What is needed for watching, put together as the daemon does."""

    def __init__(self, memory: int = PLENTY, **limits: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = float(START)
        self.facts = AskedFacts(clock=self.now, later=self.clock.callLater)
        self.timeline = SlowTimeline(self.clock, memory, self.facts.flush)
        self.facts.keep(self.timeline)
        self.clients = ClientList(self.clock)
        self.encoded: list[Delivery] = []
        self.watchers = Watchers(
            self.facts, self.timeline, self.clients, self.clock, WatchLimits(**limits), self._encode
        )

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return round(self.clock.seconds() * 1_000_000) * 1000

    def emit(self, *data: bytes, connection: int | None = 7, kind: str = RECEIVED) -> None:
        """Note facts, without handing them on."""
        for one in data:
            self.facts.emit(kind, origin(connection), one)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Hand on what was noted, and let everybody have their turns."""
        self.clock.pump([seconds / 100] * 100)

    def follow(self, wanted: Filter = EVERYTHING, after: After = 0, **others: Any) -> Follower:
        """Follow, and keep what is delivered."""
        return Follower(self, wanted, after, **others)

    def _encode(self, delivery: Delivery) -> bytes:
        self.encoded.append(delivery)
        return b" ".join(row[5] for row in delivery.rows)


class Follower:
    """Somebody who keeps what is delivered."""

    def __init__(
        self,
        rig: WatchRig,
        wanted: Filter,
        after: After,
        then: Callable[[], None] = lambda: None,
        limit_bytes: int = PLENTY,
        rate: int | None = None,
    ) -> None:
        """
        @param then: called at each delivery.
        """
        self.deliveries: list[Delivery] = []
        self.dropped: list[str] = []
        self._then = then
        self.following: Following = rig.watchers.follow(
            wanted, after, self._deliver, limit_bytes, self.dropped.append, rate
        )

    def _deliver(self, delivery: Delivery) -> None:
        assert delivery.rows or delivery.gap
        self.deliveries.append(delivery)
        self._then()

    @property
    def data(self) -> list[bytes]:
        """The data of the facts that were delivered."""
        return [row[5] for delivery in self.deliveries for row in delivery.rows]

    @property
    def seqs(self) -> list[int]:
        """The seqs of the facts that were delivered."""
        return [seq for delivery in self.deliveries for seq in seqs(delivery.rows)]

    @property
    def gaps(self) -> list[Gap]:
        """What was lost."""
        return [delivery.gap for delivery in self.deliveries if delivery.gap is not None]
