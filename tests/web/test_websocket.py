"""One WebSocket: what it may cost, how long it waits, how it is held back, and how it ends."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from netsvc.web import websocket
from netsvc.web.conversation import CLOSE_TIMEOUT
from netsvc.web.websocket import WebSocket
from netsvc.web.wire import ProtocolFailure
from netsvc.web.wire import frame as server_frame
from tests.net.guard_rig import Turns
from tests.web.frames import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    ServerFrames,
    close,
    close_code,
    frame,
)
from tests.web.socket_rig import Bounds, Client

MIB = 1024 * 1024
KIB = 1024


class Listener:
    """
    A conversation that notes what happens.

    @ivar pausing: it pauses at each message.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.pausing = False
        self.closing = True
        self.socket: Any = None

    def opened(self, socket: WebSocket) -> None:
        self.socket = socket
        self.events.append("opened")

    def received(self, data: bytes, binary: bool) -> None:
        self.events.append(data)
        if self.pausing:
            self.socket.pause()

    def finished(self) -> None:
        self.events.append("finished")
        if self.closing:
            self.socket.close()

    def stalled(self) -> None:
        self.events.append("stalled")

    def flowing(self) -> None:
        self.events.append("flowing")

    def lost(self, reason: Failure) -> None:
        self.events.append(reason.type)


class Rig:
    """One client of a listener."""

    def __init__(self, bounds: Bounds | None = None, offer: str = "") -> None:
        self.clock: Clock = Turns()
        self.listener = Listener()
        self.client = Client(self.clock, self.listener, bounds, offer)
        self.socket = self.client.socket
        self.wire = self.client.wire

    def messages(self) -> list[bytes]:
        return [event for event in self.listener.events if isinstance(event, bytes)]


def test_the_opening_handshake_is_answered_as_the_rfc_has_it() -> None:
    rig = Rig()
    lines = rig.client.answer.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert b"Sec-WebSocket-Accept: " + ACCEPT in lines
    assert not any(line.startswith((b"Server", b"Sec-WebSocket-Extensions")) for line in lines)
    rig.client.lose()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("binary", [False, True])
def test_a_message_is_one_frame(size: int, binary: bool) -> None:
    payload = b"*" * size
    assert ServerFrames().feed(server_frame(payload, binary)) == [Frame(BINARY if binary else TEXT, payload)]


# -- what it may cost ------------------------------------------------------------------------------------


