"""The canvas: what is drawn, who sees it, what a newcomer gets, and what the picture may cost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from twisted.internet.testing import StringTransport

from netsvc.web.canvas import MAX_POINTS, CanvasMessages, Picture
from tests.web.frames import TEXT, frame
from tests.web.service_rig import ServiceRig

STROKE = {"type": "stroke", "points": [[0, 0.5], [0.25, 1]], "color": "#AABBCC", "width": 3}
SHOWN = {"type": "stroke", "points": [[0.0, 0.5], [0.25, 1.0]], "color": "#aabbcc", "width": 3.0}


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.end()


def test_everyone_else_sees_a_stroke_and_a_newcomer_the_picture(rig: ServiceRig) -> None:
    ann, bob = rig.open("/ws/canvas"), rig.open("/ws/canvas")
    assert ann.heard() == bob.heard() == [{"type": "picture", "strokes": []}]
    ann.say(**STROKE)
    assert bob.heard() == [SHOWN]
    assert ann.heard() == []
    eve = rig.open("/ws/canvas")
    assert eve.heard() == [{"type": "picture", "strokes": [SHOWN]}]
    bob.close()
    ann.say(**STROKE)
    assert eve.heard() == [SHOWN]


def test_a_cleared_picture_is_empty_for_all(rig: ServiceRig) -> None:
    ann, bob = rig.open("/ws/canvas"), rig.open("/ws/canvas")
    ann.say(**STROKE)
    bob.say(type="clear")
    assert ann.heard()[-1] == {"type": "clear"}
    assert rig.open("/ws/canvas").heard() == [{"type": "picture", "strokes": []}]


@pytest.mark.parametrize(
    "change",
    [
        {"points": []},
        {"points": [[0, 0]] * (MAX_POINTS + 1)},
        {"points": [[0]]},
        {"points": [[0, 0, 0]]},
        {"points": [[0, "0"]]},
        {"points": [[0, True]]},
        {"points": [[-0.1, 0]]},
        {"points": [[0, 1.1]]},
        {"points": [[0, 10**400]]},
        {"points": "0,0"},
        {"color": "red"},
        {"color": "#12345"},
        {"color": "#1234567"},
        {"color": "#12345\n"},
        {"color": 7},
        {"width": 0},
        {"width": -1},
        {"width": 101},
        {"width": "3"},
        {"width": True},
        {"extra": 1},
        {"type": "erase"},
    ],
)
def test_a_stroke_that_cannot_be_drawn_is_refused(rig: ServiceRig, change: dict[str, Any]) -> None:
    ann, bob = rig.open("/ws/canvas"), rig.open("/ws/canvas")
    ann.heard(), bob.heard()
    ann.say(**{**STROKE, **change})
    (told,) = ann.heard()
    assert told["type"] == "error"
    assert bob.heard() == []
    assert rig.picture.snapshot() == b'{"type":"picture","strokes":[]}'


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000])
def test_a_number_that_is_none_is_refused(rig: ServiceRig, number: str) -> None:
    client = rig.open("/ws/canvas")
    client.heard()
    client.send(frame(TEXT, json.dumps(STROKE).replace("0.25", number).encode()))
    assert client.heard()[0]["type"] == "error"


def test_the_longest_stroke_is_drawn_and_a_longer_message_is_not_even_read(rig: ServiceRig) -> None:
    client = rig.open("/ws/canvas")
    client.heard()
    point = [1 / 3, 2 / 3]
    client.say(**{**STROKE, "points": [point] * 1000})
    assert client.heard() == []
    client.send(frame(TEXT, b"[" + b"[]," * 30_000 + b"0]"))
    assert client.heard() == [{"type": "error", "reason": "a message has at most 65536 bytes"}]


class Silent(CanvasMessages):
    def tell(self, message: bytes) -> None:
        self.told = message


@pytest.mark.parametrize(("strokes", "size", "left"), [(3, 10_000, 3), (100, 50, 5), (100, 9, 0)])
def test_the_oldest_strokes_leave_first(strokes: int, size: int, left: int) -> None:
    picture = Picture(strokes, size)
    client = Silent(picture)
    for n in range(20):
        picture.draw(b"stroke%04d" % n, client)
    shown = b",".join(b"stroke%04d" % n for n in range(20 - left, 20))
    assert picture.snapshot() == b'{"type":"picture","strokes":[%b]}' % shown


def test_who_is_gone_is_shown_nothing() -> None:
    picture = Picture()
    ann, bob = Silent(picture), Silent(picture)
    ann.makeConnection(StringTransport())
    bob.makeConnection(StringTransport())
    picture.draw(b"one", bob)
    ann.connectionLost()
    picture.draw(b"two", bob)
    assert ann.told == b"one"


def test_what_is_drawn_is_facts_of_the_canvas(rig: ServiceRig) -> None:
    client = rig.open("/ws/canvas")
    client.say(**STROKE)
    client.close()
    assert rig.of("canvas") == ["opened ws", "sent ws", "received ws", "closed ws"]
