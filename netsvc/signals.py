"""
A second SIGTERM or SIGINT; and SIGHUP.

The first one is Twisted's to take; it asks the reactor to stop. A second one would ask again and only earn an
error in the log, so the daemon takes that itself: from the first one on, which may be long before the reactor
gets to stopping, and all of them while it stops.

SIGHUP ends a process that does nothing about it, and Twisted does nothing. Here it is taken from as early as
possible until the end, and waits for whoever it is for.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Hangup:
    """SIGHUP, from when this is made."""

    def __init__(self) -> None:
        """Outside the main thread, where Python takes no signals, nothing is changed."""
        self._call: Callable[[], object] | None = None
        self._missed = False
        # A program that netsvc is a part of may have something of its own to do.
        self._former: Any = None
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGHUP, self._take)

    def tell(self, call: Callable[[], object]) -> None:
        """
        Have a function called for each signal from now on, and now if there was one before.

        @param call: called in the main thread, between any two steps of the program.
        """
        self._call = call
        if self._missed:
            call()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._call is None:
            self._missed = True
        else:
            self._call()
        if callable(self._former):
            self._former(number, frame)


def after_first_signal(call: Callable[[], object]) -> None:
    """
    Leave the next SIGTERM or SIGINT to whoever takes it now, and have a function called for each later one.

    @param call: called in the main thread, between any two steps of the program. A signal that nobody in
        Python takes is left as it is; outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    first: list[int] = []

    def taking(former: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def take(number: int, frame: FrameType | None) -> None:
            if first:
                call()
            else:
                first.append(number)
                former(number, frame)

        return take

    for number in _STOPPING:
        former = signal.getsignal(number)
        if callable(former):
            signal.signal(number, taking(former))


def on_signals(call: Callable[[], object]) -> Callable[[], None]:
    """
    Have a function called for each SIGTERM and SIGINT from now on.

    @param call: called in the main thread, between any two steps of the program.
    @return: call it to put the former signal dispositions back. Outside the main thread, where Python takes
        no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def take(number: int, frame: FrameType | None) -> None:
        call()

    former = [(number, signal.signal(number, take)) for number in _STOPPING]

    def restore() -> None:
        for number, disposition in former:
            # None stands for a disposition that was not installed from Python and cannot be put back by it.
            if disposition is not None:
                signal.signal(number, disposition)

    return restore
