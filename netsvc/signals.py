"""
A second SIGTERM or SIGINT while the daemon stops.

The first one is Twisted's to take; it asks the reactor to stop. A second one would ask again and only earn an
error in the log, so while it stops the daemon takes them itself.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT)


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
