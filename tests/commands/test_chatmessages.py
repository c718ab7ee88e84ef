"""The chat room's messages, as lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.chatmessages import ChatMessages
from netsvc.commands.complaints import NotDone

ROOM = Address("ws", "host", 8080, "/ws/chat")


class Wire:
    """A connected room."""

    def __init__(self) -> None:
        self.transport = StringTransport()
        self.room = ChatMessages(Clock(), ROOM, 1000)
        self.room.transport = self.transport
        self.room.connectionMade()

    def tell(self, **message: Any) -> None:
        """The server sends a message."""
        self.room.dataReceived(json.dumps(message).encode())

    def lose(self) -> None:
        """The connection is gone."""
        self.transport.producer = None
        self.room.connectionLost(Failure(ConnectionDone()))

    def line(self) -> Any:
        """The next line, or why there is none."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.room.line()).addBoth(found.append)
        return found[0]

    def said(self) -> list[dict[str, Any]]:
        """What was sent."""
        return [json.loads(line) for line in self.transport.value().splitlines()]


def test_the_first_line_is_the_name_and_what_comes_is_as_on_a_stream() -> None:
    wire = Wire()
    for line in (b"ann", b"hello", b"\xff"):
        Deferred.fromCoroutine(wire.room.send(line))
    assert wire.said() == [
        {"type": "join", "name": "ann"},
        {"type": "say", "text": "hello"},
        {"type": "say", "text": "\ufffd"},
    ]
    wire.tell(type="here", names=["bob", "ann"])
    wire.tell(type="joined", name="eve")
    wire.tell(type="said", name="bob", text="two\nlines", time="1")
    wire.tell(type="error", reason="the text is too long")
    wire.tell(type="of another version")
    wire.tell(type="left", name="eve")
    assert [wire.line() for _ in range(5)] == [
        b"* here: bob, ann",
        b"* eve joined",
        b"bob: two\\nlines",
        b"* not taken: the text is too long",
        b"* eve left",
    ]


def test_a_refusal_is_what_the_server_said_first() -> None:
    """What was said at once behind the name is refused too, and its refusal may come in the same read."""
    wire = Wire()
    wire.tell(type="error", reason="name taken")
    wire.tell(type="error", reason="join first")
    wire.lose()
    problem = wire.line()
    assert problem.check(NotDone)
    assert problem.getErrorMessage() == f"{ROOM}: name taken"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"1", b"{}", b'{"type":"said"}', b'{"type":"here","names":1}', b"\xff"]
)
def test_what_is_no_message_ends_it(data: bytes) -> None:
    wire = Wire()
    wire.room.dataReceived(data)
    assert wire.transport.disconnected
    wire.lose()
    assert "no message of a chat room" in wire.line().getErrorMessage()
