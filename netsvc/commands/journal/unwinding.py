"""
How a command ends that works without the reactor: a signal ends whatever it waits for, and what it has opened
is closed, or removed, on the way out.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from netsvc.commands.standard_output import close_output

#: A shell's exit status for a signal is so much more than its number.
_SIGNALLED = 128


@contextmanager
def unwinding() -> Iterator[None]:
    """
    For the time of a with statement, have SIGTERM and SIGHUP end it as Ctrl-C does.

    @raise SystemExit: with 128 more than the signal's number, or with 1 when nobody reads standard output any
        more, without a word.
    @raise KeyboardInterrupt: at Ctrl-C, see `netsvc.commands.main`.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        # nohup has SIGHUP ignored.
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        yield
    except BrokenPipeError:
        close_output()
        raise SystemExit(1) from None


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(_SIGNALLED + number)
