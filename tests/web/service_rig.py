"""A site in memory with services behind it, and WebSocket clients of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from netsvc.bridges import Bridges
from netsvc.facts import Fact
from netsvc.interfaces import Arrival
from netsvc.net.listening import Listening
from netsvc.services.echo import EchoFactory
from netsvc.services.room import Room
from netsvc.settings import Limits
from netsvc.web.canvas import CanvasFactory, Picture
from netsvc.web.chatroom import ChatMessagesFactory
from tests.web.frames import TEXT, Frame, ServerFrames, close, frame, opening
from tests.web.siterig import HERE, Connection, Rig


class SocketClient:
    """
    A client that asks for a WebSocket.

    @ivar status: of the answer.
    @ivar head: of the answer.
    @ivar body: of an answer that is no upgrade.
    """

    def __init__(self, rig: ServiceRig, path: str, arrival: Arrival = HERE, **headers: str) -> None:
        self._rig = rig
        self._connection: Any = Connection(rig.site, rig.clock, arrival)
        self.wire: Any = self._connection.wire
        self._frames = ServerFrames()
        self._lost = False
        self.send(opening(path, **headers))
        head, _, rest = self.wire.value().partition(b"\r\n\r\n")
        self.wire.clear()
        self.head = head.decode("latin-1")
        self.status = int(self.head.split()[1])
        self.body = b"" if self.status == 101 else rest
        self._held = rest if self.status == 101 else b""
        rig.opened.append(self)

    def send(self, data: bytes) -> None:
        """Send bytes and let the reactor go round."""
        (getattr(self.wire, "protocol", None) or self._connection.channel).dataReceived(data)
        self._connection.turn(20)

    def say(self, **message: Any) -> None:
        """Send a message of JSON."""
        self.send(frame(TEXT, json.dumps(message).encode()))

    def frames(self) -> list[Frame]:
        """What has come since the last time."""
        data, self._held = self._held + self.wire.value(), b""
        self.wire.clear()
        return self._frames.feed(data)

    def heard(self) -> list[dict[str, Any]]:
        """The same, if it is messages of JSON."""
        found = self.frames()
        assert {one.opcode for one in found} <= {TEXT}
        return [json.loads(one.payload) for one in found]

    def close(self) -> None:
        """Say the Close, and be gone."""
        self.send(close())
        self.lose()

    def lose(self) -> None:
        """The connection is gone."""
        if not self._lost:
            self._lost = True
            protocol = getattr(self.wire, "protocol", None) or self._connection.channel
            protocol.connectionLost(Failure(ConnectionDone()))


class ServiceRig(Rig):
    """
    A site and the services echo, chat and canvas.

    @ivar room: the chat's.
    @ivar picture: the canvas's.
    """

    def __init__(self, carried: Limits | None = None, **settings: Any) -> None:
        """
        @param carried: the limits of the services.
        """
        super().__init__(**settings)
        self.opened: list[SocketClient] = []
        self.room = Room()
        self.picture = Picture()
        self._carried = carried or Limits(idle_timeout=0)
        factories: dict[str, IProtocolFactory] = {
            "echo": EchoFactory(),
            "chat": ChatMessagesFactory(self.room, max_line=100, max_members=3),
            "canvas": CanvasFactory(self.picture),
        }
        self.bridges = Bridges(
            {name: (name, one) for name, one in factories.items()}, self._listening, self.clock
        )
        self.view._bridges = self.bridges

    def open(self, path: str, arrival: Arrival = HERE, **headers: str) -> SocketClient:
        """A client asks for a WebSocket."""
        return SocketClient(self, path, arrival, **headers)

    def of(self, service: str) -> list[str]:
        """The kinds of the facts of a service, with their transports."""
        facts = map(Fact.of, self.timeline.since(0, 1000))
        return [f"{one.kind} {one.origin.transport}" for one in facts if one.origin.service == service]

    def end(self) -> None:
        """All clients go; nothing is left to wait for."""
        for client in self.opened:
            client.lose()
        self.bridges.stop()
        self.clock.advance(0.01)

    def _listening(self, service: Any, url: str) -> Listening:
        name, factory = service
        return Listening(
            service=name,
            listener=url,
            transport=url.partition(":")[0],
            factory=factory,
            limits=self._carried,
            facts=self.facts,
            clock=self.clock,
        )
