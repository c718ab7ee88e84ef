"""What arrives is shown at once, waited for, and harmless on a terminal; conversations, on all sockets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer, IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.commands.address import parse_address
from netsvc.commands.arrivals import Arrivals
from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_exchange import DatagramExchange
from netsvc.commands.datagram_socket import DatagramSocket
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.exchange import StreamExchange, exchange
from netsvc.commands.room import Room
from netsvc.commands.shown import InertText, hex_line, inert_lines
from netsvc.commands.standard_input import StandardInput
from tests.commands.breaking import read_and_reset
from tests.commands.programs import serving
from tests.live.daemon import PATIENCE

# -- arrivals -----------------------------------------------------------------------------------------------


def waiting(
    clock: Clock, arrivals: Arrivals, count: int, seconds: float
) -> tuple[list[bool], Deferred[None]]:
    """A wait for more than so many pieces, and where its result will be."""
    found: list[bool] = []

    async def wait() -> None:
        found.append(await arrivals.beyond(count, seconds))

    return found, Deferred.fromCoroutine(wait())


def test_a_wait_ends_with_the_piece_and_leaves_no_timer() -> None:
    clock, shown = Clock(), list[bytes]()
    arrivals = Arrivals(clock, shown.append)
    found, _ = waiting(clock, arrivals, 1, 5)
    arrivals.note(b"one")
    assert found == []
    arrivals.note(b"two")
    assert found == [True]
    assert shown == [b"one", b"two"]
    assert clock.getDelayedCalls() == []


def test_a_wait_ends_with_the_time_or_the_stream() -> None:
    clock = Clock()
    arrivals = Arrivals(clock, lambda piece: None)
    found, _ = waiting(clock, arrivals, 0, 5)
    clock.advance(4.9)
    assert found == []
    clock.advance(0.2)
    assert found == [False]
    found, _ = waiting(clock, arrivals, 0, 5)
    arrivals.note_end("closed", broken=False)
    assert found == [False]
    assert clock.getDelayedCalls() == []


def test_a_wait_that_is_cancelled_leaves_no_timer() -> None:
    clock = Clock()
    found, wait = waiting(clock, Arrivals(clock, lambda piece: None), 0, 5)
    wait.addErrback(lambda failure: failure.trap(CancelledError))
    wait.cancel()
    assert found == []
    assert clock.getDelayedCalls() == []


def test_silence_is_counted_from_the_last_piece_and_the_end_from_the_first() -> None:
    clock = Clock()
    arrivals = Arrivals(clock, lambda piece: None)
    for wait, over in ((arrivals.silence, False), (arrivals.until_end, True)):
        waited = Deferred.fromCoroutine(wait(5))
        for _ in range(3):
            clock.advance(2)
            arrivals.note(b"x")
        assert waited.called is over
        clock.advance(5.1)
        assert waited.called


def test_who_cannot_show_is_told_who_waits() -> None:
    def show(piece: bytes) -> None:
        raise BrokenPipeError

    clock = Clock()
    arrivals = Arrivals(clock, show)
    _, wait = waiting(clock, arrivals, 0, 5)
    caught: list[object] = []
    wait.addErrback(lambda failure: caught.append(failure.trap(BrokenPipeError)))
    arrivals.note(b"one")
    arrivals.note(b"two")
    assert caught == [BrokenPipeError]
    with pytest.raises(BrokenPipeError):
        arrivals.check()


def test_an_end_is_told_to_who_comes_before_and_after_it() -> None:
    arrivals, told = Arrivals(Clock(), lambda piece: None), list[str]()
    arrivals.when_ended(lambda: told.append("before"))
    arrivals.note_end("closed", broken=True)
    arrivals.when_ended(lambda: told.append("after"))
    assert told == ["before", "after"]
    assert (arrivals.end, arrivals.broken) == ("closed", True)


# -- shown --------------------------------------------------------------------------------------------------


@given(st.binary())
def test_nothing_acts_on_a_terminal(data: bytes) -> None:
    assert all(one.isprintable() or one in "\n\t" for one in inert_lines(data) if ord(one) < 0xA0)


@given(st.text(), st.data())
def test_text_is_the_same_however_it_was_cut(text: str, data: st.DataObject) -> None:
    sent, made, shown = text.encode(errors="surrogatepass") + b"\r\n\xe2\x82\xac\r", InertText(), ""
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        shown += made.feed(sent[:size])
        sent = sent[size:]
    assert shown + made.end() == inert_lines(text.encode(errors="surrogatepass")) + "\n€\\r"


def test_lines_and_text_stay_what_they_are() -> None:
    assert inert_lines("één\r\n\ttwo\r\x1b[2J\xff".encode()) == "één\n\ttwo\\r\\x1b[2Jÿ"
    assert inert_lines(b"\xff\xc3") == "\\xff\\xc3"
    assert hex_line(b"\x00\xffa") == b"00 ff 61\n"


# -- conversations ------------------------------------------------------------------------------------------


def test_the_interfaces_are_kept() -> None:
    arrivals = Arrivals(Clock(), lambda piece: None)
    address = parse_address("localhost:1")
    verifyObject(IPushProducer, Room(Clock(), StringTransport()))
    verifyObject(IReadDescriptor, StandardInput(Clock(), 0))

    class Reactor(Clock):
        def addReader(self, reader: object) -> None:
            """Nothing to read."""

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        made = DatagramExchange(Reactor(), address, arrivals, DatagramSocket(sock, ""), 1)
        verifyObject(IReadDescriptor, made)
        verifyObject(IWriteDescriptor, made)


@pytest.fixture
def datagrams() -> Iterator[socket.socket]:
    """A UDP socket on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_datagrams_go_out_and_come_back(started_reactor: Any, datagrams: socket.socket) -> None:
    shown: list[bytes] = []
    address = parse_address(f"udp://localhost:{datagrams.getsockname()[1]}")
    async with exchange(started_reactor, address, TLSOptions(), shown.append) as opened:
        for sent in (b"", b"x" * 65_507):
            await opened.send(sent)
            data, source = datagrams.recvfrom(1 << 16)
            assert data == sent
            before = opened.arrivals.count
            datagrams.sendto(data[::-1], source)
            assert await opened.arrivals.beyond(before, 10)
        with pytest.raises(NotDone, match="65508 bytes are more than a datagram can carry"):
            await opened.send(b"x" * 65_508)
    assert shown == [b"", b"x" * 65_507]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_refused_datagram_is_an_end(started_reactor: Any, datagrams: socket.socket) -> None:
    address = parse_address(f"udp://127.0.0.1:{datagrams.getsockname()[1]}")
    datagrams.close()
    async with exchange(started_reactor, address, TLSOptions(), lambda piece: None) as opened:
        await opened.send(b"x")
        assert not await opened.arrivals.beyond(0, 10)
        assert opened.arrivals.end == "connection refused"
        with pytest.raises(NotDone, match="connection refused"):
            await opened.send(b"y")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_unix_datagrams_are_answered_wait_for_room_and_leave_nothing(
    started_reactor: Any, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "s"))
        server.setblocking(False)
        shown: list[bytes] = []
        address = parse_address(f"unix-datagram://{tmp_path}/s")
        async with exchange(started_reactor, address, TLSOptions(), shown.append) as opened:
            await opened.send(b"x")
            data, source = server.recvfrom(10)
            # The server may be another user, who must find it and write to it.
            modes = [os.stat(path).st_mode & 0o777 for path in (source, os.path.dirname(source))]
            assert modes == [0o666, 0o711]
            server.sendto(data, source)
            assert await opened.arrivals.beyond(0, 10)

            async def flood() -> None:
                for _ in range(2_000):
                    await opened.send(b"y" * 1000)

            flooding = Deferred.fromCoroutine(flood())
            received = 0
            while received < 2_000:
                try:
                    received += len(server.recv(2000)) // 1000
                except BlockingIOError:
                    await Deferred.fromCoroutine(_turn(started_reactor))
            await flooding
        assert shown == [b"x"]
        assert not os.path.exists(os.path.dirname(source))


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_unix_datagrams_that_nobody_reads_are_given_up(started_reactor: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "s"))
        address = parse_address(f"unix-datagram://{tmp_path}/s")

        async def flood() -> None:
            async with exchange(started_reactor, address, TLSOptions(), lambda _: None, 0.05) as opened:
                while True:
                    await opened.send(b"y" * 1000)

        with pytest.raises(NotDone, match="the server does not read"):
            await flood()


