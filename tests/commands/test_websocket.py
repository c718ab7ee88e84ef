"""The client's side of a WebSocket, in memory: what the server's frames become, and which frames are sent."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any, cast

import pytest

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import half_close, reason_of
from netsvc.commands.websocket import CLOSE_TIMEOUT, MAX_MESSAGE, Sockets

ADDRESS = Address("ws", "127.0.0.1", 8080, "/ws/echo")

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Inner(Protocol):
    """What talks over the WebSocket."""

    transport: Any

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.append(reason)


class Transport(StringTransport):
    """A connection that tells its protocol when it is ended."""

    protocol: Any = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


class Rig:
    """One WebSocket and the server's end of its connection."""

    def __init__(self) -> None:
        self.clock = Clock()
        # Twisted's has no annotations.
        self.transport: Any = cast(Any, Transport)()
        self.socket = Sockets(self.clock, ADDRESS, Factory.forProtocol(Inner)).buildProtocol(None)
        self.outcome: list[Any] = []
        self.socket.opened.addBoth(self.outcome.append)
        self.socket.makeConnection(self.transport)
        self.head = self.transport.value()
        self.transport.clear()

    def opening(self, headers: bytes = b"") -> bytes:
        """The server's answer to the opening handshake."""
        key = next(line[19:] for line in self.head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = b"HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n%b" % headers
        return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"

    @property
    def inner(self) -> Inner:
        """What talks over it."""
        [made] = self.outcome
        assert isinstance(made, Inner)
        return made

    def receive(self, opcode: int, payload: bytes, *, first: int = 0x80) -> None:
        """Let the server send a frame; without `first` it is not the last of its message."""
        self.socket.dataReceived(frame(opcode, payload, first=first))

    def sent(self) -> list[tuple[int, bytes]]:
        """The frames that were sent since somebody asked, unmasked."""
        data, frames = self.transport.value(), []
        self.transport.clear()
        while data:
            opcode, size, begin = data[0] & 15, data[1] & 127, 2
            assert data[1] & 128, "a client's frames are masked"
            if size == 126:
                size, begin = struct.unpack("!H", data[2:4])[0], 4
            mask, payload = data[begin : begin + 4], data[begin + 4 : begin + 4 + size]
            frames.append((opcode, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))))
            data = data[begin + 4 + size :]
        return frames

    def lose(self, reason: Exception | None = None) -> str:
        """End the connection; gives what is said of it."""
        self.socket.connectionLost(Failure(reason or ConnectionDone()))
        [ended] = self.inner.ended
        return reason_of(ended)


