"""The chat in JSON: its vocabulary, its errors, and the one room with those who come over a stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from twisted.internet.testing import StringTransport

from netsvc.services.chat import ChatFactory
from netsvc.settings import Limits
from tests.web.frames import BINARY, TEXT, frame
from tests.web.service_rig import ServiceRig, SocketClient


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.end()


def joined(rig: ServiceRig, name: str) -> SocketClient:
    client = rig.open("/ws/chat")
    client.say(type="join", name=name)
    assert client.heard()[0]["names"][-1] == name
    return client


def test_everyone_else_hears_what_is_said(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    assert ann.heard() == [{"type": "joined", "name": "bob"}]
    ann.say(type="say", text="hello <b>bob</b>")
    (said,) = bob.heard()
    assert said.pop("time").isdigit()
    assert said == {"type": "said", "name": "ann", "text": "hello <b>bob</b>"}
    assert ann.heard() == []
    ann.close()
    assert bob.heard() == [{"type": "left", "name": "ann"}]


def test_a_newcomer_is_told_who_is_here(rig: ServiceRig) -> None:
    joined(rig, "ann")
    client = rig.open("/ws/chat")
    client.say(type="join", name=" bob ")
    assert client.heard() == [{"type": "here", "names": ["ann", "bob"]}]


def test_those_on_a_stream_are_in_the_same_room(rig: ServiceRig) -> None:
    stream = ChatFactory(rig.room).buildProtocol(None)
    wire = StringTransport()
    stream.makeConnection(wire)
    stream.dataReceived(b"nc\n")
    ann = joined(rig, "ann")
    ann.say(type="say", text="one line\nonly")
    stream.dataReceived(b"hello\n")
    assert wire.value() == b"* ann joined\nann: one line\\nonly\n"
    (said,) = ann.heard()
    assert (said["name"], said["text"]) == ("nc", "hello")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"hello", "expected a JSON object"),
        (b"\xff", "expected a JSON object"),
        (b"[]", "expected a JSON object"),
        (b'"join"', "expected a JSON object"),
        (b"[" * 1600, "expected a JSON object"),
        # No more than is needed for a text of the longest, however it is written.
        (b"[" * 100_000, "a message has at most 1624 bytes"),
        (b'{"type":"say","text":"' + b"\\u0041" * 100 + b'"}', "join first"),
        (b'{"type": "say", "text": NaN}', "expected a JSON object"),
        (b"{}", "expected a type of join, say"),
        (b'{"type": "leave"}', "expected a type of join, say"),
        (b'{"type": []}', "expected a type of join, say"),
        (b'{"type": "join"}', "join has name beside its type"),
        (b'{"type": "join", "name": "a", "admin": true}', "join has name beside its type"),
        (b'{"type": "join", "name": 7}', "expected name to be a string"),
        (b'{"type": "join", "name": ""}', "the name is empty"),
        (b'{"type": "join", "name": "a\\u0000"}', "the name has a control character in it"),
        (b'{"type": "join", "name": "\\ud800"}', "the name has a control character in it"),
        (b'{"type": "join", "name": "a: b"}', "the name has a colon in it, or a star before it"),
        (b'{"type": "join", "name": "ANN"}', "name taken"),
        (b'{"type": "say", "text": "hello"}', "join first"),
    ],
)
def test_what_cannot_be_taken_is_told_and_the_client_may_try_again(
    rig: ServiceRig, message: bytes, reason: str
) -> None:
    joined(rig, "ann")
    client = rig.open("/ws/chat")
    client.send(frame(BINARY if b"\xff" in message else TEXT, message))
    (one,) = client.frames()
    assert reason.encode() in one.payload
    client.say(type="join", name="bob")
    assert client.heard()[-1]["type"] == "here"


def test_one_joins_once_and_says_no_more_than_a_line(rig: ServiceRig) -> None:
    ann = joined(rig, "ann")
    ann.say(type="join", name="other")
    ann.say(type="say", text="€" * 34)
    ann.say(type="say", text="\ud800")
    reasons = [one["reason"] for one in ann.heard()]
    assert reasons == ["already here", "the text is longer than 100 bytes"]


def test_the_room_can_be_full(rig: ServiceRig) -> None:
    for name in ("ann", "bob", "eve"):
        joined(rig, name)
    client = rig.open("/ws/chat")
    client.say(type="join", name="mal")
    assert client.heard() == [{"type": "error", "reason": "room full"}]


def test_it_is_facts_of_the_chat(rig: ServiceRig) -> None:
    joined(rig, "ann").close()
    assert rig.of("chat") == ["opened ws", "received ws", "sent ws", "closed ws"]


def test_who_vanished_is_found_and_has_left(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    ann.heard()
    rig.clock.advance(20.0)
    ann.frames()
    ann.send(frame(10, b"netsvc"))
    rig.clock.advance(20.0)
    assert (ann.wire.aborted, bob.wire.aborted) == (False, True)
    bob.lose()
    assert ann.heard() == [{"type": "left", "name": "bob"}]


def test_who_cannot_keep_up_is_dropped_and_the_others_notice_its_leaving_alone() -> None:
    rig = ServiceRig(carried=Limits(idle_timeout=0, write_budget=1000))
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    ann.heard()
    bob.wire.producer.pauseProducing()
    for _ in range(20):
        ann.say(type="say", text="*" * 90)
    assert bob.wire.aborted
    bob.lose()
    assert ann.heard() == [{"type": "left", "name": "bob"}]
    rig.end()