async def _turn(reactor: Any) -> None:
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)
    await turn


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_more_than_a_slow_server_takes_waits_for_room(started_reactor: Any) -> None:
    size, got, reading = 32 << 20, list[int](), threading.Event()

    def take(connection: socket.socket) -> None:
        reading.wait(PATIENCE)
        taken = 0
        while data := connection.recv(1 << 16):
            taken += len(data)
        got.append(taken)
        connection.sendall(b"thanks")

    shown: list[bytes] = []
    with serving(take) as place:
        async with exchange(started_reactor, parse_address(place), TLSOptions(), shown.append) as opened:

            async def send_all() -> None:
                for _ in range(size >> 16):
                    await opened.send(bytes(1 << 16))

            sending = Deferred.fromCoroutine(send_all())
            assert not sending.called
            reading.set()
            await sending
            opened.finish()
            await opened.arrivals.silence(10)
            assert opened.arrivals.end == "closed by the server"
    assert (got, b"".join(shown)) == ([size], b"thanks")


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_reset_connection_is_broken_for_who_waits_and_who_sends(started_reactor: Any) -> None:
    with serving(read_and_reset) as place:
        async with exchange(started_reactor, parse_address(place), TLSOptions(), lambda _: None) as opened:
            await opened.send(b"x")
            assert not await opened.arrivals.beyond(0, 10)
            assert opened.arrivals.broken
            with pytest.raises(NotDone, match="before everything was sent"):
                await opened.send(b"x")


