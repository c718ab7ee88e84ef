"""
Room to write on a stream, as its transport tells of it, and the end of patience with who reads nothing.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IPushProducer

#: Seconds in which a peer that does not read is given up: a slow one takes what waits here (some 128 KiB) in
#: that time, and the daemon waits as long (its write_timeout).
WRITE_TIMEOUT = 30.0

#: What is said then.
NOT_READ = "the server does not read: not everything could be sent"


async def room_in(reactor: Any, told: Deferred[None], seconds: float) -> bool:
    """
    Wait for room, and not for ever.

    @param reactor: an `IReactorTime`.
    @param told: fires when there is room; it is cancelled when the time is over.
    @param seconds: how long.
    @return: whether there is room.
    """
    told.addTimeout(seconds, reactor)
    try:
        await told
    except DeferredTimeoutError:
        return False
    return True


@implementer(IPushProducer)
class Room:
    """The producer of a transport, which tells it when to pause; one may wait at a time."""

    def __init__(self, reactor: Any, transport: Any, patience: float = WRITE_TIMEOUT) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param transport: connected, and without a producer.
        @param patience: seconds without room after which nobody waits any more.
        """
        self._reactor = reactor
        self._transport = transport
        self._patience = patience
        self._full = False
        self._registered = True
        self._waiting: Deferred[None] | None = None
        transport.registerProducer(self, True)

    async def wait(self) -> bool:
        """
        Wait until there is room, or the connection is lost.

        @return: False when patience is at its end.
        """
        if not self._full:
            return True
        self._waiting = Deferred()
        return await room_in(self._reactor, self._waiting, self._patience)

    def release(self) -> None:
        """Let the transport go: one that has a producer waits for more of it, and does not close."""
        if self._registered:
            self._registered = False
            self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        self._full = True

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._full = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """See `IPushProducer`: the connection is lost. Nobody waits for that."""
        self._registered = False
        self.resumeProducing()
