"""
An error that a write finds is told by the reactor in a later turn, once, as a connection that was lost.

The system tells an error once: after that reading may look like an end in order, and writing may succeed.
"""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from twisted.internet import error

from tests.net.fast.conftest import Connect
from tests.net.fast.rig import Failing, HalfCloseable, Noting, Pair

ERRORS = [errno.ECONNRESET, errno.EPIPE, errno.EPERM, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENOMEM]


@pytest.mark.parametrize("protocol", [Noting, HalfCloseable])
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.__getitem__)
def test_an_error_ends_the_connection_in_a_later_turn(
    ours: Connect, number: int, protocol: type[Noting]
) -> None:
    pair = ours(protocol())
    sock = Failing(pair.transport, number)
    pair.transport.write(b"lost")
    pair.transport.write(b"lost too")
    assert sock.sent == 1
    assert pair.protocol.told == []
    assert pair.until_lost() is error.ConnectionLost
    assert pair.protocol.told == ["connectionLost"]
    assert sock.sent == 1, "what waited was not sent when the system would have taken it"


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.__getitem__)
def test_an_error_outweighs_an_end_in_order_that_is_read_after_it(ours: Connect, number: int) -> None:
    pair = ours(HalfCloseable())
    Failing(pair.transport, number)
    pair.peer.shutdown(socket.SHUT_WR)
    pair.transport.write(b"lost")
    assert pair.until_lost() is error.ConnectionLost
    assert pair.protocol.told == ["connectionLost"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS], ids=errno.errorcode.__getitem__)
def test_where_there_is_no_room_bytes_leave_later(ours: Connect, number: int) -> None:
    pair = ours()
    sock = Failing(pair.transport, None, number)
    for piece in (b"one ", b"two ", b"three"):
        pair.transport.write(piece)
    assert pair.peer.recv(100) == b"one "
    assert sock.sent == 2
    sock.errors = [number]
    pair.turn(3)
    assert pair.peer.recv(100) == b"two three"
    assert not pair.protocol.reasons


def test_what_was_received_before_the_error_is_delivered(ours: Connect) -> None:
    pair = ours()
    Failing(pair.transport, errno.ECONNRESET)
    pair.peer.sendall(bytes(60_000))
    pair.transport.write(b"lost")
    assert pair.until_lost() is error.ConnectionLost
    assert len(pair.protocol.received) == 60_000


def test_bytes_that_answer_bytes_find_the_error_where_the_rest_still_comes(ours: Connect) -> None:
    pair = ours()
    Failing(pair.transport, errno.ECONNRESET)
    pair.protocol.then = pair.transport.write
    pair.peer.sendall(bytes(60_000))
    assert pair.until_lost() is error.ConnectionLost
    assert len(pair.protocol.received) == 60_000


def _reset(pair: Pair) -> None:
    """Let the peer reset the connection."""
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.peer.close()


@pytest.mark.parametrize("protocol", [Noting, HalfCloseable])
def test_a_real_reset_that_a_write_finds_is_no_end_in_order(ours: Connect, protocol: type[Noting]) -> None:
    pair = ours(protocol())
    pair.peer.sendall(b"before")
    _reset(pair)
    pair.transport.write(b"lost")
    pair.transport.write(b"lost too")
    assert pair.protocol.told == []
    assert pair.until_lost() is error.ConnectionLost
    assert pair.protocol.received == b"before"
    assert pair.protocol.told == ["connectionLost"]


def test_a_real_reset_that_a_read_finds_is_told_as_twisted_tells_it(anybodys: Connect) -> None:
    pair = anybodys()
    _reset(pair)
    assert pair.until_lost() is error.ConnectionLost


def test_a_peer_that_is_gone_is_found_by_the_second_write(ours: Connect) -> None:
    pair = ours(HalfCloseable())
    pair.peer.close()
    pair.transport.write(b"answered with a reset")
    pair.transport.write(b"refused")
    assert pair.until_lost() is error.ConnectionLost
    assert pair.protocol.told == ["connectionLost"]


def test_an_error_is_found_when_reading_has_been_stopped(ours: Connect) -> None:
    pair = ours()
    pair.transport.pauseProducing()
    _reset(pair)
    pair.transport.write(b"lost")
    assert pair.until_lost() is error.ConnectionLost


@pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
def test_an_error_and_an_end_of_ours_end_it_once(ours: Connect, end: str) -> None:
    pair = ours()
    Failing(pair.transport, errno.EPIPE)
    pair.transport.write(b"lost")
    getattr(pair.transport, end)()
    pair.transport.write(b"lost too")
    expected = error.ConnectionAborted if end == "abortConnection" else error.ConnectionLost
    assert pair.until_lost() is expected
    pair.turn(3)
    assert pair.protocol.told == ["connectionLost"]


def test_on_a_unix_socket_too(ours: Connect) -> None:
    pair = ours(ends=lambda: socket.socketpair(socket.AF_UNIX))
    pair.transport.write(b"unread, which makes of the end a reset")
    pair.peer.sendall(b"before")
    pair.peer.close()
    pair.transport.write(b"lost")
    assert pair.protocol.told == []
    assert pair.until_lost() is error.ConnectionLost
