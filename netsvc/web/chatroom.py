"""
chat for those who come over WebSocket or by long polling: JSON, one object a message, in the same room as
the stream's.

Each piece of data that comes in is one message, and each write is one; see `netsvc.web.bridge`. A client
sends ``join`` {name} and ``say`` {text}, the server ``here`` {names}, ``joined`` {name}, ``left`` {name},
``said`` {name, text, time} and ``error`` {reason}; which of them it is, is the object's ``type``. Nobody is
told of what they do themselves.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.services.plain import InvalidNameError
from netsvc.services.room import JoinError, Room
from netsvc.web.vocabulary import Message, MessageError, Words, encode

#: What clients may say: for each type, the types of its other members.
WORDS = Words({"join": {"name": str}, "say": {"text": str}})

#: Bytes that each byte of a text may have in JSON, escaped as ``\u0041``, and those that a message has beside
#: its text, or for a name.
_ESCAPED, _BESIDE = 6, 1024


class ChatMessages(Protocol):
    """One client: a `netsvc.services.room.Member` once it has joined."""

    transport: ITransport

    def __init__(self, room: Room, max_line: int, max_members: int) -> None:
        """
        @param room: the room to come into.
        @param max_line: bytes that a text may have.
        @param max_members: members that the room may have.
        """
        self._room = room
        self._max_line = max_line
        self._max_members = max_members
        self._longest = _ESCAPED * max_line + _BESIDE
        self._joined = False

    def dataReceived(self, data: bytes) -> None:
        """One message."""
        try:
            message = WORDS.read(data, self._longest)
            if message["type"] == "join":
                self._join(message)
            else:
                self._say(message)
        except (MessageError, InvalidNameError, JoinError) as error:
            self._tell(type="error", reason=str(error))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._room.leave(self)

    def _join(self, message: Message) -> None:
        self._room.join(message["name"], self, self._max_members)
        self._joined = True

    def _say(self, message: Message) -> None:
        text = message["text"]
        if not self._joined:
            raise MessageError("join first")
        if len(text.encode("utf-8", "surrogatepass")) > self._max_line:
            raise MessageError(f"the text is longer than {self._max_line} bytes")
        self._room.say(self, text)

    # -- a member is told --------------------------------------------------------------------------------

    def here(self, names: list[str]) -> None:
        self._tell(type="here", names=names)

    def joined(self, name: str) -> None:
        self._tell(type="joined", name=name)

    def left(self, name: str) -> None:
        self._tell(type="left", name=name)

    def said(self, name: str, text: str, time: int) -> None:
        # A string, for a reader's numbers may be too short for it; as facts have it.
        self._tell(type="said", name=name, text=text, time=str(time))

    def _tell(self, **message: Any) -> None:
        self.transport.write(encode(message))


class ChatMessagesFactory(Factory[ChatMessages]):
    """Makes what talks to each client; the room is the stream side's."""

    noisy = False

    def __init__(self, shared: Room, max_line: int = 8192, max_members: int = 1000) -> None:
        """
        @param shared: the room.
        @param max_line: bytes that a text may have; a longer one gets an ``error``.
        @param max_members: members that the room may have; one more gets ``room full``.
        """
        self._room = shared
        self._max_line = max_line
        self._max_members = max_members

    def buildProtocol(self, addr: IAddress | None) -> ChatMessages:
        chat = ChatMessages(self._room, self._max_line, self._max_members)
        chat.factory = self
        return chat
