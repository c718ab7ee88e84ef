"""A journal that records when a made input says so, or fails to."""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.defer import Deferred

from netsvc.interfaces import IJournal


@implementer(IJournal)
class Disk:
    """
    See `IJournal`.

    @ivar asked: messages whose record somebody waits for, or has waited for.
    @ivar safe: those of them that are recorded.
    """

    broken = ""
    lost = 0
    lag = 0.0

    def __init__(self) -> None:
        self.asked = self.safe = 0
        self._waiting: list[Deferred[bool]] = []

    def recorded(self) -> Deferred[bool]:
        """See `IJournal`."""
        self.asked += 1
        waiting: Deferred[bool] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def commit(self, safe: bool) -> None:
        """Have everything until now on disk, or nothing of it."""
        ended, self._waiting = self._waiting, []
        self.safe += len(ended) if safe else 0
        for waiting in ended:
            waiting.callback(safe)
