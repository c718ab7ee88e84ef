"""A stream of lines, cut anywhere, too long, broken, and unread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone
from netsvc.commands.linestream import LineStream
from netsvc.commands.room import WRITE_TIMEOUT

ADDRESS = Address("tcp", "host", 5222)


class Wire:
    """A connected stream of lines with both its ends."""

    def __init__(self, longest: int = 100) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.stream = LineStream(self.clock, ADDRESS, longest)
        self.stream.transport = self.transport
        self.stream.connectionMade()

    def line(self, patience: float | None = None) -> list[Any]:
        """Begin to read a line; what comes of it stands in the list."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.stream.line(patience)).addBoth(found.append)
        return found

    def room(self) -> Any:
        """What tells it when there is room."""
        return self.transport.producer

    def lose(self, error: Exception | None = None) -> None:
        """End the connection."""
        self.transport.producer = None
        self.stream.connectionLost(Failure(error or ConnectionDone()))


@given(
    strategies.lists(strategies.binary(max_size=9).filter(lambda line: b"\n" not in line)), strategies.data()
)
def test_lines_are_the_same_however_they_were_cut(lines: list[bytes], data: strategies.DataObject) -> None:
    wire = Wire()
    sent = b"".join(line + b"\n" for line in lines)
    while sent:
        size = data.draw(strategies.integers(1, len(sent)))
        wire.stream.dataReceived(sent[:size])
        sent = sent[size:]
    wire.lose()
    assert [wire.line()[0] for _ in lines] == [line.removesuffix(b"\r") for line in lines]
    assert wire.line() == [None]


def test_the_last_line_may_lack_its_end() -> None:
    wire = Wire()
    wire.stream.dataReceived(b"one\ntwo")
    wire.lose()
    assert [wire.line(), wire.line(), wire.line()] == [[b"one"], [b"two"], [None]]


def test_a_line_that_a_break_cut_off_is_none() -> None:
    wire = Wire()
    wire.stream.dataReceived(b"one\ntw")
    wire.lose(ConnectionLost())
    assert wire.line() == [b"one"]
    (failure,) = wire.line()
    assert failure.check(NotDone)
    assert str(failure.value).startswith("tcp://host:5222: the connection broke")


def test_a_line_that_is_too_long_ends_it() -> None:
    wire = Wire(longest=5)
    waiting = wire.line()
    wire.stream.dataReceived(b"12345")
    assert waiting == []
    wire.stream.dataReceived(b"6")
    assert wire.transport.disconnected
    wire.lose(ConnectionLost())
    assert "a line of more than 5 bytes" in str(waiting[0].value)


def test_patience_ends_when_no_byte_comes() -> None:
    wire = Wire()
    waiting = wire.line(patience=3)
    wire.clock.advance(2)
    wire.stream.dataReceived(b"x")
    wire.clock.advance(2)
    assert (waiting, wire.transport.disconnected) == ([], False)
    wire.clock.advance(1)
    assert wire.transport.disconnected
    wire.lose(ConnectionLost())
    assert "no answer in 3 seconds" in str(waiting[0].value)


def test_a_server_is_not_read_from_while_many_lines_wait() -> None:
    wire = Wire()
    wire.stream.dataReceived(b"x\n" * 1100)
    assert wire.transport.producerState == "paused"
    for _ in range(200):
        assert wire.line() == [b"x"]
    assert wire.transport.producerState == "producing"


def test_sending_waits_for_room() -> None:
    wire = Wire()
    room = wire.room()
    room.pauseProducing()
    sending = Deferred.fromCoroutine(wire.stream.send(b"hello"))
    assert wire.transport.value() == b"hello\n"
    assert not sending.called
    room.resumeProducing()
    assert sending.called


def test_a_server_that_does_not_read_is_given_up() -> None:
    wire = Wire()
    wire.room().pauseProducing()
    failures: list[Any] = []
    Deferred.fromCoroutine(wire.stream.send(b"hello")).addErrback(failures.append)
    wire.clock.advance(WRITE_TIMEOUT)
    assert str(failures[0].value) == "tcp://host:5222: the server does not read: not everything could be sent"
    assert wire.transport.disconnected


def test_what_is_sent_after_the_end_goes_nowhere() -> None:
    wire = Wire()
    wire.lose()
    assert Deferred.fromCoroutine(wire.stream.send(b"hello")).called
    wire.stream.finish()
    assert wire.transport.value() == b""


@pytest.mark.parametrize("error", [ConnectionDone(), ConnectionLost()])
def test_a_connection_that_we_close_may_end_in_any_way(error: Exception) -> None:
    wire = Wire()
    closing = Deferred.fromCoroutine(wire.stream.close())
    assert wire.transport.disconnecting
    waiting = wire.line()
    wire.lose(error)
    assert closing.called
    assert waiting == [None]
    assert wire.clock.getDelayedCalls() == []
