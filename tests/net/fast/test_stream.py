"""What is written leaves at once, whole and in order; and nobody is kept waiting by somebody who writes."""

from __future__ import annotations

import socket
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet import tcp
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from netsvc.net.fast.stream import AT_ONCE, MOST_READ, Client, Connector, Port, Server
from tests.net.fast.conftest import Connect
from tests.net.fast.rig import Failing, Noting, Pair, reactor_of, until

_BYTES = Random(7).randbytes(4 << 20)


class KindOfBytes(bytes):
    """What is bytes for Twisted and another class for the interpreter."""


def test_what_is_written_leaves_without_a_turn(ours: Connect) -> None:
    pair = ours()
    pair.transport.write(b"one")
    pair.transport.write(b"two")
    assert pair.peer.recv(100) == b"onetwo"
    assert not pair.writing()


def test_an_answer_leaves_in_the_turn_that_brought_the_question(ours: Connect) -> None:
    pair = ours()
    pair.protocol.then = pair.transport.write
    pair.peer.sendall(b"hello")
    pair.until(lambda: pair.protocol.received)
    assert pair.there() == b"hello"


def test_nothing_written_is_nothing_sent(ours: Connect) -> None:
    pair = ours()
    sock = Failing(pair.transport)
    pair.transport.write(b"")
    pair.transport.write(KindOfBytes())
    assert not pair.writing()
    pair.transport.write(b"x")
    assert sock.sent == 1
    assert pair.peer.recv(1) == b"x"


@pytest.mark.parametrize("write", ["a kind of bytes", "several pieces"])
def test_what_waits_is_not_overtaken(ours: Connect, write: str) -> None:
    pair = ours()
    pair.transport.write(b"a")
    if write == "a kind of bytes":
        pair.transport.write(KindOfBytes(b"b"))
    else:
        pair.transport.writeSequence([b"", b"b", b""])
    pair.transport.write(b"c")
    assert pair.peer.recv(100) == b"a"
    pair.turn()
    assert pair.peer.recv(100) == b"bc"
    pair.transport.write(b"d")
    assert pair.peer.recv(100) == b"d", "nothing waits, and the next goes at once again"


@pytest.mark.parametrize(
    "value",
    ["text", bytearray(b"x"), memoryview(b"x"), None, 5, KindOfBytes(b"x"), b"", ""],
    ids=["text", "bytearray", "memoryview", "none", "int", "subclass", "empty", "empty text"],
)
def test_what_can_be_written_is_what_twisted_lets_be_written(value: Any) -> None:
    def of(server: type[tcp.Server]) -> object:
        with reactor_of("netsvc") as reactor:
            pair = Pair(reactor, server=server)
            try:
                pair.transport.write(value)
                raised = None
            except Exception as error:  # noqa: BLE001 - whatever Twisted's raises
                raised = type(error)
            pair.transport.write(b"after")
            pair.turn()
            received = pair.there()
            pair.close()
            return raised, received

    assert of(Server) == of(tcp.Server)


