"""How late the reactor is: what every connection of the daemon waits for, whoever is the cause."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds between two looks; each costs a few microseconds.
INTERVAL = 0.25

#: Upper bounds of the histogram's buckets, in seconds: a message, a slice of an answer, a stall one sees.
BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Lag:
    """
    Asks to be called, and sees how much too late that happens.

    @ivar last: seconds, at the last look.
    @ivar total: seconds, of all looks.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """@param clock: the reactor."""
        self.last = 0.0
        self.total = 0.0
        self._clock = clock
        self._counts = [0] * (len(BOUNDS) + 1)
        self._call: IDelayedCall | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def buckets(self) -> list[tuple[str, float]]:
        """How many looks were at most so late, as a histogram of Prometheus's has it."""
        bounds = [*map(str, BOUNDS), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))

    def _look(self) -> None:
        late = max(0.0, self._clock.seconds() - self._due)
        self.last = late
        self.total += late
        self._counts[bisect_left(BOUNDS, late)] += 1
        self.start()
