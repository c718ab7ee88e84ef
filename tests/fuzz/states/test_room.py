"""The chat room with members on streams and on WebSockets, beside a model of what each of them hears."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.services.chat import Chat
from netsvc.services.room import Room
from netsvc.web.chatroom import ChatMessages
from tests.fuzz.states.examples import examples

_NAMES = ("ann", "ANN", "bob", "eve", "\ufb01sh", "FISH", "mal: ", "* eve", "", " ann ", "x" * 65)
_TEXTS = ("hello", "", "a: b", "* bob left", "\u20ac" * 30, "tab\there", "\x1b[31mred", "x" * 101)

#: Names that nobody can have, and what a reader takes for the same.
_BAD = frozenset({"mal: ", "* eve", "", "x" * 65})
_A_BAD_NAME = "whatever is wrong with it"
_MOST = 3
_LONGEST = 100


def _same(name: str) -> str:
    return name.strip().casefold().replace("\ufb01", "fi")


class _Person:
    """
    Somebody at one end.

    @ivar name: what the others see, while it is in the room.
    @ivar expected: what it is to hear, in its own form.
    """

    def __init__(self, room: Room, streaming: bool) -> None:
        self.streaming = streaming
        self.name: str | None = None
        self.expected: list[Any] = []
        self.closing = False
        self.wire: Any = StringTransport()
        self.protocol: Any = (Chat if streaming else ChatMessages)(room, _LONGEST, _MOST)
        self.protocol.makeConnection(self.wire)  # type: ignore[no-untyped-call]

    def send(self, kind: str, text: str) -> None:
        if self.streaming:
            self.protocol.dataReceived(text.encode() + b"\n")
        else:
            member = "name" if kind == "join" else "text"
            self.protocol.dataReceived(json.dumps({"type": kind, member: text}).encode())

    def hear(self, kind: str, name: str, text: str = "") -> None:
        if not self.streaming:
            self.expected.append((kind, name, text))
        elif kind == "said":
            self.expected.append(f"{name}: {text}")
        elif kind != "here":
            self.expected.append(f"* {name} {kind}")

    def be_told(self, reason: str) -> None:
        self.expected.append(reason if self.streaming else ("error", reason, ""))

    def heard(self) -> list[Any]:
        text = self.wire.value().decode("utf-8")
        self.wire.clear()
        if self.streaming:
            return list(text.split("\n")[:-1])
        found = []
        while text:
            message, end = json.JSONDecoder().raw_decode(text)
            who = message.get("name") or message.get("reason") or ",".join(message.get("names", ()))
            found.append((message["type"], who, message.get("text", "")))
            text = text[end:]
        return found


class _Chatting(RuleBasedStateMachine):
    """People come, say things and go."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(lambda: 1)
        # In the order of their coming into the room, and those who are only connected behind them.
        self.people: list[_Person] = []

    def _members(self) -> list[_Person]:
        return [one for one in self.people if one.name is not None]

    @rule(streaming=st.booleans())
    def connect(self, streaming: bool) -> None:
        if len(self.people) < 6:
            self.people.append(_Person(self.room, streaming))

    @precondition(lambda self: self.people)
    @rule(which=st.integers(0, 5), name=st.sampled_from(_NAMES))
    def join(self, which: int, name: str) -> None:
        person = self.people[which % len(self.people)]
        if person.closing or (person.streaming and person.name is not None):
            return
        reason = self._refusal(person, name)
        if reason is None:
            for other in self._members():
                other.hear("joined", name.strip())
            self.people.remove(person)
            self.people.append(person)
            person.name = name.strip()
            # Whoever is only connected stands behind the members.
            person.hear("here", ",".join(one.name or "" for one in self._members()))
            person.send("join", name)
        else:
            person.send("join", name)
            (told,) = person.heard()
            if reason != _A_BAD_NAME:
                assert told == (reason if person.streaming else ("error", reason, ""))
            person.closing = person.streaming
        assert person.wire.disconnecting == person.closing

    def _refusal(self, person: _Person, name: str) -> str | None:
        if name in _BAD:
            return _A_BAD_NAME
        if person.name is not None:
            return "already here"
        if _same(name) in {_same(one.name or "") for one in self._members()}:
            return "name taken"
        return "room full" if len(self._members()) >= _MOST else None

    @precondition(lambda self: self.people)
    @rule(which=st.integers(0, 5), text=st.sampled_from(_TEXTS))
    def say(self, which: int, text: str) -> None:
        person = self.people[which % len(self.people)]
        if person.streaming and person.name is None and not person.closing:
            # Its first line would be its name.
            return
        too_long = len(text.encode()) > _LONGEST
        if person.closing:
            pass
        elif too_long and person.streaming:
            self._leaves(person)
            person.be_told("line too long")
            person.closing = True
        elif person.name is None:
            person.be_told("join first")
        elif too_long:
            person.be_told(f"the text is longer than {_LONGEST} bytes")
        else:
            for other in self._members():
                if other is not person:
                    other.hear("said", person.name, text.replace("\x1b", "\\x1b"))
        person.send("say", text)

    def _leaves(self, person: _Person) -> None:
        name, person.name = person.name, None
        for other in self._members():
            if name is not None:
                other.hear("left", name)

    @precondition(lambda self: self.people)
    @rule(which=st.integers(0, 5), politely=st.booleans())
    def go(self, which: int, politely: bool) -> None:
        person = self.people.pop(which % len(self.people))
        self._leaves(person)
        if politely and person.streaming:
            person.protocol.readConnectionLost()
            assert person.wire.disconnecting
        person.protocol.connectionLost(Failure(ConnectionDone()))

    @invariant()
    def everybody_hears_what_is_theirs(self) -> None:
        for person in self.people:
            expected, person.expected = person.expected, []
            assert person.heard() == expected

    @invariant()
    def the_room_knows_who_is_in_it(self) -> None:
        assert list(self.room._names.values()) == [one.name for one in self._members()]
        assert len(self.room._taken) == len(self._members()) <= _MOST


TestChatting = _Chatting.TestCase
TestChatting.settings = examples()
