"""A WebSocket between a client in memory, whose bytes are the test's, and a service behind a guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from netsvc.interfaces import Arrival
from netsvc.web.bridge import Bridge
from netsvc.web.conversation import Conversation
from netsvc.web.websocket import WebSocket, WebSockets
from tests.net.guard_rig import Recorder, Wire
from tests.net.guard_rig import Rig as GuardRig
from tests.web.frames import KEY, Frame, ServerFrames


@dataclass(frozen=True)
class Bounds:
    """What a WebSocket may cost, as it is shipped."""

    max_message: int = 1_048_576
    max_frame: int = 1_048_576
    max_inflated: int = 1_048_576
    ping_interval: float = 20.0
    ping_timeout: float = 20.0


#: As large as anything that a test sends.
OPEN = Bounds(1 << 26, 1 << 26, 1 << 26)

ARRIVAL = Arrival("tcp", "192.0.2.7", 4711, "192.0.2.1", 8009)


def head(offer: str = "") -> bytes:
    """The opening handshake as it is made anew for Autobahn."""
    extensions = f"Sec-WebSocket-Extensions: {offer}\r\n".encode("ascii") if offer else b""
    return (
        b"GET / HTTP/1.1\r\nHost: netsvc\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n" + extensions + b"\r\n"
    )


class Client:
    """
    One client of a conversation.

    @ivar wire: the transport.
    @ivar answer: the answer to the opening handshake.
    """

    def __init__(
        self, clock: Any, conversation: Conversation, bounds: Bounds | None = None, offer: str = ""
    ) -> None:
        self.wire = Wire()
        self.socket: WebSocket = WebSockets(bounds or Bounds(), clock).build(conversation)
        self._frames = ServerFrames()
        self._lost = False
        self._clock = clock
        self.socket.makeConnection(self.wire)
        self.socket.shake_hands(head(offer))
        self.answer, _, rest = self.wire.sent().partition(b"\r\n\r\n")
        self.wire.clear()
        self._held = rest

    def send(self, *data: bytes) -> None:
        """Send bytes, each as one read."""
        for one in data:
            self.socket.dataReceived(one)
            # What is a turn of the reactor's work at most is gone on with in the next.
            while self.wire.producerState == "paused" and not self.wire.closed:
                self._clock.advance(0.001)

    def received(self) -> list[Frame]:
        """What has come since the last time."""
        data, self._held = self._held + self.wire.sent(), b""
        self.wire.clear()
        return self._frames.feed(data)

    def lose(self, clean: bool = True) -> None:
        """The connection is gone, as it is at some time after it was closed or aborted."""
        if not self._lost:
            self._lost = True
            self.socket.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))


class BridgeRig(GuardRig):
    """A service over WebSocket, and the facts that come of it."""

    def __init__(
        self,
        make: Callable[[], IProtocol] = Recorder,
        bounds: Bounds | None = None,
        **listening: Any,
    ) -> None:
        super().__init__(make, **listening)
        self.listening.transport = "ws"
        self.listening.listener = "ws://192.0.2.1:8080/ws/tested"
        self._bounds = bounds

    def open(self, offer: str = "", arrival: Arrival = ARRIVAL) -> Client:
        """A client comes in."""
        guard = self.factory.buildProtocol(None)  # type: ignore[arg-type]
        return Client(self.clock, Bridge(guard, arrival), self._bounds, offer)
