"""
When the messages of a load leave: the next when an answer has come, or at a fixed rate, whatever comes.

At a fixed rate a message has its time before anything is sent. If it cannot leave then, because too many wait
for their answers or the server does not read, it leaves later and its latency still counts from its time: a
server that stops for a second is seen as that, and not as one slow answer (coordinated omission).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol

from netsvc.commands.loadstream import Flow
from netsvc.commands.loadtally import Tally

#: Nanoseconds from one time at which messages leave to the next, at the least: they share the cost of waking.
FINEST = 200_000


class Course(Protocol):
    """When messages leave."""

    def begin(self, flows: Sequence[Flow], now: int) -> None:
        """Send the first ones."""

    def freed(self, flow: Flow, answered: int, now: int) -> None:
        """Messages of a flow were answered, or given up; see `netsvc.commands.loadstream.Freed`."""

    def is_over(self) -> bool:
        """Whether no more will leave."""

    def time_is_over(self) -> None:
        """The time for which messages were asked for is over."""

    def close(self) -> None:
        """Let no more leave."""

    def unsent(self) -> int:
        """How many were to leave and did not."""


class ClosedLoop:
    """A message leaves when there is room for it: when an answer has come."""

    def __init__(self, count: int | None) -> None:
        """@param count: how many leave; None leaves that to `close`."""
        self._left = count
        self._closed = False

    def begin(self, flows: Sequence[Flow], now: int) -> None:
        """See `Course`."""
        for flow in flows:
            self.freed(flow, 0, now)

    def freed(self, flow: Flow, answered: int, now: int) -> None:
        """See `Course`."""
        number = flow.room()
        if self._left is not None:
            number = min(number, self._left)
            self._left -= number
        if number and not self._closed:
            flow.send([now] * number)

    def is_over(self) -> bool:
        """See `Course`."""
        return self._closed or self._left == 0

    def time_is_over(self) -> None:
        """See `Course`: nobody waits for one that has not left."""
        self.close()

    def close(self) -> None:
        """See `Course`."""
        self._closed = True

    def unsent(self) -> int:
        """Nothing has a time at which it should have left."""
        return 0


class FixedRate:
    """Each message has its time; the flows take turns."""

    def __init__(
        self,
        rate: float,
        total: int,
        tally: Tally,
        clock: Callable[[], int],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """
        @param rate: messages a second, over all flows.
        @param total: how many.
        @param tally: learns how late messages left.
        @param clock: nanoseconds.
        @param call_later: takes seconds and what to call then; there is one such call at a time.
        """
        self._interval = 1e9 / rate
        self._total = total
        self._tally = tally
        self._clock = clock
        self._call_later = call_later
        self._flows: Sequence[Flow] = ()
        self._places: dict[Flow, int] = {}
        self._start = 0
        self._due = 0
        self._sent: list[int] = []
        self._owed: list[int] = []
        self._closed = False

    def begin(self, flows: Sequence[Flow], now: int) -> None:
        """See `Course`."""
        self._flows = flows
        self._places = {flow: place for place, flow in enumerate(flows)}
        self._sent = [0] * len(flows)
        self._owed = [0] * len(flows)
        self._start = now
        self._wake()

    def freed(self, flow: Flow, answered: int, now: int) -> None:
        """See `Course`."""
        place = self._places[flow]
        if self._owed[place]:
            self._send(place)

    def is_over(self) -> bool:
        """See `Course`."""
        if self._closed:
            return True
        return self._due == self._total and not any(
            owed and flow.alive() for owed, flow in zip(self._owed, self._flows, strict=True)
        )

    def time_is_over(self) -> None:
        """See `Course`: what has become due may still leave, late."""

    def close(self) -> None:
        """See `Course`."""
        self._closed = True

    def unsent(self) -> int:
        """See `Course`."""
        return self._total - sum(self._sent)

    def _wake(self) -> None:
        if self._closed:
            return
        now = self._clock()
        due = min(self._total, int((now - self._start) / self._interval) + 1)
        fresh, first = range(self._due, due), self._due
        self._due = due
        places = [number % len(self._flows) for number in fresh]
        for place in places:
            self._owed[place] += 1
        for place in dict.fromkeys(places):
            times = self._send(place)
            # Only what has become due now: if the rest is late, the server is the reason.
            self._tally.lateness.fresh += [now - time for time in times if time >= self._time_of(first)]
        if due < self._total:
            self._call_later(max(self._time_of(due) - self._clock(), FINEST) / 1e9, self._wake)

    def _send(self, place: int) -> list[int]:
        flow = self._flows[place]
        number = min(self._owed[place], flow.room())
        if not number or self._closed:
            return []
        begin = self._sent[place]
        times = [self._time_of(place + i * len(self._flows)) for i in range(begin, begin + number)]
        self._owed[place] -= number
        self._sent[place] += number
        flow.send(times)
        return times

    def _time_of(self, number: int) -> int:
        return self._start + int(number * self._interval)


class FineTimer:
    """
    Calls the reactor back at a time that is exact to about a twentieth of a millisecond.

    A reactor's own timers wake it in whole milliseconds: many messages would be late. A thread waits instead,
    for the time of a with statement; it is idle otherwise.
    """

    def __init__(self, reactor: Any) -> None:
        """@param reactor: is called from the thread."""
        self._reactor = reactor
        self._changed = threading.Condition()
        self._next: tuple[float, Callable[[], None]] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._wait, name="netsvc bench timer", daemon=True)

    def __enter__(self) -> FineTimer:
        self._thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """
        Have something called, in the reactor's thread.

        @param seconds: from now.
        @param function: replaces one that was not called yet.
        """
        with self._changed:
            self._next = (monotonic() + seconds, function)
            self._changed.notify()

    def _wait(self) -> None:
        with self._changed:
            while not self._stopped:
                if self._next is None:
                    self._changed.wait()
                    continue
                time, function = self._next
                left = time - monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._next = None
                self._reactor.callFromThread(function)
