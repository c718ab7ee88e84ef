"""What a WebSocket and those who use it know of each other."""

from __future__ import annotations

import typing

from twisted.python.failure import Failure

if typing.TYPE_CHECKING:
    from netsvc.web.websocket import WebSocket

#: Seconds that a peer has to answer our Close, and a conversation to have its last word after the peer's.
CLOSE_TIMEOUT = 2.0


class Bounds(typing.Protocol):
    """What one WebSocket may cost; ``[web]`` of the configuration has these among its settings."""

    @property
    def max_message(self) -> int:
        """Bytes that a message may have."""

    @property
    def max_frame(self) -> int:
        """Bytes that a frame may have."""

    @property
    def max_inflated(self) -> int:
        """Bytes that a compressed message may have when it is inflated."""

    @property
    def ping_interval(self) -> float:
        """Seconds between pings; 0 sends none."""

    @property
    def ping_timeout(self) -> float:
        """Seconds after a ping in which something must be heard of the peer."""


class Conversation(typing.Protocol):
    """What a WebSocket is used for, as the WebSocket sees it."""

    def opened(self, socket: WebSocket) -> None:
        """It is open: from now on one can `WebSocket.send`."""

    def received(self, data: bytes, binary: bool) -> None:
        """A message came. Text is UTF-8, for sure."""

    def finished(self) -> None:
        """The peer has said its Close: have the last word, and `WebSocket.close`, within `CLOSE_TIMEOUT`."""

    def stalled(self) -> None:
        """The peer does not read: write no more than must be, and what is written too much ends it."""

    def flowing(self) -> None:
        """It reads again."""

    def lost(self, reason: Failure) -> None:
        """The connection is gone; called once, if `opened` was."""