class Stalled:
    """A conversation with a server that does not read; in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.transport.abortConnection = lambda: self.lose()  # type: ignore[method-assign]
        arrivals = Arrivals(self.clock, lambda piece: None)
        self.exchange = cast(Any, StreamExchange(self.clock, parse_address("host:1"), arrivals, 30))
        self.exchange.makeConnection(self.transport)
        room: Any = self.transport.producer
        room.pauseProducing()
        self.outcome: list[Any] = []
        self.aborted = False

    def lose(self) -> None:
        """The transport ends the connection."""
        self.aborted = True
        self.exchange.connectionLost(Failure(ConnectionLost()))


def test_a_server_that_does_not_read_is_given_up() -> None:
    stalled = Stalled()
    Deferred.fromCoroutine(stalled.exchange.send(b"x")).addErrback(stalled.outcome.append)
    stalled.clock.advance(29)
    assert stalled.outcome == []
    stalled.clock.advance(1)
    (failure,) = stalled.outcome
    assert str(failure.value) == "tcp://host:1: the server does not read: not everything could be sent"
    assert stalled.aborted
    assert stalled.clock.getDelayedCalls() == []


def test_what_does_not_leave_by_the_end_is_told_and_a_hurry_does_not_wait() -> None:
    stalled = Stalled()
    Deferred.fromCoroutine(stalled.exchange.close(5)).addCallback(stalled.outcome.append)
    stalled.clock.advance(5)
    assert (stalled.outcome, stalled.aborted) == ([False], True)
    stalled = Stalled()
    closing = Deferred.fromCoroutine(stalled.exchange.close(5)).addErrback(stalled.outcome.append)
    closing.cancel()
    assert stalled.aborted
    assert stalled.outcome[0].check(CancelledError)
