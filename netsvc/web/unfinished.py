"""
Messages that have begun and not ended, of all WebSockets of a site.

Each may be as long as the limit for one says, which thousands of peers could multiply. So together they have
a size, of which each has an equal share: a few may be as long as any, and many take no more than those.
"""

from __future__ import annotations

#: Bytes of all of them.
TOGETHER = 64 * 1024 * 1024


class Unfinished:
    """Who has something of a message and not all of it."""

    def __init__(self, together: int = TOGETHER) -> None:
        """@param together: bytes of all of them."""
        self._together = together
        self._holders: set[object] = set()

    def add(self, holder: object) -> None:
        """Somebody's message has begun."""
        self._holders.add(holder)

    def discard(self, holder: object) -> None:
        """It has ended, or will not any more."""
        self._holders.discard(holder)

    def share(self) -> int:
        """Bytes that one message may have, for all that others need."""
        return self._together // max(1, len(self._holders))
