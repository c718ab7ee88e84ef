"""
Does what was written get any further?

A transport tells only that its buffer is full or empty again. With megabytes in the system's buffer a client
that reads slowly can take minutes from one to the other, so this looks at what is really outstanding, ours
and the system's, and calls when none of it has moved for the given time.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

#: Looks taken within the time. The first one only tells what the next can be compared with, so a connection
#: is aborted at most a quarter of the time too late.
_LOOKS = 8

#: Bytes that the system has and the peer has not acknowledged; TIOCOUTQ by another name (tcp(7)).
_SIOCOUTQ = termios.TIOCOUTQ


class Progress:
    """Watches one transport until it is stopped."""

    __slots__ = ("_call", "_clock", "_mark", "_seconds", "_since", "_stuck", "_transport")

    def __init__(
        self, transport: Any, clock: IReactorTime, seconds: float, stuck: Callable[[], None]
    ) -> None:
        """
        @param transport: a transport of Twisted's, or a TLS layer over one.
        @param clock: tells the time.
        @param seconds: without progress after which `stuck` is called, once.
        @param stuck: what to do then.
        """
        self._transport = lowest(transport)
        self._clock = clock
        self._seconds = seconds
        self._stuck = stuck
        # Not looked at yet: nearly every connection that closes has gone before the first look.
        self._mark: tuple[int, int, int] | None = None
        self._since = 0.0
        self._call = clock.callLater(seconds / _LOOKS, self._look)

    def stop(self) -> None:
        """Watch no more."""
        if self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        mark, now = outstanding(self._transport), self._clock.seconds()
        if mark != self._mark:
            self._mark, self._since = mark, now
        elif now - self._since >= self._seconds:
            self._stuck()
            return
        self._call = self._clock.callLater(self._seconds / _LOOKS, self._look)

    @staticmethod
    def unread(transport: Any) -> bool:
        """Whether the system holds bytes from the peer that nobody has read yet."""
        return _ask(lowest(transport), termios.FIONREAD) > 0


def outstanding(transport: Any) -> tuple[int, int, int]:
    """
    What has not arrived yet, as numbers that change when something does.

    @return: bytes that the system holds, and the length of the transport's buffer and the place in it.
    """
    buffered = len(getattr(transport, "dataBuffer", b""))
    return _ask(transport, _SIOCOUTQ), buffered, getattr(transport, "offset", 0)


def _ask(transport: Any, request: int) -> int:
    """Ask the system for one of a socket's byte counts; 0 where there is no socket to ask."""
    fileno = getattr(transport, "fileno", None)
    if fileno is None:
        return 0
    try:
        answer = fcntl.ioctl(fileno(), request, struct.pack("i", 0))
    except (OSError, ValueError):
        # The socket has gone in the meantime (ValueError: its descriptor is -1).
        return 0
    return int(struct.unpack("i", answer)[0])


def lowest(transport: Any) -> Any:
    """The transport at the bottom of layers such as Twisted's TLS; each has the next as `transport`."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport
