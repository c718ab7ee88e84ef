"""Producers are asked for more, held and let go as on Twisted's own transports; none can keep the reactor."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from zope.interface import implementer

from twisted.internet import error
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.python.failure import Failure

from netsvc.net.fast.stream import AT_ONCE
from tests.net.fast.conftest import Connect
from tests.net.fast.rig import Pair, narrow

_BYTES = Random(3).randbytes(2 << 20)


@implementer(IPushProducer, IPullProducer)
class Source:
    """
    A producer of `_BYTES`, of either kind.

    @ivar told: what it was told, one letter each: p for pause, r for resume, s for stop.
    @ivar written: how many bytes it has written.
    @ivar then: what it does when it is resumed.
    """

    def __init__(self, pair: Pair, piece: int = 10_000) -> None:
        """@param piece: bytes that it writes at a time."""
        self._pair = pair
        self._piece = piece
        self.told = ""
        self.written = 0
        self.paused = self.busy = False
        self.then: Callable[[], object] = lambda: None
        self.at_pause: Callable[[], object] = lambda: None

    def write(self) -> None:
        """Write a piece."""
        piece = _BYTES[self.written : self.written + self._piece]
        self.written += len(piece)
        self.busy = True
        self._pair.transport.write(piece)
        self.busy = False

    def write_until_paused(self) -> None:
        """What a push producer does."""
        while not self.paused and self.written < len(_BYTES):
            self.write()

    def pauseProducing(self) -> None:
        """See `IPushProducer`, as for the others."""
        self.told += "p"
        self.paused = True
        self.at_pause()

    def resumeProducing(self) -> None:
        assert not self.busy, "asked for more from inside write"
        self.told += "r"
        self.paused = False
        self.then()

    def stopProducing(self) -> None:
        self.told += "s"
        self.paused = True


def test_a_push_producer_is_held_while_much_waits_and_let_go(anybodys: Connect) -> None:
    pair = anybodys()
    narrow(pair)
    source = Source(pair)
    source.then = source.write_until_paused
    pair.transport.registerProducer(source, True)
    source.write_until_paused()
    assert source.told == "p"
    pair.turn(200)
    held_at = source.written
    pair.turn(20)
    assert source.written == held_at, "nobody reads, and nothing more is written"
    pair.must_take(_BYTES)
    assert set(source.told[1::2]) == {"r"}
    assert set(source.told[::2]) == {"p"}
    assert source.told.count("r") > 1


def test_a_pull_producer_is_asked_for_more_when_all_has_left(anybodys: Connect) -> None:
    pair = anybodys()
    source = Source(pair, 100_000)
    source.then = lambda: (
        source.write() if source.written < len(_BYTES) else pair.transport.unregisterProducer()
    )
    pair.transport.registerProducer(source, False)
    assert source.told == "r"
    pair.turn()
    assert source.told == "rr", "it is asked once in a turn"
    pair.must_take(_BYTES)
    pair.turn()
    assert set(source.told) == {"r"}
    pair.transport.write(b"after it")
    pair.turn()
    assert pair.peer.recv(100) == b"after it"


def test_what_is_written_beside_a_pull_producer_asks_it_for_more(anybodys: Connect) -> None:
    pair = anybodys()
    source = Source(pair)
    pair.transport.registerProducer(source, False)
    pair.turn()
    for _ in range(3):
        source.told = ""
        pair.transport.write(b"beside it")
        assert source.told == ""
        pair.turn()
        assert source.told == "r"


def test_a_producer_that_is_never_held_by_its_client_is_held_all_the_same(ours: Connect) -> None:
    pair, other = ours(), ours()
    source = Source(pair, 1 << 16)
    received = 0

    def write_until_paused() -> None:
        nonlocal received
        while not source.paused:
            source.written = 0
            source.write()
            # The client reads as fast as it writes.
            received += len(pair.there())

    source.then = write_until_paused
    pair.transport.registerProducer(source, True)
    write_until_paused()
    assert received == AT_ONCE
    for _ in range(3):
        other.protocol.received.clear()
        other.peer.sendall(b"me too")
        before = received
        pair.turn()
        assert other.protocol.received == b"me too"
        received += len(pair.there())
        assert received - before <= AT_ONCE


@pytest.mark.parametrize("streaming", [True, False])
def test_what_is_written_from_resume_is_in_its_order(anybodys: Connect, streaming: bool) -> None:
    pair = anybodys()
    narrow(pair)
    source = Source(pair, 300_000)
    words = [b"<resumed>", b"<and more>"]

    def once() -> None:
        if source.told.count("r") == (1 if streaming else 2):
            for word in words:
                pair.transport.write(word)

    source.then = once
    pair.transport.registerProducer(source, streaming)
    source.write()
    pair.transport.write(b"<behind>")
    expected = _BYTES[:300_000] + b"<behind>" + b"".join(words)
    pair.must_take(expected)


def test_what_is_written_from_pause_is_in_its_order(anybodys: Connect) -> None:
    pair = anybodys()
    narrow(pair)
    source = Source(pair, 1_000_000)
    source.at_pause = lambda: pair.transport.write(b"<paused>") if source.told == "p" else None
    pair.transport.registerProducer(source, True)
    source.write()
    pair.transport.write(b"<behind>")
    expected = _BYTES[:1_000_000] + b"<paused><behind>"
    pair.must_take(expected)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_producer_of_a_lost_connection_is_stopped_and_may_write_on(
    anybodys: Connect, streaming: bool
) -> None:
    pair = anybodys()
    source = Source(pair)
    pair.transport.registerProducer(source, streaming)
    pair.protocol.at_end = source.write
    pair.peer.close()
    assert pair.until_lost() is error.ConnectionDone
    assert source.told.endswith("s")
    source.write()
    late = Source(pair)
    pair.transport.registerProducer(late, streaming)
    assert late.told == "s"


def test_a_producer_that_aborts_when_it_is_asked_for_more_sends_nothing_more(anybodys: Connect) -> None:
    pair = anybodys()
    source = Source(pair)

    def abort() -> None:
        if source.told == "rr":
            pair.transport.abortConnection()

    source.then = abort
    pair.transport.registerProducer(source, False)
    pair.transport.write(b"before")
    pair.transport.unregisterProducer()
    pair.transport.registerProducer(source, True)
    source.told = "r"
    pair.transport.producerPaused = True
    pair.until(lambda: source.told == "rr" or pair.protocol.reasons)
    sent = _sends(pair)
    pair.transport.write(b"after")
    assert sent == []
    assert pair.until_lost() is error.ConnectionAborted


def test_a_producer_that_ends_the_connection_when_it_is_asked_for_more_may_write_on(
    anybodys: Connect,
) -> None:
    pair = anybodys()
    source = Source(pair)
    pair.transport.registerProducer(source, False)
    source.then = lambda: pair.transport.connectionLost(Failure(error.ConnectionDone()))
    pair.transport.write(b"before")
    assert pair.until_lost() is error.ConnectionDone
    pair.transport.write(b"after")


def test_a_second_producer_is_refused_and_the_first_goes_on(anybodys: Connect) -> None:
    pair = anybodys()
    source = Source(pair)
    pair.transport.registerProducer(source, True)
    for streaming in (True, False):
        with pytest.raises(RuntimeError):
            pair.transport.registerProducer(Source(pair), streaming)
    source.write()
    pair.turn()
    assert pair.peer.recv(10_000) == _BYTES[:10_000]


@pytest.mark.parametrize("streaming", [True, False])
def test_the_connection_ends_when_its_producer_has_been_unregistered(
    anybodys: Connect, streaming: bool
) -> None:
    pair = anybodys()
    narrow(pair)
    source = Source(pair, len(_BYTES))
    pair.transport.registerProducer(source, streaming)
    source.write()
    pair.transport.loseConnection()
    pair.turn(3)
    assert not pair.protocol.reasons
    pair.transport.unregisterProducer()
    pair.must_take(_BYTES)
    assert pair.until_lost() is error.ConnectionDone


def _sends(pair: Pair) -> list[bytes]:
    """What is handed to the system from now on."""
    sent: list[bytes] = []
    sock: Any = pair.transport.getHandle()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(sock, name)

        def send(self, data: bytes) -> int:
            sent.append(bytes(data))
            return int(sock.send(data))

    pair.transport.socket = Watched()
    return sent
