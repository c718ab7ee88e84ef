"""
canvas: everyone draws on one picture.

Each piece of data that comes in is one message of JSON, and each write is one; see `netsvc.web.bridge`. A
newcomer is sent the picture first. Both sides send ``stroke`` {points, color, width} and ``clear``; what a
client sends goes to everyone else. Points are fractions of the picture's width and height, so that every
window may have its own size.

The picture is bounded in strokes and in bytes, so that a newcomer's is sent at once; the oldest strokes
leave first.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.web.vocabulary import Message, MessageError, Words, encode, is_number

#: What clients may say.
WORDS = Words({"stroke": {"points": list, "color": str, "width": float}, "clear": {}})

#: Bytes of a message: a stroke of all the points that it may have, with all their digits.
MAX_MESSAGE = 65_536

#: Strokes that the picture has at most: more than people draw, and few enough to be drawn anew in a moment.
MAX_STROKES = 5000

#: Bytes of JSON that they have together: a snapshot is one message, which every newcomer is sent.
MAX_BYTES = 512 * 1024

#: Points of one stroke; a page sends what was drawn several times a second, a few points each.
MAX_POINTS = 1000

#: The widest stroke, in thousandths of the width of the picture.
MAX_WIDTH = 100.0

#: Digits behind the point that a coordinate keeps: finer than any screen.
_DIGITS = 4

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class Picture:
    """What has been drawn, and those who draw."""

    def __init__(self, max_strokes: int = MAX_STROKES, max_bytes: int = MAX_BYTES) -> None:
        """
        @param max_strokes: strokes to keep.
        @param max_bytes: bytes of JSON to keep.
        """
        self._max_strokes = max_strokes
        self._max_bytes = max_bytes
        self._strokes: deque[bytes] = deque()
        self._size = 0
        self._drawing: dict[CanvasMessages, None] = {}

    def snapshot(self) -> bytes:
        """The picture as one message."""
        return b'{"type":"picture","strokes":[' + b",".join(self._strokes) + b"]}"

    def enter(self, client: CanvasMessages) -> None:
        """Somebody comes, and is told of everything from now on."""
        client.tell(self.snapshot())
        self._drawing[client] = None

    def leave(self, client: CanvasMessages) -> None:
        """Somebody is gone; nothing happens when it was gone already."""
        self._drawing.pop(client, None)

    def draw(self, stroke: bytes, by: CanvasMessages) -> None:
        """Add a stroke, as a message of JSON, and show it to the others."""
        self._strokes.append(stroke)
        self._size += len(stroke)
        while len(self._strokes) > self._max_strokes or self._size > self._max_bytes:
            self._size -= len(self._strokes.popleft())
        self._show(stroke, by)

    def clear(self, by: CanvasMessages) -> None:
        """Begin a new picture."""
        self._strokes.clear()
        self._size = 0
        self._show(encode({"type": "clear"}), by)

    def _show(self, message: bytes, by: CanvasMessages) -> None:
        for client in list(self._drawing):
            if client is not by:
                client.tell(message)


class CanvasMessages(Protocol):
    """One client."""

    transport: ITransport

    def __init__(self, picture: Picture) -> None:
        """@param picture: the one to draw on."""
        self._picture = picture

    def connectionMade(self) -> None:
        self._picture.enter(self)

    def dataReceived(self, data: bytes) -> None:
        """One message."""
        try:
            message = WORDS.read(data, MAX_MESSAGE)
            if message["type"] == "clear":
                self._picture.clear(self)
            else:
                self._picture.draw(encode(checked_stroke(message)), self)
        except MessageError as error:
            self.tell(encode({"type": "error", "reason": str(error)}))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._picture.leave(self)

    def tell(self, message: bytes) -> None:
        """Send a message."""
        self.transport.write(message)


class CanvasFactory(Factory[CanvasMessages]):
    """Makes what talks to each client; there is one picture."""

    noisy = False

    def __init__(self, shared: Picture) -> None:
        """@param shared: the picture."""
        self._picture = shared

    def buildProtocol(self, addr: IAddress | None) -> CanvasMessages:
        canvas = CanvasMessages(self._picture)
        canvas.factory = self
        return canvas


def checked_stroke(message: Message) -> dict[str, Any]:
    """
    A stroke with nothing in it but what can be drawn.

    @param message: of the vocabulary.
    @raise MessageError: a value is not what it must be.
    """
    points, color, width = message["points"], message["color"], message["width"]
    if not 1 <= len(points) <= MAX_POINTS:
        raise MessageError(f"a stroke has 1 to {MAX_POINTS} points")
    if not _COLOR.fullmatch(color):
        raise MessageError("expected a color such as #1a2b3c")
    if not 0 < width <= MAX_WIDTH:
        raise MessageError(f"expected a width up to {MAX_WIDTH:g}")
    return {
        "type": "stroke",
        "points": [_point(point) for point in points],
        "color": color.lower(),
        "width": round(float(width), 2),
    }


def _point(point: object) -> list[float]:
    if not (isinstance(point, list) and len(point) == 2 and all(map(is_number, point))):
        raise MessageError("expected each point to be [x, y]")
    if not all(0 <= value <= 1 for value in point):
        raise MessageError("expected x and y from 0 to 1, fractions of the width and height")
    return [round(float(value), _DIGITS) for value in point]
