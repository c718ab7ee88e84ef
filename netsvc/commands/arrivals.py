"""
What arrives from a peer while a command talks to it: shown at once and not kept, and waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from netsvc.commands.complaints import NotDone


class Arrivals:
    """
    What has arrived from a peer, and waiting for more of it. One may wait at a time.

    @ivar count: pieces so far.
    @ivar end: None while there can be more; then why there cannot be, in a few words.
    @ivar broken: the end was none that the peer chose.
    """

    def __init__(self, reactor: Any, show: Callable[[bytes], None]) -> None:
        """
        @param reactor: tells the time.
        @param show: gets every piece; its BrokenPipeError or NotDone is raised by `check`.
        """
        self._reactor = reactor
        self._show = show
        self._failure: BrokenPipeError | NotDone | None = None
        self._waiting: Deferred[None] | None = None
        self._ended: list[Callable[[], None]] = []
        self.count = 0
        self.end: str | None = None
        self.broken = False

    def note(self, piece: bytes) -> None:
        """A piece has arrived."""
        self.count += 1
        if self._failure is None:
            try:
                self._show(piece)
            except (BrokenPipeError, NotDone) as error:
                self._failure = error
        self._wake()

    def note_end(self, reason: str, broken: bool) -> None:
        """No more will arrive."""
        self.end, self.broken = reason, broken
        for call in self._ended:
            call()
        self._wake()

    def when_ended(self, call: Callable[[], None]) -> None:
        """Have something called at the end, or now if that was."""
        if self.end is None:
            self._ended.append(call)
        else:
            call()

    def check(self) -> None:
        """
        Do nothing while what arrives can be shown.

        @raise BrokenPipeError: nobody reads what is shown any more.
        @raise NotDone: it cannot be shown.
        """
        if self._failure is not None:
            raise self._failure

    async def beyond(self, count: int, seconds: float) -> bool:
        """
        Wait until more than so many pieces have arrived.

        @param seconds: how long.
        @return: whether they have; False if the time is over, or there was an end before.
        @raise BrokenPipeError: see `check`.
        @raise NotDone: see `check`.
        """
        deadline = self._reactor.seconds() + seconds
        while self.count <= count and self.end is None and self._failure is None:
            left = deadline - self._reactor.seconds()
            if left <= 0:
                break
            waiting: Deferred[None] = Deferred()
            self._waiting = waiting
            call = self._reactor.callLater(left, self._wake)
            try:
                await waiting
            finally:
                if call.active():
                    call.cancel()
        self.check()
        return self.count > count

    async def silence(self, seconds: float) -> None:
        """
        Wait until nothing has arrived for a while, or there is an end.

        @raise BrokenPipeError: see `check`.
        @raise NotDone: see `check`.
        """
        while await self.beyond(self.count, seconds):
            pass

    async def until_end(self, seconds: float) -> None:
        """
        Wait until there is an end, or the time is over, whatever arrives.

        @raise BrokenPipeError: see `check`.
        @raise NotDone: see `check`.
        """
        deadline = self._reactor.seconds() + seconds
        while await self.beyond(self.count, deadline - self._reactor.seconds()):
            pass

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
