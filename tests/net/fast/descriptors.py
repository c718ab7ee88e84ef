"""Descriptors that do in each event what a test tells them to, on sockets that are as ready as it wants."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure


@implementer(IReadWriteDescriptor)
class Descriptor:
    """
    One end of a pair of sockets, at which one byte waits to be read, and goes on waiting.

    @ivar sock: it.
    @ivar at_read: done in doRead, and what it gives is given back; at_write and at_end likewise.
    @ivar at_name: done in logPrefix, before the name is given.
    @ivar served: how often it was read or written.
    @ivar lost: why it was lost, once for each time that it was told.
    @ivar asked: how often it was asked for its name.
    """

    def __init__(self, name: str, readable: bool = True) -> None:
        """@param name: who is at work, in the log."""
        self.name = name
        self.sock, self.peer = socket.socketpair()
        self.sock.setblocking(False)
        if readable:
            self.peer.send(b".")
        self.served = self.asked = 0
        self.lost: list[type[BaseException] | None] = []
        self.at_read: Callable[[], Any] = lambda: None
        self.at_write: Callable[[], Any] = lambda: None
        self.at_end: Callable[[], object] = lambda: None
        self.at_name: Callable[[], object] = lambda: None
        self.fileno: Callable[[], int] = self.sock.fileno

    def logPrefix(self) -> str:
        """See `ILoggingContext`."""
        self.asked += 1
        self.at_name()
        return self.name

    def doRead(self) -> Any:
        """See `IReadDescriptor`, as for the others."""
        self.served += 1
        return self.at_read()

    def doWrite(self) -> Any:
        """See `IWriteDescriptor`."""
        self.served += 1
        return self.at_write()

    def connectionLost(self, reason: Failure) -> None:
        """Note, and do as told."""
        self.lost.append(reason.type)
        self.at_end()

    def close(self) -> None:
        """Both ends."""
        self.sock.close()
        self.peer.close()


def raises(raised: BaseException) -> Callable[[], object]:
    """Something to do: raise this."""

    def act() -> object:
        raise raised

    return act
