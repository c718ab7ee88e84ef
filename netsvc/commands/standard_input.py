"""
Standard input that is no prompt: pipes, files, and terminals whose output goes elsewhere.

It is read when the reactor says that there is something: Ctrl-C would have to wait for a thread.
"""

from __future__ import annotations

import os
import select
import sys
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure

from netsvc.commands.complaints import NotDone

#: Bytes that a line may have.
LONGEST_LINE = 16 * 1024 * 1024

_PIECE = 1 << 16


@implementer(IReadDescriptor)
class StandardInput:
    """
    Reads a descriptor, a piece or a line at a time, and only when asked for more.

    @ivar was_cut: its end was none, but `stop`.
    """

    def __init__(self, reactor: Any, descriptor: int | None = None) -> None:
        """@param descriptor: standard input if not said. It stays blocking: other processes may share it."""
        self._reactor = reactor
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._waiting: Deferred[bytes] | None = None
        self._rest = bytearray()
        self._stopped = False
        self.was_cut = False

    async def read(self) -> bytes:
        """
        The next piece; empty at the end.

        @raise NotDone: it cannot be read.
        """
        if self._rest:
            rest, self._rest = bytes(self._rest), bytearray()
            return rest
        return await self._more()

    async def line(self) -> bytes | None:
        """
        The next line without its end (LF or CR LF), or None at the end.

        @raise NotDone: it cannot be read, or a line has more than `LONGEST_LINE` bytes.
        """
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > LONGEST_LINE:
                raise NotDone(f"standard input: a line has more than {LONGEST_LINE} bytes")
            if piece := await self._more():
                self._rest += piece
            elif self._rest:
                end = searched
                break
            else:
                return None
        found = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return found.removesuffix(b"\r")

    def stop(self) -> None:
        """Wait for nothing more: what is there can still be read, and behind it is the end."""
        self._stopped = True
        if self._waiting is not None:
            self._reactor.removeReader(self)
            self._read_what_is_there()

    async def _more(self) -> bytes:
        waiting: Deferred[bytes] = Deferred(self._forget)
        self._waiting = waiting
        if self._stopped:
            self._read_what_is_there()
        else:
            # A regular file, which cannot be polled, is always ready for the reactor.
            self._reactor.addReader(self)
        try:
            return await waiting
        except OSError as error:
            raise NotDone(f"standard input: {(error.strerror or str(error)).lower()}") from None

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        return "standard input"

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`: it cannot be polled any more, for example because it is closed."""
        self._answer(b"")

    def doRead(self) -> None:
        """See `IReadDescriptor`."""
        found: bytes | OSError
        try:
            found = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            # Somebody else who shares it made it so, and has read what was there.
            return
        except OSError as error:
            found = error
        self._reactor.removeReader(self)
        self._answer(found)

    def _forget(self, waiting: Deferred[bytes]) -> None:
        self._reactor.removeReader(self)
        self._waiting = None

    def _read_what_is_there(self) -> None:
        if select.select([self._descriptor], [], [], 0)[0]:
            self.doRead()
        else:
            self.was_cut = True
            self._answer(b"")

    def _answer(self, found: bytes | OSError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if isinstance(found, OSError):
            waiting.errback(found)
        else:
            waiting.callback(found)
