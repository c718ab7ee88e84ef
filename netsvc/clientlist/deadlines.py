"""
When entries end, with one delayed call for all of them.

A deadline that is moved or taken away leaves a stale item in the heap, which is cheaper than to look for it.
Stale items go when they come up, or all at once when they are more than the living.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Items that one turn of the reactor looks at, so that 100,000 entries that end together stall nobody.
BATCH = 500

#: Stale items that are not worth a cleaning yet.
_SLACK = 64


class Deadlines:
    """Calls a function for each key whose time has come."""

    def __init__(self, clock: IReactorTime, passed: Callable[[str], None]) -> None:
        """
        @param clock: tells the time and calls back.
        @param passed: called with a key, which has no deadline any more.
        """
        self._clock = clock
        self._passed = passed
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: str, seconds: float) -> None:
        """Let a key's time come that many seconds from now, whatever its deadline was."""
        deadline = self._clock.seconds() + seconds
        self._due[key] = deadline
        heapq.heappush(self._heap, (deadline, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._clean()
        self._call_at(deadline)

    def discard(self, key: str) -> None:
        """Take a key's deadline away, if it has one."""
        self._due.pop(key, None)
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._clean()

    def close(self) -> None:
        """Forget all keys and call back no more."""
        self._due.clear()
        self._heap.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _clean(self) -> None:
        self._heap = [(deadline, key) for key, deadline in self._due.items()]
        heapq.heapify(self._heap)

    def _call_at(self, deadline: float) -> None:
        """See to it that the delayed call comes at this time or before."""
        delay = max(0.0, deadline - self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(delay, self._pass)
        elif deadline < self._call.getTime():
            self._call.reset(delay)

    def _pass(self) -> None:
        self._call = None
        now = self._clock.seconds()
        for _ in range(BATCH):
            if not self._heap:
                return
            deadline, key = self._heap[0]
            living = self._due.get(key) == deadline
            if living and deadline > now:
                break
            heapq.heappop(self._heap)
            if living:
                del self._due[key]
                self._passed(key)
        if self._heap:
            self._call_at(self._heap[0][0])
