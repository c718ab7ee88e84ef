"""
What is told to a service supervisor: that netsvc is ready, that it stops, and that its event loop turns.

systemd gives the address of a datagram socket and takes lines of text there (sd_notify(3)); the messages
are few and stable, so they are written here and no library is needed. Without a supervisor nothing is said.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Seconds that telling of a state may wait while the supervisor's queue is full. It is not told twice, and a
#: supervisor that never hears READY=1 ends the daemon.
_PATIENCE = 1.0

#: How often the supervisor hears of the event loop within the time in which it must: sd_watchdog_enabled(3)
#: recommends twice.
_TIMES = 2

_log = Logger()


class Notifier:
    """
    The supervisor that started this process, if one did.

    @ivar watchdog: seconds within which it must hear `alive` again; 0 where it does not ask for that.
    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """
        @param environ: with NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are taken out of it: they
            are nothing for child processes.
        """
        self._address = environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self.watchdog = 0.0
        if (
            self._address
            and pid in ("", str(os.getpid()))
            and microseconds.isascii()
            and microseconds.isdigit()
        ):
            self.watchdog = int(microseconds) / 1e6

    def ready(self, status: str) -> None:
        """
        Everything is open; also said when a reload is over.

        @param status: one line for whoever asks the supervisor how it is.
        """
        self._tell("READY=1", _status(status))

    def reloading(self) -> None:
        """The configuration is being read again; `ready` says when that is over."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(
            "RELOADING=1", f"MONOTONIC_USEC={microseconds}", _status("reading its configuration again")
        )

    def stopping(self, seconds: float = 0.0) -> None:
        """
        The stop has begun.

        @param seconds: how long it may take; the supervisor waits as long, even where it would not have.
        """
        more = [f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}"] if seconds else []
        self._tell("STOPPING=1", _status("stopping"), *more)

    def alive(self) -> None:
        """The event loop turns. It waits for nothing: what is not heard now is said again soon."""
        self._tell("WATCHDOG=1", patience=0.0)

    def _tell(self, *lines: str, patience: float = _PATIENCE) -> None:
        if not self._address:
            return
        # A name that begins with @ is in the abstract namespace, which has NUL there (unix(7)).
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(patience)
                sock.sendto("\n".join(lines).encode(errors="backslashreplace"), address)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            _log.warn("the service supervisor does not hear {what}: {reason}", what=lines[0], reason=reason)


class Watchdog:
    """
    Says again and again that the event loop turns.

    It is the loop itself that says it, so a loop that is held up says nothing, and the supervisor ends the
    process and starts another.
    """

    def __init__(self, notifier: Notifier, clock: IReactorTime) -> None:
        """
        @param notifier: is told; where it asks for nothing, this does nothing.
        @param clock: the reactor whose turning it is.
        """
        self._notifier = notifier
        self._clock = clock
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Say it now and from now on."""
        if self._notifier.watchdog:
            self._notifier.alive()
            self._next = self._clock.callLater(self._notifier.watchdog / _TIMES, self.start)

    def stop(self) -> None:
        """Say it no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"