def peak_of(run: Any) -> int:
    """Bytes of memory that something takes at its worst."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_messages_that_never_end_share_what_there_is_for_all_of_them() -> None:
    rig = Rig()
    unfinished = rig.socket.factory.unfinished
    others = [object() for _ in range(127)]
    for one in others:
        unfinished.add(one)
    rig.client.send(frame(BINARY, b"*" * (512 * KIB), fin=False))
    assert rig.client.received() == []
    rig.client.send(frame(CONTINUATION, b"*"))
    assert close_code(rig.client.received()) == 1009
    rig.client.lose()
    assert unfinished.share() == 64 * MIB // 127


def test_what_has_ended_has_no_share_any_more() -> None:
    rig = Rig()
    for _ in range(3):
        rig.client.send(frame(BINARY, b"*" * KIB, fin=False), frame(CONTINUATION, b"*"))
    assert [len(one) for one in rig.messages()] == [KIB + 1] * 3
    assert rig.socket.factory.unfinished.share() == 64 * MIB
    rig.client.lose()


def test_300_mb_of_unfinished_fragments_end_in_1009_and_take_less_than_4_mib() -> None:
    rig = Rig()
    first = frame(BINARY, b"*" * 65_536, fin=False)
    more = frame(CONTINUATION, b"*" * 65_536, fin=False)

    def send() -> None:
        rig.client.send(first)
        for _ in range(300 * MIB // len(more)):
            rig.client.send(more)

    assert peak_of(send) < 4 * MIB
    assert close_code(rig.client.received()) == 1009
    assert rig.wire.closed
    rig.client.lose()
    assert rig.listener.events == ["opened", ProtocolFailure]


def test_a_message_cut_into_the_smallest_fragments_takes_no_more() -> None:
    rig = Rig()
    pieces = frame(CONTINUATION, b"**", fin=False) * 1000

    def send() -> None:
        rig.client.send(frame(BINARY, b"", fin=False))
        for _ in range(20):
            rig.client.send(pieces)

    assert peak_of(send) < MIB
    assert rig.listener.events == ["opened"]
    rig.client.lose()


def test_a_message_of_empty_fragments_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_FRAGMENTS", 100)
    rig = Rig()
    rig.client.send(frame(TEXT, fin=False), frame(CONTINUATION, fin=False) * 99)
    assert rig.client.received() == []
    rig.client.send(frame(CONTINUATION, fin=False))
    assert close_code(rig.client.received()) == 1009
    rig.client.lose()


def bomb(size: int) -> bytes:
    """Zeros, compressed to a thousandth."""
    codec = zlib.compressobj(wbits=-15)
    pieces = [codec.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*pieces, codec.flush(zlib.Z_SYNC_FLUSH)]).removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("cut", [1 << 20, 1000])
def test_a_compressed_bomb_ends_in_1009_and_takes_less_than_4_mib(cut: int) -> None:
    rig = Rig(offer="permessage-deflate")
    payload = bomb(128 * MIB)
    whole = frame(BINARY, payload, rsv=4)
    pieces = [whole[n : n + cut] for n in range(0, len(whole), cut)]
    assert peak_of(lambda: rig.client.send(*pieces)) < 4 * MIB
    assert close_code(rig.client.received()) == 1009
    assert rig.messages() == []
    rig.client.lose()


def test_a_small_message_that_inflates_beyond_its_own_limit_ends_in_1009() -> None:
    rig = Rig(Bounds(max_inflated=1000), "permessage-deflate")
    rig.client.send(frame(TEXT, zlib.compress(b"*" * 1001, wbits=-15), rsv=4))
    assert close_code(rig.client.received()) == 1009
    rig.client.lose()


@pytest.mark.parametrize(("size", "code"), [(100, None), (101, 1009)])
def test_a_frame_has_a_limit_of_its_own(size: int, code: int | None) -> None:
    rig = Rig(Bounds(max_frame=100))
    rig.client.send(frame(TEXT, b"*" * size))
    assert close_code(rig.client.received()) == code
    rig.client.lose()


def test_a_frame_that_is_too_large_is_refused_before_it_comes() -> None:
    rig = Rig(Bounds(max_message=100))
    rig.client.send(frame(TEXT, b"", length=101))
    assert close_code(rig.client.received()) == 1009
    rig.client.lose()


def test_very_many_frames_in_one_read_are_taken_in_several_turns() -> None:
    rig = Rig()
    rig.socket.dataReceived(frame(TEXT, b"a") * 5000)
    first = len(rig.messages())
    assert 0 < first < 1000
    assert not rig.wire.reading
    rig.clock.advance(0.001)
    assert first < len(rig.messages()) < 2000
    for _ in range(100):
        rig.clock.advance(0.001)
    assert len(rig.messages()) == 5000
    assert rig.wire.reading
    rig.client.lose()


def test_messages_that_take_their_time_are_taken_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as small frames that inflate to large messages."""
    rig = Rig()
    received = rig.listener.received

    def slow(data: bytes, binary: bool) -> None:
        rig.clock.rightNow += 0.002
        received(data, binary)

    monkeypatch.setattr(rig.listener, "received", slow)
    rig.socket.dataReceived(frame(TEXT, b"a") * 20)
    assert len(rig.messages()) == 2
    assert not rig.wire.reading
    for _ in range(20):
        rig.clock.advance(0.001)
    assert len(rig.messages()) == 20
    assert rig.wire.reading
    rig.client.lose()


# -- who is still there ----------------------------------------------------------------------------------


def test_a_peer_that_answers_pings_stays() -> None:
    rig = Rig()
    for _ in range(20):
        rig.clock.pump([1.0] * 21)
        for one in rig.client.received():
            assert one.opcode == PING
            rig.client.send(frame(PONG, one.payload))
    assert not rig.wire.closed
    assert not rig.wire.aborted
    rig.client.lose()


def test_a_peer_of_which_nothing_is_heard_after_a_ping_is_dropped() -> None:
    rig = Rig()
    rig.clock.advance(20.0)
    assert [one.opcode for one in rig.client.received()] == [PING]
    rig.clock.advance(19.9)
    assert not rig.wire.aborted
    rig.clock.advance(0.2)
    assert rig.wire.aborted
    rig.client.lose(clean=False)
    assert rig.listener.events == ["opened", ConnectionLost]
    assert rig.clock.getDelayedCalls() == []


def test_any_byte_is_a_sign_of_life() -> None:
    rig = Rig()
    rig.clock.advance(20.0)
    rig.client.send(frame(BINARY, b"begun", fin=False)[:3])
    rig.clock.advance(20.0)
    assert not rig.wire.aborted
    rig.client.lose()


def test_a_peer_that_is_not_read_is_not_held_for_dead() -> None:
    rig = Rig()
    rig.socket.pause()
    rig.clock.pump([10.0] * 20)
    assert not rig.wire.aborted
    rig.client.lose()


def test_without_an_interval_there_are_no_pings() -> None:
    rig = Rig(Bounds(ping_interval=0))
    assert rig.clock.getDelayedCalls() == []
    rig.client.lose()


# -- held back -------------------------------------------------------------------------------------------


