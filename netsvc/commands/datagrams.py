"""
Datagrams for commands: reads a bound socket, UDP or UNIX, whole and without losing the port to one error.

Twisted's own ports cut what is longer than they were told, cannot adopt a UNIX socket, and end for good at an
error of the system on one datagram.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

#: Bytes of the longest datagram: more than UDP's, and a UNIX socket's may be as long as its buffers allow.
LONGEST = 1 << 20

#: Datagrams that are read before others get their turn.
AT_ONCE = 64

#: What says that there is nothing more to read now.
_EMPTY = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR})


@implementer(IReadDescriptor)
class DatagramReader:
    """Reads one socket; to be given to ``reactor.addReader``."""

    def __init__(
        self, sock: socket.socket, received: Callable[[bytes, str, int | None], bool], reply: bytes = b""
    ) -> None:
        """
        @param sock: bound, and not blocking.
        @param received: takes each datagram with its source, address and port; returns whether to read on.
        @param reply: sent to where each datagram came from, if it can be; empty sends nothing.
        """
        self._sock = sock
        self._buffer = memoryview(bytearray(LONGEST))
        self._received = received
        self._reply = reply

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """See `IReadDescriptor`."""
        return "datagrams"

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`; the socket is closed by who opened it."""

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        for _ in range(AT_ONCE):
            try:
                size, source = self._sock.recvfrom_into(self._buffer)
            except OSError as error:
                if error.errno in _EMPTY:
                    return
                # An earlier answer was refused, or the system is short of memory: this call ends it.
                continue
            data = bytes(self._buffer[:size])
            if self._reply:
                self._answer(source)
            if not self._received(data, *_host_and_port(source)):
                return

    def _answer(self, source: Any) -> None:
        try:
            if source:
                self._sock.sendto(self._reply, source)
        except OSError:
            # It cannot be reached, or has no room: a datagram that gets lost, as datagrams do.
            return


def _host_and_port(source: Any) -> tuple[str, int | None]:
    if isinstance(source, tuple):
        return source[0], source[1]
    return os.fsdecode(source) if isinstance(source, str | bytes) else "", None
