"""
chat on a stream: everyone hears everyone, line by line.

The first line is a client's name, each later one goes to everyone else as ``name: text``; ``* name joined``
and ``* name left`` tell of comings and goings. Lines end with LF, a CR before it is not part of them, and the
last one may lack its end when the client has ended its sending. Text is UTF-8; what is not is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.services.lines import LineSplitter
from netsvc.services.plain import InvalidNameError, read_name
from netsvc.services.room import LONGEST_NAME, JoinError, Room


@implementer(IHalfCloseableProtocol)
class Chat(Protocol):
    """One connection: a `netsvc.services.room.Member` from its first line on."""

    transport: ITransport

    def __init__(self, room: Room, max_line: int, max_members: int) -> None:
        """
        @param room: the room to come into.
        @param max_line: bytes that a line may have, without its end.
        @param max_members: members that the room may have.
        """
        self._room = room
        self._max_members = max_members
        self._lines = LineSplitter(max_line)
        self._next_line: Callable[[bytes], None] = self._join

    def dataReceived(self, data: bytes) -> None:
        self._take(self._lines.feed(data))

    def readConnectionLost(self) -> None:
        """The client has ended its sending: its unfinished line counts, then it leaves."""
        self._take(self._lines.finish())
        self._close()

    def writeConnectionLost(self) -> None:
        """The whole connection ends with this, and the transport sees to it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._next_line = self._ignore
        self._room.leave(self)

    # -- a line comes in ---------------------------------------------------------------------------------

    def _take(self, lines: Sequence[bytes | None]) -> None:
        for line in lines:
            if line is None:
                self._close("line too long")
            else:
                self._next_line(line.removesuffix(b"\r"))

    def _join(self, line: bytes) -> None:
        self._next_line = self._say
        try:
            self._room.join(read_name(line.strip(b" "), LONGEST_NAME), self, self._max_members)
        except (InvalidNameError, JoinError) as error:
            self._close(str(error))

    def _say(self, line: bytes) -> None:
        self._room.say(self, line.decode("utf-8", "replace"))

    def _ignore(self, line: bytes) -> None:
        """The connection is closing."""

    def _close(self, reason: str = "") -> None:
        if self._next_line == self._ignore:
            return
        self._next_line = self._ignore
        self._room.leave(self)
        if reason:
            self._tell(reason)
        self.transport.loseConnection()

    # -- a member is told --------------------------------------------------------------------------------

    def here(self, names: list[str]) -> None:
        """Who is here is not told on a stream, where a program expects what others say and nothing else."""

    def joined(self, name: str) -> None:
        self._tell(f"* {name} joined")

    def left(self, name: str) -> None:
        self._tell(f"* {name} left")

    def said(self, name: str, text: str, time: int) -> None:
        self._tell(f"{name}: {text}")

    def _tell(self, line: str) -> None:
        self.transport.write(line.encode("utf-8") + b"\n")


class ChatFactory(Factory[Chat]):
    """Makes the chat of each connection of one listener; all listeners share the room."""

    noisy = False

    def __init__(self, shared: Room, max_line: int = 8192, max_members: int = 1000) -> None:
        """
        @param shared: the room.
        @param max_line: bytes that a line may have, without its end; a longer one gets ``line too long`` and
            a close.
        @param max_members: members that the room may have; one more gets ``room full`` and a close.
        """
        self._room = shared
        self._max_line = max_line
        self._max_members = max_members

    def buildProtocol(self, addr: IAddress | None) -> Chat:
        chat = Chat(self._room, self._max_line, self._max_members)
        chat.factory = self
        return chat
