"""
The chat room over WebSocket, where it speaks JSON, as the stream of lines that it is on a socket.

So `netsvc chat` knows one form of talk. What is said can hold what ends a line, which is made inert here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.internet.protocol import Factory

from netsvc.commands.address import Address
from netsvc.commands.dialing import TLSOptions, dial
from netsvc.commands.inert import inert
from netsvc.commands.linestream import LineStream

#: Where netsvc has its chat room, for an address without a path.
PATH = "/ws/chat"


async def open_messages(reactor: Any, address: Address, tls: TLSOptions, longest: int) -> LineStream:
    """
    Connect to a chat room over WebSocket; see `netsvc.commands.linestream.open_lines`.

    @raise NotDone: there is no connection.
    """
    room = replace(address, path=address.path or PATH)
    stream: LineStream = await dial(reactor, room, _Rooms(reactor, room, longest), tls)
    return stream


class ChatMessages(LineStream):
    """The conversation in one room; the first line that is sent is the name."""

    def __init__(self, reactor: Any, address: Address, longest: int) -> None:
        """The arguments are `LineStream`'s."""
        super().__init__(reactor, address, longest)
        self._named = False
        self._entered = False

    async def send(self, line: bytes) -> None:
        """See `LineStream.send`."""
        text = line.decode("utf-8", "replace")
        message = {"type": "say", "text": text} if self._named else {"type": "join", "name": text}
        self._named = True
        await super().send(json.dumps(message).encode("ascii"))

    def dataReceived(self, data: bytes) -> None:
        if self._problem is not None:
            # What came with a refusal is about what was said behind the name.
            return
        try:
            message = json.loads(data)
            kind = message["type"]
            line = self._line_of(kind, message)
        except (ValueError, KeyError, TypeError, RecursionError):
            self._break("what came is no message of a chat room")
            return
        if kind == "error" and not self._entered:
            self._break(line.partition(": ")[2])
        elif line:
            super().dataReceived(line.encode("utf-8", "backslashreplace") + b"\n")

    def _line_of(self, kind: str, message: dict[str, Any]) -> str:
        """
        A message as the stream has it; what the stream does not have begins with a star too.

        @return: ``""`` for one that is unknown, which another version may have.
        @raise KeyError: it lacks what it should have.
        """
        if kind == "here":
            self._entered = True
            names = [inert(str(name)) for name in message["names"]]
            return "* here: " + ", ".join(names)
        if kind in ("joined", "left"):
            return f"* {inert(str(message['name']))} {kind}"
        if kind == "said":
            return f"{inert(str(message['name']))}: {inert(str(message['text']))}"
        if kind == "error":
            return f"* not taken: {inert(str(message['reason']))}"
        return ""


class _Rooms(Factory[ChatMessages]):
    noisy = False

    def __init__(self, reactor: Any, address: Address, longest: int) -> None:
        self._made = reactor, address, longest

    def buildProtocol(self, addr: object) -> ChatMessages:
        return ChatMessages(*self._made)
