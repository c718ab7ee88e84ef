"""The end of a daemon that cannot go on, told to whoever started it."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

_log = Logger()


def end_in_failure(reactor: Any) -> Callable[[str], None]:
    """
    Make what ends a running daemon with status 1.

    twistd ends with 0 whenever its reactor stops, so the status is set as the interpreter's last act, when
    the log and the pid file have been seen to.

    @param reactor: an `IReactorCore`.
    @return: call it with the reason, in one line.
    """

    def end(line: str) -> None:
        _log.critical("{line}", line=line)
        print(f"netsvc: {line}", file=sys.__stderr__, flush=True)
        atexit.register(_exit_in_failure)
        reactor.callWhenRunning(reactor.stop)

    return end


def _exit_in_failure() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)