def frame(opcode: int, payload: bytes, *, first: int = 0x80) -> bytes:
    """A server's frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first | opcode, size)
    elif size < 65536:
        head = struct.pack("!BBH", first | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, 127, size)
    return head + payload


@pytest.fixture
def rig() -> Rig:
    """One that is open."""
    made = Rig()
    made.socket.dataReceived(made.opening())
    return made


def close(code: int | None, reason: bytes = b"") -> bytes:
    """The payload of a Close."""
    return b"" if code is None else struct.pack("!H", code) + reason


def test_it_is_open_once_the_server_has_said_so() -> None:
    rig = Rig()
    assert (rig.head.split(b"\r\n")[0], rig.outcome) == (b"GET /ws/echo HTTP/1.1", [])
    rig.socket.dataReceived(rig.opening() + frame(TEXT, b"greeting"))
    assert rig.inner.received == [b"greeting"]


@pytest.mark.parametrize("split", [1, 7, 60])
def test_the_opening_may_come_in_pieces(split: int) -> None:
    rig = Rig()
    whole = rig.opening() + frame(BINARY, b"x")
    for begin in range(0, len(whole), split):
        rig.socket.dataReceived(whole[begin : begin + split])
    assert rig.inner.received == [b"x"]


@pytest.mark.parametrize(
    "headers",
    [
        b"Sec-WebSocket-Accept: wrong\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
        b"Sec-WebSocket-Protocol: chat\r\n",
    ],
)
def test_a_server_that_opens_something_else_is_refused(headers: bytes) -> None:
    rig = Rig()
    rig.socket.dataReceived(rig.opening(headers))
    [refusal] = rig.outcome
    assert refusal.check(NotDone)
    assert str(refusal.value).startswith("ws://127.0.0.1:8080/ws/echo: ")
    assert rig.transport.aborted
    rig.socket.connectionLost(Failure(ConnectionLost()))


def test_a_refusal_says_why() -> None:
    rig = Rig()
    rig.socket.dataReceived(b'HTTP/1.1 403 No\r\nContent-Length: 29\r\n\r\n{"error":"a token is needed"}')
    assert str(rig.outcome[0].value) == "ws://127.0.0.1:8080/ws/echo: 403 a token is needed"
    assert rig.transport.aborted


def test_a_connection_that_is_lost_before_it_is_open_is_a_failure() -> None:
    rig = Rig()
    rig.socket.connectionLost(Failure(ConnectionLost()))
    assert rig.outcome[0].check(ConnectionLost)
    rig = Rig()
    rig.socket.dataReceived(b"HTTP/1.1 404 No\r\n\r\n")
    rig.socket.connectionLost(Failure(ConnectionDone()))
    assert str(rig.outcome[0].value) == "ws://127.0.0.1:8080/ws/echo: 404 No"


def test_what_is_written_is_a_message_of_text_if_it_can_be(rig: Rig) -> None:
    rig.inner.transport.write(b"hello")
    rig.inner.transport.write("é".encode())
    rig.inner.transport.write(b"\xff")
    rig.inner.transport.writeSequence([b"a", b"b"])
    rig.inner.transport.write(b"")
    rig.inner.transport.write(b"x" * 1000)
    assert rig.sent() == [
        (TEXT, b"hello"),
        (TEXT, "é".encode()),
        (BINARY, b"\xff"),
        (TEXT, b"ab"),
        (TEXT, b""),
        (TEXT, b"x" * 1000),
    ]


def test_a_message_is_given_whole(rig: Rig) -> None:
    rig.receive(TEXT, b"hel", first=0)
    rig.receive(PING, b"are you there")
    rig.receive(0, b"lo")
    rig.receive(BINARY, b"\xff\x00")
    rig.receive(TEXT, b"")
    assert rig.inner.received == [b"hello", b"\xff\x00", b""]
    assert rig.sent() == [(PONG, b"are you there")]


@pytest.mark.parametrize(("code", "reason"), [(1000, b""), (1001, b"bye"), (None, b"")])
def test_the_server_s_close_is_the_end(rig: Rig, code: int | None, reason: bytes) -> None:
    rig.receive(CLOSE, close(code, reason))
    assert rig.sent() == [(CLOSE, close(1000))]
    rig.inner.transport.write(b"too late")
    assert rig.sent() == []
    assert rig.lose() == "closed by the server"


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1013, b"per_address", "closed by the server with 1013: per_address"),
        (1011, b"", "closed by the server with 1011"),
        (4000, b"\xff", r"closed by the server with 4000: \xff"),
    ],
)
def test_a_server_that_closes_for_a_reason_is_quoted(rig: Rig, code: int, reason: bytes, text: str) -> None:
    rig.receive(CLOSE, close(code, reason))
    assert rig.lose() == text


def test_a_server_that_does_not_hang_up_after_its_close_is_dropped(rig: Rig) -> None:
    rig.receive(CLOSE, close(1000))
    rig.clock.advance(CLOSE_TIMEOUT)
    assert rig.transport.disconnecting
    assert rig.lose() == "closed by the server"
    assert not rig.clock.getDelayedCalls()


def test_without_a_close_the_connection_broke(rig: Rig) -> None:
    assert rig.lose().startswith("the connection broke")


def test_after_our_close_the_server_may_still_speak(rig: Rig) -> None:
    half_close(rig.inner.transport)
    half_close(rig.inner.transport)
    assert rig.sent() == [(CLOSE, close(1000))]
    rig.clock.advance(10 * CLOSE_TIMEOUT)
    rig.receive(TEXT, b"answer")
    rig.receive(CLOSE, close(1000))
    rig.receive(TEXT, b"after the end")
    assert rig.inner.received == [b"answer"]
    assert rig.lose() == "closed by the server"


def test_who_closes_does_not_wait_for_ever(rig: Rig) -> None:
    rig.inner.transport.loseConnection()
    assert rig.sent() == [(CLOSE, close(1000))]
    rig.inner.transport.loseConnection()
    assert not rig.transport.disconnecting
    rig.clock.advance(CLOSE_TIMEOUT)
    assert rig.transport.disconnecting
    rig.lose()
    assert not rig.clock.getDelayedCalls()


def test_who_aborts_does_not_wait_at_all(rig: Rig) -> None:
    rig.inner.transport.abortConnection()
    assert rig.transport.aborted
    rig.lose(ConnectionLost())


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x81\x81\0\0\0\0x",  # masked
        b"\xc1\x01x",  # a reserved bit
        b"\x83\x01x",  # a reserved opcode
        b"\x80\x01x",  # the end of no message
        b"\x81\x01\xff",  # text that is none
        b"\x88\x01x",  # half a code
        struct.pack("!BBQ", 0x82, 127, MAX_MESSAGE + 1),
    ],
)
def test_a_server_that_breaks_the_protocol_is_told_and_left(rig: Rig, wrong: bytes) -> None:
    rig.socket.dataReceived(wrong)
    [(opcode, payload)] = rig.sent()
    assert opcode == CLOSE
    assert struct.unpack("!H", payload[:2])[0] in (1002, 1007, 1009)
    assert rig.transport.disconnecting
    assert rig.lose().startswith("the server broke the WebSocket protocol: ")
    assert rig.inner.received == []


def test_fragments_are_bounded_together(rig: Rig) -> None:
    piece = b"x" * (MAX_MESSAGE // 4)
    rig.receive(BINARY, piece, first=0)
    for _ in range(4):
        rig.receive(0, piece, first=0)
    assert rig.lose().endswith("a message of more than 16,777,216 bytes")


def test_reading_and_writing_are_held_back_below(rig: Rig) -> None:
    producer: Any = object()
    transport = rig.inner.transport
    transport.registerProducer(producer, True)
    assert rig.transport.producer is producer
    transport.unregisterProducer()
    assert rig.transport.producer is None
    rig.transport.registerProducer(producer, True)
    transport.pauseProducing()
    assert rig.transport.producerState == "paused"
    transport.resumeProducing()
    assert rig.transport.producerState == "producing"
    assert (transport.getPeer(), transport.getHost()) == (rig.transport.getPeer(), rig.transport.getHost())
