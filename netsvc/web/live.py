"""
The timeline as it happens, over WebSocket: what ``/ws/facts`` is for.

A client says in the URL which facts it wants and after which seq, as with ``/api/facts``, and is sent them
as they come, some at a time, with the seq up to which everything was looked at. Going on there with the
next connection, it misses nothing and gets nothing twice. What several want from the same place is looked
for and encoded once (`netsvc.journal.watch`). Where more comes than people can see, they get a sample and
are told how much that leaves out.

Nothing waits for a client but the facts themselves, in the timeline. One that does not read is shown
nothing until it reads again, and after a while it is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.python.failure import Failure

from netsvc.interfaces import IDaemonView
from netsvc.journal.query import Filter, Page
from netsvc.journal.reading import Delivery
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import TooManyWatchersError
from netsvc.web.answers import HTTPError, encoded
from netsvc.web.asking import number, only, query_of
from netsvc.web.upgrade import WebSocketResource
from netsvc.web.websocket import WebSocket, WebSockets
from netsvc.web.wire import GOING_AWAY, TRY_LATER, frame

#: Facts a second that a client is sent unless it says otherwise: more than anybody can follow, and what a
#: page can draw.
DEFAULT_RATE = 500

#: The most that it can say, short of all.
MAX_RATE = 20_000

#: Bytes of JSON in one message, more or less: what is on its way to a client that stops reading.
MESSAGE_BYTES = 65_536


class Live:
    """One client; see `netsvc.web.conversation.Conversation`."""

    def __init__(self, view: IDaemonView, query: Mapping[str, list[str]]) -> None:
        """
        @param view: the daemon.
        @param query: which facts; see `Filter`, and beside that ``after`` and ``rate``.
        @raise ValueError: something in the query cannot be used.
        """
        self._watchers = view.watchers
        self._wanted = Filter.parse(query, ("after", "rate"))
        self._after = Page.parse({"after": query.get("after", [])}).after
        every = only(query, "rate") == "all"
        rate = DEFAULT_RATE if every else number(query, "rate", DEFAULT_RATE, MAX_RATE)
        self._rate = None if every else max(1, round(rate * WatchLimits.interval))
        self._socket: WebSocket | None = None
        self._following: Any = None
        self._stalled = False

    def opened(self, socket: WebSocket) -> None:
        """See `Conversation`."""
        self._socket = socket
        try:
            self._following = self._watchers.follow(
                self._wanted, self._after, self._deliver, MESSAGE_BYTES, self._drop, self._rate
            )
        except TooManyWatchersError as error:
            socket.close(TRY_LATER, str(error))
            return
        # From where on it is shown what comes, before anything has: what it goes on from if it must.
        place = self._following.place
        socket.send(encoded({"facts": [], "last": place, "left_out": 0, "gap": None}), binary=False)

    def received(self, data: bytes, binary: bool) -> None:
        """Nothing is expected; see `Conversation`."""

    def finished(self) -> None:
        """See `Conversation`."""
        if self._socket is not None:
            self._socket.close()

    def stalled(self) -> None:
        """See `Conversation`."""
        self._stalled = True
        if self._following is not None:
            self._following.pause()

    def flowing(self) -> None:
        """See `Conversation`."""
        self._stalled = False
        if self._following is not None:
            self._following.resume()

    def lost(self, reason: Failure) -> None:
        """See `Conversation`."""
        self._socket = None
        if self._following is not None:
            self._following.stop()

    def _deliver(self, delivery: Delivery) -> None:
        if self._socket is not None:
            self._socket.send_frame(frame(delivery.encoded))

    def _drop(self, why: str) -> None:
        if self._socket is None:
            return
        if self._stalled:
            # Whatever it is told would only wait with the rest.
            self._socket.abort()
        else:
            self._socket.close(GOING_AWAY, why)


class LiveFacts(WebSocketResource):
    """``/ws/facts``."""

    def __init__(self, sockets: WebSockets, view: IDaemonView) -> None:
        """@param view: the daemon."""
        super().__init__(sockets)
        self._view = view

    def conversation(self, request: Any) -> Live:
        """What the query asks for."""
        query = query_of(request)
        # A client that cannot send headers shows it there; `netsvc.web.access` has read it.
        query.pop("token", None)
        try:
            return Live(self._view, query)
        except ValueError as error:
            raise HTTPError(400, str(error)) from None
