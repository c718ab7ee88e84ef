"""A log that what comes from the net cannot flood: the same line over and over is said once a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

#: Seconds between two lines of one kind.
_LOG_SECONDS = 1.0


class RareLog:
    """Says one line of each kind per second at most, and in the next one how many were left out."""

    def __init__(self, log: Logger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._next: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def warn(self, kind: str, text: str, **fields: Any) -> None:
        """
        @param kind: what lines are counted by; one of a few.
        @param text: the format; fields hold everything that came from elsewhere.
        """
        if self._may_say(kind):
            self._log.warn(text + self._left_out(kind), **fields)

    def failure(self, kind: str, text: str, **fields: Any) -> None:
        """The same with the traceback of the exception that is being handled."""
        if self._may_say(kind):
            self._log.failure(text + self._left_out(kind), **fields)

    def _may_say(self, kind: str) -> bool:
        now = self._clock()
        # A clock that was set back would silence it for as long.
        if now < self._next.get(kind, now) <= now + _LOG_SECONDS:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return False
        self._next[kind] = now + _LOG_SECONDS
        return True

    def _left_out(self, kind: str) -> str:
        unsaid = self._unsaid.pop(kind, 0)
        return f" (and {unsaid} more since the last such line)" if unsaid else ""
