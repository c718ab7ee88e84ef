"""
Waiting for facts, and following them as they come, while services go on undisturbed.

Everybody who watches is a place in the facts (`netsvc.journal.reading`), and new facts only wake those places
(`netsvc.journal.turns`): what is read is always read from the store behind a place, so that what was there
before and what comes are the same thing to a watcher, and one that is slow or pauses holds nothing but its
place. Who falls behind what the store has is given that from where it is kept for longer
(`netsvc.journal.past`), and told what it has missed where it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from netsvc.facts import Facts, Row
from netsvc.interfaces import IClientStore, IFactHistory, IFactStore
from netsvc.journal.newest import Newest
from netsvc.journal.past import Past
from netsvc.journal.query import After, Filter, Matcher, Page
from netsvc.journal.reading import Delivery, Gap, Reading, Terms, cost_of, joined, json_of
from netsvc.journal.turns import Turns, WatchLimits

#: Seconds beyond its time that a wait has for what is under way to it.
_MOMENT = 1.0

_T = TypeVar("_T")


class TooManyWatchersError(Exception):
    """There are as many watchers as there may be; the text is for whoever wanted to be another."""


class Found(NamedTuple):
    """
    What a wait ended with.

    @ivar rows: the facts that fit.
    @ivar last: the seq up to which facts were looked at: the next wait goes on after it.
    @ivar enough: whether they are as many as were waited for.
    @ivar more: whether there are facts that were not looked at: behind `last`, or before `before`.
    @ivar gap: what was lost of what was asked for, or None.
    @ivar before: where the newest come first, the seq before which to go on; else None.
    """

    rows: list[Row]
    last: int
    enough: bool
    more: bool = False
    gap: Gap | None = None
    before: int | None = None


class _Waiting:
    """
    Somebody who waits for a number of facts.

    @ivar reading: where it reads on; see `netsvc.journal.turns.Reader`.
    @ivar answer: fires with `Found`.
    """

    def __init__(self, reading: Reading, turns: Turns, left: Callable[[_Waiting], None]) -> None:
        """
        @param left: called when there is an answer, or nobody waits for one any more.
        """
        self.reading = reading
        self.answer: Deferred[Found] = Deferred(lambda _: self._leave())
        self._turns = turns
        self._left = left
        self._found: list[Row] = []
        self._room = reading.terms.limit_bytes
        self._gap: Gap | None = None
        self._until: int | None = None
        self._timer: IDelayedCall | None = None
        self._clock: IReactorTime | None = None

    def expire_in(self, seconds: float, clock: IReactorTime) -> None:
        """Give up after some time, when everything that is there then has been looked at."""
        if seconds > 0:
            self._clock = clock
            self._timer = clock.callLater(seconds, self._expire)
        else:
            self._expire()

    def take(self, delivery: Delivery) -> None:
        """See `netsvc.journal.turns.Reader`."""
        self._found += delivery.rows
        self._gap = joined(self._gap, delivery.gap)
        self._room -= sum(map(cost_of, delivery.rows))
        terms = self.reading.terms
        missing = terms.facts - len(delivery.rows)
        if missing > 0 and self._room > 0:
            self.reading.terms = replace(terms, facts=missing, limit_bytes=self._room)
            if delivery.more and self._until is not None:
                # There may be any number of facts to come, and the time is over.
                self._end(enough=False)
            else:
                self._give_up_at_the_end()
        else:
            self._end(enough=missing <= 0)

    def end(self, why: str) -> None:
        """There will be nothing more to wait for."""
        self._end(enough=False)

    def _expire(self) -> None:
        overdue = self._until is not None
        self._timer = None
        self._until = self._until or self._turns.end()
        if not self._turns.looks_back(self.reading):
            self._give_up_at_the_end()
        elif overdue:
            self._end(enough=False)
        elif self._clock is not None:
            # What is under way is worth a moment, or the same question would come no farther the next time.
            self._timer = self._clock.callLater(_MOMENT, self._expire)

    def _give_up_at_the_end(self) -> None:
        if self._until is not None and self.reading.place >= self._until:
            self._end(enough=False)

    def _end(self, enough: bool) -> None:
        self._leave()
        place = self.reading.place
        self.answer.callback(Found(self._found, place, enough, place < self._turns.end(), self._gap))

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._turns.leave(self)
        self._left(self)


class Following:
    """
    Somebody who is shown facts as they come.

    @ivar reading: where it reads on; see `netsvc.journal.turns.Reader`.
    """

    _log = Logger()

    def __init__(
        self,
        reading: Reading,
        turns: Turns,
        left: Callable[[Following], None],
        deliver: Callable[[Delivery], None],
        dropped: Callable[[str], None],
        patience: Callable[[Callable[[], None]], IDelayedCall | None],
    ) -> None:
        """
        @param left: called when it has ended.
        @param deliver: given what fits.
        @param dropped: told why, when it did not end itself.
        @param patience: calls something when a pause has lasted too long.
        """
        self.reading = reading
        self._turns = turns
        self._left = left
        self._deliver = deliver
        self._dropped = dropped
        self._patience = patience
        self._timer: IDelayedCall | None = None
        self._ended = False
        self._paused = False

    @property
    def place(self) -> int:
        """The seq up to which facts were looked at: whoever follows again goes on after it."""
        return self.reading.place

    def pause(self) -> None:
        """Be given nothing until `resume`."""
        if not (self._ended or self._paused):
            self._paused = True
            self._turns.leave(self)
            self._timer = self._patience(lambda: self.end("it was paused for too long"))

    def resume(self) -> None:
        """Be given what has come meanwhile and is still there, and what comes."""
        if self._paused and not self._ended:
            self._paused = False
            self._cancel_timer()
            self._turns.read_on(self, paced=True)

    def stop(self) -> None:
        """Be given nothing any more."""
        if not self._ended:
            self._ended = True
            self._cancel_timer()
            self._turns.leave(self)
            self._left(self)

    def take(self, delivery: Delivery) -> None:
        """See `netsvc.journal.turns.Reader`."""
        # Another one who was given the same may have ended this one.
        if self._ended or not (delivery.rows or delivery.gap):
            return
        try:
            self._deliver(delivery)
        except Exception as error:  # noqa: BLE001 - it may be anybody's and may raise anything
            self._log.error("a watcher of the timeline failed and is dropped: {error}", error=repr(error))
            self.end("it failed")

    def end(self, why: str) -> None:
        """Drop it."""
        if self._ended:
            return
        self.stop()
        try:
            self._dropped(why)
        except Exception as error:  # noqa: BLE001 - as above
            self._log.error("a watcher of the timeline failed as it was dropped: {error}", error=repr(error))

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class Watchers:
    """All who watch the facts of this process."""

    def __init__(
        self,
        facts: Facts,
        store: IFactStore,
        clients: IClientStore,
        clock: IReactorTime,
        limits: WatchLimits | None = None,
        encode: Callable[[Delivery], bytes] | None = None,
        history: IFactHistory | None = None,
    ) -> None:
        """
        @param facts: where new facts come from.
        @param store: where they are read from; it has what `facts` has handed on.
        @param clients: knows the clients' names.
        @param limits: None is the defaults.
        @param encode: makes `Delivery.encoded`; None is `json_of`.
        @param history: has what leaves the store; None: nobody has.
        """
        self._store = store
        self._name_of = clients.name_of
        self._clock = clock
        self._limits = limits or WatchLimits()
        encode = encode or (lambda delivery: json_of(delivery, self._name_of))
        self._past = None if history is None else Past(history, store, clients, clock)
        self._turns = Turns(facts, store, clock, self._limits, encode, self._past)
        self._watchers: set[Following | _Waiting] = set()
        # How many look for the newest facts.
        self._looking = 0
        # What was seen before the places at which somebody stopped reading lately.
        self._known: OrderedDict[tuple[Filter, int], Matcher] = OrderedDict()

    def allow(self, watchers: int) -> None:
        """Let there be so many at once from now on; those who watch go on."""
        self._limits = replace(self._limits, watchers=watchers)

    def __len__(self) -> int:
        """How many there are, paused ones too."""
        return len(self._watchers) + self._looking

    # -- what others ask ---------------------------------------------------------------------------------

    def wait(self, wanted: Filter, count: int, after: After, timeout: float) -> Deferred[Found]:
        """
        Wait until there are some facts that fit.

        Facts that are there already count; so whoever goes on after `Found.last` misses none and gets none
        twice.

        @param count: how many, at least 1.
        @param after: only facts with a greater seq; ``last`` is from now on.
        @param timeout: seconds after which to give up; with 0 it only looks at what is there.
        @return: fires with `Found`, its rows oldest first, also when the time is over. Cancelling it ends the
            wait. Fails with `TooManyWatchersError`.
        """
        terms = Terms(wanted, count, self._limits.wait_bytes, sampled=False)
        try:
            waiting = _Waiting(self._begin(terms, after), self._turns, self._forget)
        except TooManyWatchersError:
            return fail()
        self._watchers.add(waiting)
        self._turns.read_on(waiting, paced=False)
        waiting.expire_in(timeout, self._clock)
        return waiting.answer

    def read(self, wanted: Filter, page: Page) -> Deferred[Found]:
        """
        Read a part of the facts that are there.

        Of what has left the store it looks at a bounded part.

        @return: fires with `Found`: its rows in the order of the page, `last` the seq up to which facts were
            looked at, `enough` whether they are as many as the page may have. Fails with
            `TooManyWatchersError`.
        """
        if page.order == "oldest":
            return self.wait(wanted, page.limit, page.after, 0).addCallback(_up_to, page.before)
        try:
            self._admit()
        except TooManyWatchersError:
            return fail()
        self._looking += 1
        return ensureDeferred(self._read_newest(wanted, page)).addBoth(self._has_looked)

    async def _read_newest(self, wanted: Filter, page: Page) -> Found:
        limits, past, last = self._limits, self._past, self._turns.end()
        until = last if page.before is None else min(last, page.before - 1)
        after = last if page.after == "last" else page.after
        begin = after if past is None else max(after, min(past.reach(wanted), until))
        looking = Newest(begin, until, page.limit, limits.wait_bytes, limits.slice_rows)
        if wanted.looks_back:
            if past is not None and begin > after:
                matcher = await past.matcher_at(wanted, begin)
            else:
                matcher = self._matcher_at(wanted, begin)
            rows, reached = await looking.after_all(self._store, matcher, self._clock, past is not None)
        else:
            matcher = Matcher(wanted, self._name_of)
            rows, reached = await looking.before_all(self._store, matcher, self._clock)
        reached = min(reached, until)
        gap = self.gap(after) if past is None else None
        missing, room = page.limit - len(rows), limits.wait_bytes - sum(map(cost_of, rows))
        if past is not None and missing > 0 and room > 0 and after < reached:
            older = await past.before(wanted, after, reached, missing, room)
            if older is None:
                return await self._read_newest(wanted, page)
            rows, reached, gap = rows + older.rows, older.place, older.gap
        more = max(after, 0 if past else self._store.gone) < reached
        return Found(rows, last, len(rows) == page.limit, more, gap, reached + 1)

    def follow(
        self,
        wanted: Filter,
        after: After,
        deliver: Callable[[Delivery], None],
        limit_bytes: int,
        dropped: Callable[[str], None],
        rate: int | None = None,
    ) -> Following:
        """
        Be given what is there and then what comes, until further notice.

        @param after: only facts with a greater seq; ``last`` is from now on, 0 from the oldest that is there.
        @param deliver: called with facts that fit, from a later turn of the reactor on; one that raises is
            dropped.
        @param limit_bytes: how large a delivery is as JSON, more or less.
        @param dropped: called once with why, in one line, when there will be no more for another reason than
            `Following.stop`.
        @param rate: facts in one delivery; what fits beyond that is only counted (`Delivery.left_out`). None
            has every fact delivered.
        @raise TooManyWatchersError: there are too many.
        """
        terms = Terms(wanted, rate or self._limits.facts, limit_bytes, sampled=rate is not None)
        reading = self._begin(terms, after)
        following = Following(reading, self._turns, self._forget, deliver, dropped, self._be_patient)
        self._watchers.add(following)
        self._turns.read_on(following, paced=True)
        return following

    def gap(self, after: int) -> Gap | None:
        """
        Whether there were facts behind a seq that the store does not have any more.

        @param after: the seq of a fact; with 0 there is no gap: who asks for all asks for what is there.
        """
        gone = self._store.gone
        return Gap(after, gone, None) if 0 < after < gone else None

    def stop(self) -> None:
        """The daemon ends: answer those who wait with what they have, and drop the others."""
        for watcher in tuple(self._watchers):
            # One may have ended another meanwhile.
            if watcher in self._watchers:
                watcher.end("the daemon is stopping")

    def _admit(self) -> None:
        """@raise TooManyWatchersError: there are as many as there may be."""
        if len(self) >= self._limits.watchers:
            raise TooManyWatchersError(f"there are {self._limits.watchers} watchers of the timeline already")

    def _has_looked(self, found: _T) -> _T:
        self._looking -= 1
        return found

    # -- their places ------------------------------------------------------------------------------------

    def _begin(self, terms: Terms, after: After) -> Reading:
        """A place for one more watcher."""
        self._admit()
        if after == "last":
            seq = self._turns.end()
        else:
            seq = after if self._past else after or self._store.gone
        return Reading(terms, seq, self._matcher_at(terms.wanted, seq), self._is_primed(terms.wanted, seq))

    def _matcher_at(self, wanted: Filter, seq: int) -> Matcher:
        """One that has seen what comes before a place."""
        known = self._known.get((wanted, seq))
        if known is not None:
            return known.copy()
        matcher = Matcher(wanted, self._name_of)
        if wanted.looks_back:
            matcher.prime(reversed(self._store.before(seq + 1, self._limits.context)))
        return matcher

    def _is_primed(self, wanted: Filter, seq: int) -> bool:
        """Whether what comes before a place could be looked at: it is known, or not gone."""
        return (wanted, seq) in self._known or seq >= self._store.gone

    def _forget(self, watcher: Following | _Waiting) -> None:
        """A watcher is no more; somebody may go on where it was."""
        self._watchers.discard(watcher)
        reading = watcher.reading
        wanted, seq = reading.terms.wanted, reading.place
        if wanted.looks_back and reading.primed:
            self._known[wanted, seq] = reading.matcher()
            self._known.move_to_end((wanted, seq))
            if len(self._known) > self._limits.remembered:
                self._known.popitem(last=False)

    def _be_patient(self, end: Callable[[], None]) -> IDelayedCall | None:
        """Call something when the patience with a paused follower is over."""
        return self._clock.callLater(self._limits.patience, end) if self._limits.patience else None


def _up_to(found: Found, before: int | None) -> Found:
    """What was found of facts with a lesser seq."""
    if before is None or found.last < before - 1:
        return found
    rows = [row for row in found.rows if row[0] < before]
    return found._replace(
        rows=rows, last=max(0, before - 1), enough=found.enough and rows == found.rows, more=False
    )
