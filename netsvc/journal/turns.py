"""
Who reads on from a place in the facts, and when.

New facts wake the places that somebody reads on from. Those take turns, one slice of the facts each; a place
from which somebody is shown what comes waits a little before the next one, so that there is more to show at
once. Who reads the same from the same place shares it. All of it together takes no more than a share of the
process's time: after each turn there is a rest in proportion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zope.interface import implementer

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.facts import Facts, Notes, Row
from netsvc.interfaces import IFactArchive, IFactStore
from netsvc.journal.past import Past
from netsvc.journal.reading import Delivery, Excerpt, Reading, Terms

_log = Logger()


@dataclass(frozen=True)
class WatchLimits:
    """
    What watching may take.

    @ivar watchers: how many there may be at once, waiting, following and paused ones together.
    @ivar interval: seconds between two deliveries to one follower that keeps up: fast enough for eyes.
    @ivar share: of the process's time that watching may take, so that services always have the rest.
    @ivar turn: seconds after which a turn ends, but for the slice that is being read: what a service may have
        to wait for.
    @ivar slice_rows: facts that are looked at in one go.
    @ivar facts: in one delivery, to a follower that asks for no sample.
    @ivar context: facts before a place in which the beginning of a match is looked for, where nobody has read
        up to that place just before.
    @ivar remembered: places at which somebody stopped reading, kept for whoever goes on there: there the
        beginning of a match is known however long ago it was.
    @ivar patience: seconds that a follower may stay paused before it is dropped; 0 is for ever.
    @ivar wait_bytes: how much `Watchers.wait` collects; it answers early with what it has then.
    """

    watchers: int = 256
    interval: float = 0.05
    share: float = 0.25
    turn: float = 0.002
    slice_rows: int = 1000
    facts: int = 200
    context: int = 5000
    remembered: int = 64
    patience: float = 30.0
    wait_bytes: int = 16 * 1024 * 1024


class Reader(Protocol):
    """
    Somebody who reads on.

    @ivar reading: where, and what.
    """

    reading: Reading

    def take(self, delivery: Delivery) -> None:
        """Take what the last slice gave, which may be nothing; it must not raise."""

    def end(self, why: str) -> None:
        """There will be no more; why, in one line."""


@dataclass(eq=False)
class _Place:
    """
    Who reads on from a place.

    @ivar readers: who.
    @ivar paced: whether they wait for the next interval when they have come to the end.
    @ivar due: when they may have their next turn.
    @ivar asked: what is under way to them of what the store does not have any more; meanwhile there is no
        turn.
    """

    readers: list[Reader]
    paced: bool
    due: float = 0.0
    asked: Deferred[None] | None = None


@implementer(IFactArchive)
class Turns:
    """The places that somebody reads on from. While there is none, facts do not pass here at all."""

    def __init__(
        self,
        facts: Facts,
        store: IFactStore,
        clock: IReactorTime,
        limits: WatchLimits,
        encode: Callable[[Delivery], bytes],
        past: Past | None = None,
    ) -> None:
        """
        @param facts: where new facts come from.
        @param store: where they are read from; it has what `facts` has handed on.
        @param encode: makes `Delivery.encoded`.
        @param past: reads what has left the store; None: nobody does.
        """
        self._past = past
        self._facts = facts
        self._store = store
        self._clock = clock
        self._limits = limits
        self._encode = encode
        # Those first whose turn was longest ago.
        self._places: OrderedDict[Reading, _Place] = OrderedDict()
        self._shared: dict[Terms, Reading] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self._next: IDelayedCall | None = None
        self._rest_until = 0.0
        self._slice: tuple[int, list[Row]] | None = None

    def end(self) -> int:
        """The place behind all facts."""
        last: int = self._store.last
        gone: int = self._store.gone
        return max(last, gone)

    def read_on(self, reader: Reader, paced: bool) -> None:
        """
        Read on from a reader's place.

        @param paced: whether a reader who has seen all is given what comes by the interval, and together with
            those who read the same; else at once, and alone.
        """
        reading = reader.reading
        shared = self._shared.get(reading.terms) if paced else None
        if shared is not None and shared.place == reading.place:
            reader.reading = shared
            self._places[shared].readers.append(reader)
            return
        self._places[reading] = _Place([reader], paced)
        if self._past is not None:
            # Those who begin at the end are known to be near to it.
            reading.is_near(self._store, 0)
        if paced and reading.place >= self.end():
            self._shared.setdefault(reading.terms, reading)
        if self._unsubscribe is None:
            self._unsubscribe = self._facts.keep(self)
        self._wake(self.end())

    def leave(self, reader: Reader) -> None:
        """Read no more for a reader, if it does; it keeps a place of its own."""
        reading = reader.reading
        place = self._places.get(reading)
        if place is None:
            return
        place.readers.remove(reader)
        if place.readers:
            reader.reading = reading.copy()
            return
        self._remove(reading)
        if place.asked is not None:
            place.asked.cancel()
        if not self._places:
            self._fall_asleep()

    def looks_back(self, reading: Reading) -> bool:
        """Whether something is under way to a place that the store does not have any more."""
        place = self._places.get(reading)
        return place is not None and place.asked is not None

    def take(self, first: int, notes: Notes) -> None:
        """New facts are there; see `IFactArchive`. They are read later, from the store."""
        self._wake(first + len(notes))

    # -- turns -------------------------------------------------------------------------------------------

    def _wake(self, end: int) -> None:
        """
        See to it that there is a turn when the next of those who are not at the end may have one, no sooner.

        A turn itself may be the reason that new facts are handed on, long before it knows how long to rest.
        """
        waiting = (place.due for reading, place in self._places.items() if _has_turn(reading, place, end))
        due = min(waiting, default=None)
        if due is None:
            return
        now = self._clock.seconds()
        delay = max(0.0, due - now, self._rest_until - now)
        if self._next is None:
            self._next = self._clock.callLater(delay, self._turn)
        else:
            self._next.reset(delay)

    def _fall_asleep(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _turn(self) -> None:
        self._next = None
        began, end = self._clock.seconds(), self.end()
        for reading in tuple(self._places):
            place = self._places.get(reading)
            if place is not None and place.due <= began and _has_turn(reading, place, end):
                self._read(reading, place)
                if self._clock.seconds() - began >= self._limits.turn:
                    break
        self._slice = None
        now = self._clock.seconds()
        self._rest_until = now + (now - began) * (1 / self._limits.share - 1)
        self._wake(self.end())

    def _read(self, reading: Reading, place: _Place) -> None:
        self._places.move_to_end(reading)
        past = self._past
        # What waits is handed on before it is looked at what is gone: it may have others leave.
        self._facts.flush()
        if past is not None and reading.place < self._reach(past, reading, place):
            self._look_back(past, reading, place)
        else:
            self._give(reading, place, reading.read(self._store, self._slice_after, self._encode))

    def _reach(self, past: Past, reading: Reading, place: _Place) -> int:
        """Up to which seq somebody is given what he asks for from elsewhere than the store."""
        # Who is shown what comes is seldom far behind: the store has that at once.
        if place.paced or reading.is_near(self._store, self._limits.slice_rows):
            gone: int = self._store.gone
            return gone
        return past.reach(reading.terms.wanted)

    def _look_back(self, past: Past, reading: Reading, place: _Place) -> None:
        """Read what the store does not have any more, which takes a while."""

        def came(excerpt: Excerpt) -> None:
            place.asked = None
            self._give(reading, place, reading.go_on(excerpt, self._encode))
            self._wake(self.end())

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                _log.failure("while looking back in the timeline", failure)
                for reader in tuple(place.readers):
                    reader.end("it could not be read")

        asked = past.after(reading).addCallback(came)
        place.asked = None if asked.called else asked
        asked.addErrback(failed)

    def _give(self, reading: Reading, place: _Place, delivery: Delivery) -> None:
        # Who is given something may pause or leave at once: its place must already be behind that.
        readers = tuple(place.readers)
        if place.paced and reading.place >= self.end():
            # The same times for all, so that those who read the same come to the same place.
            interval = self._limits.interval
            place.due = (self._clock.seconds() // interval + 1) * interval
            self._share(reading, place)
        for reader in readers:
            reader.take(delivery)

    def _slice_after(self, after: int) -> list[Row]:
        """Facts behind a place, which nearly all who watch have in common."""
        if self._slice is None or self._slice[0] != after:
            self._slice = (after, self._store.since(after, self._limits.slice_rows))
        return self._slice[1]

    def _share(self, reading: Reading, place: _Place) -> None:
        """Let those who read the same and have come to the same place go on together."""
        shared = self._shared.setdefault(reading.terms, reading)
        if shared is not reading and shared.place == reading.place:
            self._places[shared].readers += place.readers
            for reader in place.readers:
                reader.reading = shared
            self._remove(reading)

    def _remove(self, reading: Reading) -> None:
        del self._places[reading]
        if self._shared.get(reading.terms) is reading:
            del self._shared[reading.terms]


def _has_turn(reading: Reading, place: _Place, end: int) -> bool:
    """Whether there is something for a place to read, and nothing under way to it."""
    return reading.place < end and place.asked is None
