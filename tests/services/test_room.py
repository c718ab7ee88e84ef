"""The chat room tells the right people the right things, whatever one of them does."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.logger import LogLevel, capturedLogs

from netsvc.services.plain import InvalidNameError
from netsvc.services.room import JoinError, Room


class Heard:
    """A member that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def here(self, names: list[str]) -> None:
        self.told.append(("here", *names))

    def joined(self, name: str) -> None:
        self.told.append(("joined", name))

    def left(self, name: str) -> None:
        self.told.append(("left", name))

    def said(self, name: str, text: str, time: int) -> None:
        self.told.append(("said", name, text, time))


class Broken(Heard):
    """A member that fails at the first coming of another."""

    def joined(self, name: str) -> None:
        raise RuntimeError("{broken}")


class SilentlyBroken(Heard):
    """A member that fails at the first word of another."""

    def said(self, name: str, text: str, time: int) -> None:
        raise RuntimeError("broken")


@pytest.fixture
def room() -> Room:
    return Room(lambda: 7)


def enter(room: Room, name: str, member: Heard | None = None) -> Heard:
    member = member or Heard()
    room.join(name, member, 1000)
    return member


def test_it_is_made_without_arguments() -> None:
    room = Room()
    ann, bob = enter(room, "ann"), enter(room, "bob")
    room.say(bob, "hi")
    *_, time = ann.told[-1]
    assert isinstance(time, int)
    assert time > 10**18


def test_everyone_hears_everyone_else(room: Room) -> None:
    ann, bob, eve = (enter(room, name) for name in ("ann", "bob", "eve"))
    room.say(ann, "hello")
    room.leave(eve)
    room.say(bob, "bye")
    assert ann.told == [
        ("here", "ann"),
        ("joined", "bob"),
        ("joined", "eve"),
        ("left", "eve"),
        ("said", "bob", "bye", 7),
    ]
    assert bob.told == [
        ("here", "ann", "bob"),
        ("joined", "eve"),
        ("said", "ann", "hello", 7),
        ("left", "eve"),
    ]
    assert eve.told == [("here", "ann", "bob", "eve"), ("said", "ann", "hello", 7)]


def test_who_is_not_in_the_room_neither_speaks_nor_leaves(room: Room) -> None:
    ann = enter(room, "ann")
    room.say(Heard(), "hello")
    room.leave(Heard())
    room.leave(ann)
    room.leave(ann)
    room.say(ann, "hello")
    assert ann.told == [("here", "ann")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ann", "ann"),
        ("Ann", "aNN"),
        ("Straße", "STRASSE"),
        ("é", "e\u0301"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﬁn", "fin"),
    ],
)
def test_a_name_is_taken_in_whatever_case_or_form_it_is_written(room: Room, first: str, second: str) -> None:
    member = enter(room, first)
    with pytest.raises(JoinError, match="name taken"):
        room.join(second, Heard(), 1000)
    assert member.told == [("here", first)]
    room.leave(member)
    enter(room, second)


def test_one_member_has_one_name(room: Room) -> None:
    ann = enter(room, "ann")
    with pytest.raises(JoinError, match="already here"):
        room.join("bob", ann, 1000)


def test_a_full_room_takes_nobody_until_somebody_leaves(room: Room) -> None:
    ann = Heard()
    room.join("ann", ann, 1)
    with pytest.raises(JoinError, match="room full"):
        room.join("bob", Heard(), 1)
    room.leave(ann)
    room.join("bob", Heard(), 1)


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "a\x1bb", "a\nb", "bob: hi", "* bob", "*", "\ud800"])
def test_a_name_by_which_one_could_seem_another_is_refused(room: Room, name: str) -> None:
    with pytest.raises(InvalidNameError):
        room.join(name, Heard(), 1000)


def test_blanks_around_a_name_are_left_out(room: Room) -> None:
    assert room.join("  ann b ", Heard(), 1000) == "ann b"


def test_a_text_reaches_everybody_as_one_plain_line(room: Room) -> None:
    ann, bob = enter(room, "ann"), enter(room, "bob")
    room.say(bob, "a\neve: b\x1b[2J\ud800")
    assert ann.told[-1] == ("said", "bob", r"a\neve: b\x1b[2J\ud800", 7)


def test_a_member_that_raises_is_out_and_the_others_hear_all(room: Room) -> None:
    ann = enter(room, "ann")
    enter(room, "broken", Broken())
    eve = enter(room, "eve")
    assert ann.told[1:] == [("joined", "broken"), ("joined", "eve"), ("left", "broken")]
    assert eve.told == [("here", "ann", "broken", "eve"), ("left", "broken")]
    enter(room, "broken")


def test_members_that_fail_together_are_all_out_and_each_failure_is_logged(room: Room) -> None:
    ann, bob = enter(room, "ann"), enter(room, "bob")
    enter(room, "first", SilentlyBroken())
    enter(room, "second", SilentlyBroken())
    with capturedLogs() as events:
        room.say(bob, "hello")
    assert [event["log_level"] for event in events] == [LogLevel.critical] * 2
    assert ann.told[-3:] == [("said", "bob", "hello", 7), ("left", "first"), ("left", "second")]
    assert bob.told[-2:] == [("left", "first"), ("left", "second")]


def test_a_newcomer_that_fails_at_once_is_out_again(room: Room) -> None:
    class Unready(Heard):
        def here(self, names: list[str]) -> None:
            raise RuntimeError("unready")

    ann = enter(room, "ann")
    enter(room, "bob", Unready())
    assert ann.told == [("here", "ann"), ("joined", "bob"), ("left", "bob")]
    enter(room, "bob")


def test_one_who_leaves_while_others_are_told_hears_no_more(room: Room) -> None:
    class Leaves(Heard):
        def said(self, name: str, text: str, time: int) -> None:
            room.leave(eve)

    enter(room, "leaves", Leaves())
    eve, bob = enter(room, "eve"), enter(room, "bob")
    room.say(bob, "hello")
    assert eve.told == [("here", "leaves", "eve"), ("joined", "bob")]
    assert bob.told[-1] == ("left", "eve")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["join", "leave", "say"]), st.text(max_size=5))))
def test_whoever_is_told_of_comings_and_goings_knows_who_is_here(steps: list[tuple[int, str, str]]) -> None:
    room, members = Room(lambda: 7), [Heard() for _ in range(5)]
    inside: dict[int, str] = {}
    for number, step, text in steps:
        if step == "join":
            with contextlib.suppress(JoinError, InvalidNameError):
                inside[number] = room.join(text, members[number], 4)
        elif step == "leave":
            room.leave(members[number])
            members[number].told.clear()
            inside.pop(number, None)
        else:
            room.say(members[number], text)
        for known in inside:
            here: set[object] = set()
            for kind, *words in members[known].told:
                if kind == "here":
                    here = set(words)
                elif kind == "joined":
                    here.add(words[0])
                elif kind == "left":
                    here.remove(words[0])
            assert here == set(inside.values())
    assert len(inside) <= 4
