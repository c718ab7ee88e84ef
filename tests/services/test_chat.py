"""Chat on streams: lines in, lines out, however TCP cut them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.python.failure import Failure

from netsvc.services.chat import Chat, ChatFactory
from netsvc.services.room import Room
from tests.services.transports import MemoryTransport, connect


class Place:
    """A room, its service, and clients that connect to it."""

    def __init__(self, max_line: int = 8192, max_members: int = 1000) -> None:
        self.room = Room()
        self.factory = ChatFactory(self.room, max_line=max_line, max_members=max_members)

    def connect(self, *chunks: bytes) -> tuple[Chat, MemoryTransport]:
        chat = self.factory.buildProtocol(None)
        transport = connect(chat)
        for chunk in chunks:
            chat.dataReceived(chunk)
        return chat, transport


def lose(chat: Chat) -> None:
    chat.connectionLost(Failure(ConnectionDone()))


def test_its_interfaces() -> None:
    factory = ChatFactory(Room())
    verifyObject(IProtocolFactory, factory)
    verifyObject(IProtocol, factory.buildProtocol(None))
    verifyObject(IHalfCloseableProtocol, factory.buildProtocol(None))


def test_everyone_hears_everyone_else() -> None:
    place = Place()
    ann, to_ann = place.connect(b"ann\n")
    bob, to_bob = place.connect(b"bob\r\n")
    ann.dataReceived(b"hello\r\nthere\n")
    bob.dataReceived(b"\n")
    lose(bob)
    assert to_ann.value() == b"* bob joined\nbob: \n* bob left\n"
    assert to_bob.value() == b"ann: hello\nann: there\n"


def test_listeners_that_share_a_room_share_the_talk() -> None:
    place = Place()
    other = ChatFactory(place.room)
    _, to_ann = place.connect(b"ann\n")
    bob = other.buildProtocol(None)
    connect(bob)
    bob.dataReceived(b"bob\nhi\n")
    assert to_ann.value() == b"* bob joined\nbob: hi\n"


def test_a_name_in_use_is_refused_and_nobody_else_notices() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    again, to_again = place.connect(b"ANN\nhello\n")
    assert to_again.value() == b"name taken\n"
    assert to_again.disconnecting
    again.dataReceived(b"more\n")
    again.readConnectionLost()
    lose(again)
    assert to_ann.value() == b""


def test_who_was_refused_is_told_nothing_more() -> None:
    place = Place(max_line=10)
    place.connect(b"ann\n")
    again, transport = place.connect(b"ann\n12345678901")
    again.dataReceived(b"12345678901\n")
    again.readConnectionLost()
    assert transport.value() == b"name taken\n"


def test_a_full_room_says_so() -> None:
    place = Place(max_members=1)
    place.connect(b"ann\n")
    _, to_bob = place.connect(b"bob\n")
    assert to_bob.value() == b"room full\n"
    assert to_bob.disconnecting


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", b"the name is empty\n"),
        (b"  \r\n", b"the name is empty\n"),
        (b"\xff\n", b"the name is not UTF-8\n"),
        (b"x" * 65 + b"\n", b"the name is longer than 64 bytes\n"),
        (b"\x1b[2J\n", b"the name has a control character in it\n"),
        (b"bob: hi\n", b"the name has a colon in it, or a star before it\n"),
    ],
)
def test_a_bad_name_is_refused_with_its_reason(line: bytes, error: bytes) -> None:
    _, transport = Place().connect(line)
    assert transport.value() == error
    assert transport.disconnecting


def test_a_name_of_64_bytes_is_taken_with_blanks_around_it() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    place.connect(b" " + b"x" * 64 + b" \n")
    assert to_ann.value() == b"* " + b"x" * 64 + b" joined\n"


def test_a_line_that_is_too_long_closes_after_those_before_it_were_heard() -> None:
    place = Place(max_line=10)
    _, to_ann = place.connect(b"ann\n")
    bob, to_bob = place.connect(b"bob\n1234567890\r\n12345678901\nafter\n")
    bob.dataReceived(b"more\n")
    assert to_ann.value() == b"* bob joined\nbob: 1234567890\n* bob left\n"
    assert to_bob.value() == b"line too long\n"
    assert to_bob.disconnecting
    lose(bob)
    assert to_ann.value().count(b"left") == 1


def test_a_line_without_end_is_too_long_before_it_ends() -> None:
    _, transport = Place(max_line=10).connect(b"123456", b"78901")
    assert transport.value() == b"line too long\n"
    assert transport.disconnecting


def test_at_the_end_of_input_an_unfinished_line_counts() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    bob, to_bob = place.connect(b"bob\nhel", b"lo")
    bob.readConnectionLost()
    assert to_ann.value() == b"* bob joined\nbob: hello\n* bob left\n"
    assert to_bob.disconnecting


def test_a_client_that_ends_its_sending_without_a_word_is_closed() -> None:
    chat, transport = Place().connect()
    chat.readConnectionLost()
    assert transport.disconnecting
    assert transport.value() == b""


def test_a_connection_that_breaks_leaves_its_unfinished_line_unsaid() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    bob, _ = place.connect(b"bob\nhalf a li")
    lose(bob)
    assert to_ann.value() == b"* bob joined\n* bob left\n"


def test_nobody_can_drive_anothers_terminal() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    place.connect("bob\n\x1b]0;title\x07 \x9b2J \rann: me \u202e \t.\n".encode())
    assert to_ann.value().decode() == (
        "* bob joined\nbob: \\x1b]0;title\\x07 \\x9b2J \\rann: me \\u202e \t.\n"
    )


def test_bytes_that_are_no_text_are_replaced() -> None:
    place = Place()
    _, to_ann = place.connect(b"ann\n")
    place.connect(b"bob\ncaf\xe9\n")
    assert to_ann.value().decode() == "* bob joined\nbob: caf\ufffd\n"


_STREAMS = [
    b"bob\r\nhello\nthere\r\n\nlast",
    "Ζωή\nγειά\r\r\n\x1b\n".encode(),
    b"bob\n1234567890123456\r\n12345678901234567\nnever\n",
    b"ann\nhello\n",
    b"\nhello\n",
]


@pytest.mark.parametrize("stream", _STREAMS)
def test_however_the_stream_is_cut_the_same_is_heard(stream: bytes) -> None:
    def heard(*chunks: bytes) -> tuple[bytes, bytes, bool]:
        place = Place(max_line=16)
        _, to_ann = place.connect(b"ann\n")
        chat, transport = place.connect(*chunks)
        closed = transport.disconnecting
        chat.readConnectionLost()
        return to_ann.value(), transport.value(), closed

    whole = heard(stream)
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            assert heard(stream[:first], stream[first:second], stream[second:]) == whole


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.binary(max_size=30) | st.sampled_from([b"\n", b"\r\n"])), max_size=30
    )
)
def test_any_input_gives_others_whole_plain_lines(chunks: list[tuple[int, bytes]]) -> None:
    place = Place(max_line=20)
    _, to_ann = place.connect(b"ann\n")
    chats = [place.connect() for _ in range(3)]
    for number, data in chunks:
        chats[number][0].dataReceived(data)
    for chat, _ in chats:
        chat.readConnectionLost()
        lose(chat)
    text = to_ann.value().decode()
    assert text == "" or text.endswith("\n")
    assert text.splitlines() == text.split("\n")[:-1]
    assert text.count(" joined\n") >= text.count(" left\n") - sum(
        " left" in line for line in text.split("\n")
    )
