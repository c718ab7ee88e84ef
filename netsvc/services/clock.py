"""
How a moment reads: the forms of time that several services write, in one place so that they agree.

A moment is a whole number of nanoseconds since the epoch (`time.time_ns`): exact, where a float of seconds
no longer holds a microsecond in every case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

SECOND = 1_000_000_000
MICROSECOND = 1_000

#: Gives the moment that it is, in nanoseconds since the epoch.
Now = Callable[[], int]


def ctime(moment: int) -> str:
    """
    Local time as C's ``ctime`` has it, without the newline: ``Thu Sep 15 22:29:12 2016``.

    @param moment: nanoseconds since the epoch.
    @return: 24 characters, English in every locale.
    """
    return time.ctime(moment // SECOND)


def iso(moment: int) -> str:
    """
    UTC as ISO 8601 and RFC 3339 section 5.6 have it, to the microsecond: ``2016-09-15T20:29:12.000001Z``.

    @param moment: nanoseconds since the epoch.
    @return: 27 characters.
    """
    seconds, rest = divmod(moment, SECOND)
    whole = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // MICROSECOND, tzinfo=None)
    return whole.isoformat(timespec="microseconds") + "Z"
