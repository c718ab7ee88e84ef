"""
Gives back to the system, once a minute, the memory that the C library keeps though nobody uses it.

What a crowd of clients needed for a moment lies free between things that stay, and glibc gives back by itself
only what lies at the end. The daemon's memory would creep up to the most that each of its parts ever needed,
and not come down again. See malloc_trim(3); where the C library has none, it is left to do as it does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

#: Seconds. It takes 1 to 20 ms, for 10 to 300 MiB that are free, and what is wanted again costs as much anew.
_INTERVAL = 60.0


def malloc_trim() -> Callable[[int], object] | None:
    """
    Find malloc_trim(3).

    @return: it takes how many bytes to keep at the end; None where there is none, as with musl or on macOS.
    """
    found: Callable[[int], object] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


def trim_from_now_on(clock: IReactorTime, trim: Callable[[int], object] | None) -> None:
    """
    Give memory back again and again.

    @param trim: what `malloc_trim` returned.
    """
    if trim is None:
        return

    def again() -> None:
        trim(0)
        clock.callLater(_INTERVAL, again)

    clock.callLater(_INTERVAL, again)
