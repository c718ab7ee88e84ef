"""
A moment as people and programs write one: a number of nanoseconds, a date and time, or how long ago it was.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

#: What is expected of one, for messages.
EXPECTED = (
    "nanoseconds since the epoch, a time such as 2026-07-01T12:30:00Z, "
    "or how long ago, such as 90s, 15m, 2h or 3d"
)

#: The last moment that there is: nanoseconds have 63 bits, which is in the year 2262.
LAST = (1 << 63) - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,10})([smhd])")

#: A whole number: digits that `datetime.fromisoformat` would take for a date are one too.
_NUMBER = re.compile(r"[0-9]+")
_DIGITS = 19

#: An offset whose plus sign a query has made a space of, behind a date and a time.
_SPOILT_PLUS = re.compile(r"(T[^ ]*) (?=[0-9]{2}:?[0-9]{2}$)")


def moment(text: str, now: int) -> int:
    """
    Read a moment.

    @param text: nanoseconds since the epoch; ISO 8601, in this machine's local time where it has no offset;
        or a span back from now.
    @param now: nanoseconds since the epoch.
    @return: nanoseconds since the epoch, 0 to `LAST`: what is beyond that is the nearest of these.
    @raise ValueError: it is none.
    """
    if _NUMBER.fullmatch(text):
        return LAST if len(text) > _DIGITS else min(int(text), LAST)
    if span := _SPAN.fullmatch(text):
        return _within(now - int(span[1]) * _UNITS[span[2]] * _SECOND)
    read = datetime.fromisoformat(_SPOILT_PLUS.sub(r"\1+", text))
    try:
        since_epoch = (read if read.tzinfo else read.astimezone()) - _EPOCH
    except (ValueError, OverflowError, OSError):
        # The local time of a year that has none, at either end of all years.
        return 0 if read.year < _EPOCH.year else LAST
    return _within(since_epoch // timedelta(microseconds=1) * 1000)


def _within(nanoseconds: int) -> int:
    return max(0, min(nanoseconds, LAST))