def test_who_pauses_gets_not_even_what_was_read_already() -> None:
    rig = Rig()
    rig.listener.pausing = True
    rig.socket.dataReceived(b"".join(frame(TEXT, b"%d" % n) for n in range(4)))
    assert rig.messages() == [b"0"]
    assert not rig.wire.reading
    for n in range(1, 4):
        rig.socket.resume()
        assert rig.messages()[-1] == b"%d" % n
        assert not rig.wire.reading
    rig.socket.resume()
    assert rig.wire.reading
    assert len(rig.messages()) == 4
    rig.client.lose()


def test_what_comes_while_it_is_paused_waits() -> None:
    rig = Rig()
    rig.socket.pause()
    whole = frame(TEXT, b"one") + frame(TEXT, b"") + frame(TEXT, b"three")
    for n in range(len(whole)):
        rig.socket.dataReceived(whole[n : n + 1])
    assert rig.messages() == []
    rig.socket.resume()
    assert rig.messages() == [b"one", b"", b"three"]
    rig.client.lose()


def test_the_transport_tells_whether_the_peer_reads() -> None:
    rig = Rig()
    rig.wire.pressure.pauseProducing()
    rig.wire.pressure.resumeProducing()
    assert rig.listener.events == ["opened", "stalled", "flowing"]
    rig.client.lose()


# -- the end ---------------------------------------------------------------------------------------------


def test_the_peers_close_is_answered_with_its_code() -> None:
    rig = Rig()
    rig.client.send(close(4321, b"why not"))
    assert rig.client.received() == [Frame(CLOSE, b"\x10\xe1")]
    assert rig.wire.closed
    rig.client.lose()
    assert rig.listener.events == ["opened", "finished", ConnectionDone]


def test_the_last_word_comes_before_the_answer_to_a_close() -> None:
    rig = Rig()
    rig.listener.closing = False
    rig.client.send(close(), frame(TEXT, b"too late"))
    rig.socket.send(b"last word", binary=False)
    assert rig.client.received() == [Frame(TEXT, b"last word")]
    rig.clock.advance(CLOSE_TIMEOUT)
    assert close_code(rig.client.received()) == 1000
    assert rig.wire.closed
    rig.client.lose()
    assert rig.messages() == []


def test_nothing_is_kept_of_what_comes_behind_a_close() -> None:
    rig = Rig()
    rig.listener.closing = False
    rig.client.send(close())
    piece = bytes(65_536)

    def send() -> None:
        for _ in range(500):
            rig.client.send(piece)

    assert peak_of(send) < MIB
    rig.clock.advance(CLOSE_TIMEOUT)
    assert close_code(rig.client.received()) == 1000
    rig.client.lose()


def test_our_close_waits_for_the_peers() -> None:
    rig = Rig()
    rig.socket.close(1001, "the daemon stops")
    rig.socket.send(b"too late", binary=False)
    assert rig.client.received() == [Frame(CLOSE, b"\x03\xe9the daemon stops")]
    assert not rig.wire.closed
    rig.client.send(close(1001))
    assert rig.wire.closed
    assert rig.client.received() == []
    rig.client.lose()
    assert rig.clock.getDelayedCalls() == []


def test_our_close_does_not_wait_for_ever() -> None:
    rig = Rig()
    rig.socket.close()
    rig.clock.advance(CLOSE_TIMEOUT)
    assert rig.wire.closed
    rig.client.lose()


def test_a_reason_is_cut_between_characters() -> None:
    rig = Rig()
    rig.socket.close(1000, "€" * 100)
    (one,) = rig.client.received()
    assert one.payload[2:].decode() == "€" * 41
    rig.client.lose()


def test_a_connection_that_breaks_is_told_as_it_was() -> None:
    rig = Rig()
    rig.client.lose(clean=False)
    assert rig.listener.events == ["opened", ConnectionLost]
    rig.socket.send(b"too late", binary=False)
    rig.socket.close()
    assert rig.client.received() == []
    assert rig.clock.getDelayedCalls() == []


def test_an_offer_that_cannot_be_read_opens_nothing() -> None:
    rig = Rig(offer="permessage-deflate; server_max_window_bits=77")
    assert rig.client.answer.startswith(b"HTTP/1.1 400 ")
    assert rig.wire.closed
    rig.client.lose()
    assert rig.listener.events == []


def test_a_peer_that_ends_its_sending_without_a_close_is_answered_all_the_same() -> None:
    rig = Rig()
    rig.socket.dataReceived(frame(TEXT, b"a") * 500)
    rig.socket.readConnectionLost()
    assert "finished" not in rig.listener.events
    rig.clock.pump([0.001] * 10)
    assert len(rig.messages()) == 500
    assert close_code(rig.client.received()) == 1005
    assert rig.wire.closed
    rig.client.lose()
