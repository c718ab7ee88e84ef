"""The canvas beside a list of strokes: who draws, who sees it, what a newcomer gets, what is left of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.web.canvas import CanvasMessages, Picture
from tests.fuzz.states.examples import examples

_STROKES, _BYTES = 4, 500
_BAD = ('{"type":"stroke"}', "[]", "\x00", '{"type":"clear","now":true}', '{"type":"stroke","points":[]}')


class _Painter:
    """Somebody who draws."""

    def __init__(self, picture: Picture) -> None:
        self.wire: Any = StringTransport()
        self.protocol: Any = CanvasMessages(picture)
        self.protocol.makeConnection(self.wire)  # type: ignore[no-untyped-call]
        self.expected: list[Any] = []

    def heard(self) -> list[Any]:
        text, found = self.wire.value().decode("utf-8"), []
        self.wire.clear()
        while text:
            message, end = json.JSONDecoder().raw_decode(text)
            found.append(message)
            text = text[end:]
        return found


class _Drawing(RuleBasedStateMachine):
    """Several draw on one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = Picture(_STROKES, _BYTES)
        self.painters: list[_Painter] = []
        self.strokes: list[Any] = []

    def _left(self) -> list[Any]:
        """Of what was drawn, what the picture still has: the newest, within both limits."""
        left = self.strokes[-_STROKES:]
        while sum(len(json.dumps(one, separators=(",", ":"))) for one in left) > _BYTES:
            left.pop(0)
        return left

    @rule()
    def come(self) -> None:
        if len(self.painters) < 5:
            painter = _Painter(self.picture)
            assert painter.heard() == [{"type": "picture", "strokes": self._left()}]
            self.painters.append(painter)

    @precondition(lambda self: self.painters)
    @rule(
        which=st.integers(0, 4),
        points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30),
        color=st.sampled_from(["#aabbcc", "#AABBCC", "#012345"]),
        width=st.floats(0.01, 100),
    )
    def draw(self, which: int, points: list[tuple[float, float]], color: str, width: float) -> None:
        painter = self.painters[which % len(self.painters)]
        stroke = {
            "type": "stroke",
            "points": [list(point) for point in points],
            "color": color,
            "width": width,
        }
        painter.protocol.dataReceived(json.dumps(stroke).encode())
        shown = {
            "type": "stroke",
            "points": [[round(x, 4), round(y, 4)] for x, y in points],
            "color": color.lower(),
            "width": round(width, 2),
        }
        self.strokes.append(shown)
        self._tell(painter, shown)

    @precondition(lambda self: self.painters)
    @rule(which=st.integers(0, 4))
    def clear(self, which: int) -> None:
        painter = self.painters[which % len(self.painters)]
        painter.protocol.dataReceived(b'{"type": "clear"}')
        self.strokes.clear()
        self._tell(painter, {"type": "clear"})

    def _tell(self, painter: _Painter, message: Any) -> None:
        for other in self.painters:
            if other is not painter:
                other.expected.append(message)

    @precondition(lambda self: self.painters)
    @rule(which=st.integers(0, 4), message=st.sampled_from(_BAD))
    def say_something_else(self, which: int, message: str) -> None:
        painter = self.painters[which % len(self.painters)]
        self.everybody_sees_what_others_do()
        painter.protocol.dataReceived(message.encode())
        (told,) = painter.heard()
        assert told["type"] == "error"
        assert told["reason"].isprintable()

    @precondition(lambda self: self.painters)
    @rule(which=st.integers(0, 4))
    def go(self, which: int) -> None:
        painter = self.painters.pop(which % len(self.painters))
        painter.protocol.connectionLost(Failure(ConnectionDone()))

    @invariant()
    def everybody_sees_what_others_do(self) -> None:
        for painter in self.painters:
            expected, painter.expected = painter.expected, []
            assert painter.heard() == expected

    @invariant()
    def the_picture_is_what_is_left(self) -> None:
        assert json.loads(self.picture.snapshot())["strokes"] == self._left()
        assert len(self.picture.snapshot()) < _BYTES + 100
        assert len(self.picture._drawing) == len(self.painters)


TestDrawing = _Drawing.TestCase
TestDrawing.settings = examples()