@given(
    kind=st.sampled_from(["netsvc", "select"]),
    writes=st.lists(
        st.tuples(st.sampled_from(["at once", "kind", "sequence"]), st.integers(0, 300_000)), max_size=12
    ),
    reads=st.lists(st.integers(0, 100_000), min_size=1, max_size=12),
    close=st.booleans(),
)
def test_what_the_system_does_not_take_leaves_later_whole_and_in_order(
    kind: str, writes: list[tuple[str, int]], reads: list[int], close: bool
) -> None:
    with reactor_of(kind) as reactor:
        pair = Pair(reactor, ends=lambda: socket.socketpair(socket.AF_UNIX))
        received, written = b"", 0
        for turn, (how, size) in enumerate(writes):
            piece = _BYTES[written : written + size]
            written += size
            if how == "sequence":
                pair.transport.writeSequence([piece[: size // 3], piece[size // 3 :]])
            else:
                pair.transport.write(piece if how == "at once" else KindOfBytes(piece))
            received += pair.there(reads[turn % len(reads)]) if reads[turn % len(reads)] else b""
            if turn % 3 == 0:
                pair.turn()
        if close:
            pair.transport.loseConnection()
        assert _BYTES.startswith(received)
        pair.must_take(_BYTES[len(received) : written])
        if close:
            pair.until_lost()
            assert pair.peer.recv(1) == b""
        else:
            pair.turn()
            assert not pair.writing()
        pair.close()


def test_after_many_bytes_at_once_a_write_goes_through_the_loop(ours: Connect) -> None:
    pair = ours()
    size = AT_ONCE // 16
    for _ in range(16):
        pair.transport.write(bytes(size))
        assert not pair.writing()
        pair.taken(size)
    pair.transport.write(b"x")
    assert pair.writing()
    pair.turn()
    assert pair.peer.recv(1) == b"x"
    pair.transport.write(b"y")
    assert not pair.writing()
    assert pair.peer.recv(1) == b"y"


def test_who_floods_keeps_nobody_waiting(ours: Connect) -> None:
    flood, other = ours(), ours()
    flood.protocol.then = flood.transport.write
    for message in (b"first", b"second", b"third"):
        flood.fill()
        before = len(flood.protocol.received)
        other.protocol.received.clear()
        other.peer.sendall(message)
        flood.turn(2)
        assert bytes(other.protocol.received) == message
        assert 0 < len(flood.protocol.received) - before <= 2 * MOST_READ
        flood.there(1 << 24)


def test_written_after_the_connection_is_to_end_it_still_leaves(anybodys: Connect) -> None:
    pair = anybodys()
    pair.transport.loseConnection()
    pair.transport.write(b"goodbye")
    pair.until_lost()
    assert pair.peer.recv(100) == b"goodbye"
    assert pair.peer.recv(100) == b""


def test_written_after_the_connection_has_ended_it_is_lost_in_silence(anybodys: Connect) -> None:
    pair = anybodys()
    pair.protocol.at_end = lambda: pair.transport.write(b"from connectionLost")
    pair.transport.loseConnection()
    pair.until_lost()
    pair.transport.write(b"later")
    pair.transport.writeSequence([b"and", b"later"])
    assert pair.peer.recv(100) == b""


class _Greeting(Noting):
    """Writes as soon as it can, twice."""

    def connectionMade(self) -> None:
        """Write."""
        self.transport.write(b"one")
        self.transport.write(b"two")


def _served(reactor: Any, protocol: Protocol) -> Any:
    factory = Factory()
    factory.buildProtocol = lambda _: protocol  # type: ignore[method-assign,assignment]
    port = Port(0, factory, interface="127.0.0.1", reactor=reactor)
    port.startListening()
    return port


def test_both_ends_can_be_ours(reactor: Any) -> None:
    server, client = Noting(), _Greeting()
    port = _served(reactor, server)
    factory = ClientFactory[Any]()
    factory.buildProtocol = lambda _: client  # type: ignore[method-assign,assignment]
    Connector("127.0.0.1", port.getHost().port, factory, 30, None, reactor).connect()
    until(reactor, lambda: server.received == b"onetwo")
    assert type(client.transport) is Client
    assert type(server.transport) is Server
    client.transport.write(b"three")
    assert client.transport not in reactor.getWriters()
    server.then = server.transport.write
    until(reactor, lambda: client.received == b"three")
    assert server.received == b"onetwothree"
    client.transport.loseConnection()  # type: ignore[no-untyped-call]
    port.stopListening()
    until(reactor, lambda: server.reasons and client.reasons and not port.connected)


def test_a_connection_that_cannot_be_opened_is_told_to_its_factory(reactor: Any) -> None:
    failures: list[object] = []
    factory = ClientFactory[Any]()
    factory.clientConnectionFailed = lambda _, reason: failures.append(reason.type)  # type: ignore[method-assign,assignment]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        Connector("127.0.0.1", nobody.getsockname()[1], factory, 30, None, reactor).connect()
        until(reactor, lambda: failures)
    assert [failure.__name__ for failure in failures] == ["ConnectionRefusedError"]  # type: ignore[attr-defined]
