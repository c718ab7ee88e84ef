"""The messages of chat and canvas, as they come over WebSocket, and on a stream."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.services.chat import Chat
from netsvc.services.room import Room
from netsvc.web.canvas import CanvasMessages, Picture
from netsvc.web.chatroom import ChatMessages
from tests.fuzz.campaign import one_line
from tests.fuzz.guided.reading import Reading
from tests.fuzz.texts import shown

#: What the server of each says: the types of its messages and what each has beside its type.
_CHAT = {
    "here": {"names"},
    "joined": {"name"},
    "left": {"name"},
    "said": {"name", "text", "time"},
    "error": {"reason"},
}
_CANVAS = {
    "stroke": {"points", "color", "width"},
    "clear": set(),
    "picture": {"strokes"},
    "error": {"reason"},
}

_STROKES, _PICTURE = 5, 600


def vocabulary(data: bytes) -> None:
    """
    Chat and canvas take any message: what they send is of their vocabulary and harmless, and a newcomer's
    picture is what everybody has seen drawn.
    """
    given = Reading(data)
    lines = given.byte() % 2, given.rest().split(b"\n")
    (_canvas if lines[0] else _chat)(lines[1][:40])


def _connected(protocol: Any) -> StringTransport:
    wire = StringTransport()
    protocol.makeConnection(wire)
    return wire


def _message(wire: Any, words: dict[str, set[str]]) -> list[dict[str, Any]]:
    """What was written since the last time: one message, or several, one after the other."""
    text, found = wire.value().decode("utf-8"), []
    wire.clear()
    while text:
        message, end = json.JSONDecoder().raw_decode(text)
        assert set(message) - {"type"} == words[message["type"]], message
        if message["type"] == "error":
            one_line(message["reason"])
        text = text[end:]
        found.append(message)
    return found


def _chat(lines: list[bytes]) -> None:
    """Two come over WebSocket, one over a stream; each line's first byte says whose it is."""
    room = Room(lambda: 1)
    members: list[Any] = [ChatMessages(room, 100, 2), ChatMessages(room, 100, 2), Chat(room, 100, 3)]
    wires = [_connected(one) for one in members]
    for line in lines:
        who = line[0] % 3 if line else 0
        members[who].dataReceived(line[1:] + (b"\n" if who == 2 else b""))
        for wire in wires[:2]:
            for message in _message(wire, _CHAT):
                for text in (message.get("name", ""), message.get("text", ""), *message.get("names", ())):
                    shown(text.replace("\t", ""))
        for told in wires[2].value().decode("utf-8").split("\n"):
            shown(told.replace("\t", ""))
        wires[2].clear()
    for one in members:
        one.connectionLost(Failure(ConnectionDone()))
    assert not room._names, "somebody is still in the room"
    assert not room._taken, "somebody's name is still taken"


def _canvas(lines: list[bytes]) -> None:
    """Two draw and one looks on; each line's first byte says who draws."""
    picture = Picture(_STROKES, _PICTURE)
    members = [CanvasMessages(picture) for _ in range(3)]
    wires = [_connected(one) for one in members]
    strokes: list[Any] = []
    for line in lines:
        members[line[0] % 2 if line else 0].dataReceived(line[1:])
        told = [_message(wire, _CANVAS) for wire in wires]
        for message in told[2]:
            if message["type"] == "stroke":
                strokes.append(message)
            elif message["type"] == "clear":
                strokes.clear()
        newcomer = CanvasMessages(picture)
        (seen,) = _message(_connected(newcomer), _CANVAS)
        newcomer.connectionLost(Failure(ConnectionDone()))
        there = seen["strokes"]
        assert len(there) <= _STROKES
        assert len(picture.snapshot()) <= _PICTURE + 100
        assert there == strokes[len(strokes) - len(there) :], "a newcomer sees what nobody drew"
        assert there or not strokes or len(json.dumps(strokes[-1])) > _PICTURE // 2, "the newest is not there"
    for one in members:
        one.connectionLost(Failure(ConnectionDone()))
    assert not picture._drawing, "somebody is still drawing"
