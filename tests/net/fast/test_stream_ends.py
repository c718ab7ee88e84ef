"""How a connection ends, from either side and in each direction, is as on Twisted's own transports."""

from __future__ import annotations

import socket
from contextlib import suppress
from random import Random

import pytest
from OpenSSL import SSL
from zope.interface import implementer

from twisted.internet import error
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols import tls

from tests.certificates import Certificates
from tests.net.fast.conftest import Connect
from tests.net.fast.rig import HalfCloseable, Pair, narrow
from tests.net.tls_client import Client, client_context

_BYTES = Random(5).randbytes(2 << 20)


def test_bytes_that_wait_leave_before_the_connection_ends(anybodys: Connect) -> None:
    pair = anybodys()
    narrow(pair)
    pair.transport.write(_BYTES)
    pair.transport.loseConnection()
    pair.turn(3)
    assert not pair.protocol.reasons
    pair.must_take(_BYTES)
    assert pair.until_lost() is error.ConnectionDone
    assert pair.peer.recv(1) == b""


def test_our_direction_ends_behind_the_bytes_that_wait_and_the_other_goes_on(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    narrow(pair)
    pair.transport.write(_BYTES)
    pair.transport.loseWriteConnection()
    pair.turn(3)
    assert pair.protocol.told == []
    pair.must_take(_BYTES)
    pair.until(lambda: pair.protocol.told)
    assert pair.peer.recv(1) == b""
    pair.transport.write(b"too late")
    pair.transport.writeSequence([b"too", b"late"])
    pair.peer.sendall(b"still")
    pair.until(lambda: pair.protocol.received == b"still")
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until(lambda: len(pair.protocol.told) == 2)
    pair.transport.loseConnection()
    assert pair.until_lost() is error.ConnectionDone
    assert pair.protocol.told == ["writeConnectionLost", "readConnectionLost", "connectionLost"]


def test_the_peers_direction_ends_and_the_bytes_that_wait_still_leave(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    narrow(pair)
    pair.transport.write(_BYTES)
    pair.peer.sendall(b"last")
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until(lambda: pair.protocol.told == ["readConnectionLost"])
    assert pair.protocol.received == b"last"
    pair.must_take(_BYTES)
    pair.transport.write(b"and more")
    pair.turn()
    assert pair.peer.recv(100) == b"and more"
    pair.transport.loseConnection()
    assert pair.until_lost() is error.ConnectionDone


def test_a_peer_that_ends_its_direction_ends_it_all_for_who_knows_no_half(anybodys: Connect) -> None:
    pair = anybodys()
    pair.peer.sendall(b"last")
    pair.peer.shutdown(socket.SHUT_WR)
    assert pair.until_lost() is error.ConnectionDone
    assert pair.protocol.received == b"last"


def test_both_directions_end_ours_behind_the_bytes_that_wait(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    narrow(pair)
    pair.transport.write(_BYTES)
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until(lambda: pair.protocol.told)
    pair.transport.loseWriteConnection()
    pair.must_take(_BYTES)
    pair.until(lambda: len(pair.protocol.told) == 2)
    assert pair.peer.recv(1) == b""
    pair.transport.loseConnection()
    assert pair.until_lost() is error.ConnectionDone


def test_written_when_our_direction_is_to_end_it_still_leaves(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    pair.transport.loseWriteConnection()
    pair.transport.write(b"last")
    pair.until(lambda: pair.protocol.told)
    assert pair.peer.recv(100) == b"last"
    assert pair.peer.recv(100) == b""
    pair.transport.write(b"too late")
    pair.peer.shutdown(socket.SHUT_WR)
    pair.until(lambda: len(pair.protocol.told) == 2)
    assert pair.protocol.told == ["writeConnectionLost", "readConnectionLost"]


def test_our_direction_ends_once_and_from_a_later_turn_however_often_it_is_asked_for(
    anybodys: Connect,
) -> None:
    pair = anybodys(HalfCloseable())
    pair.transport.write(b"last")
    pair.transport.loseWriteConnection()
    pair.transport.loseWriteConnection()
    assert pair.protocol.told == []
    pair.until(lambda: pair.protocol.told)
    pair.turn(3)
    assert pair.protocol.told == ["writeConnectionLost"]
    assert pair.peer.recv(100) == b"last"
    assert pair.peer.recv(100) == b""


def test_what_does_not_fit_any_more_when_our_direction_is_to_end_leaves_before_that(
    anybodys: Connect,
) -> None:
    pair = anybodys(HalfCloseable())
    narrow(pair)
    pair.transport.loseWriteConnection()
    pair.transport.write(_BYTES)
    pair.turn(3)
    assert pair.protocol.told == []
    pair.must_take(_BYTES)
    pair.until(lambda: pair.protocol.told)
    assert pair.peer.recv(1) == b""


def test_the_whole_connection_ends_when_that_is_asked_for_right_behind_our_direction(
    anybodys: Connect,
) -> None:
    pair = anybodys(HalfCloseable())
    pair.transport.write(b"last")
    pair.transport.loseWriteConnection()
    pair.transport.loseConnection()
    assert pair.until_lost() is error.ConnectionDone
    assert pair.protocol.told == ["connectionLost"]
    assert pair.peer.recv(100) == b"last"


def test_an_abort_right_behind_the_end_of_our_direction_is_an_abort(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    pair.transport.loseWriteConnection()
    pair.transport.abortConnection()
    assert pair.until_lost() is error.ConnectionAborted
    with pytest.raises(ConnectionResetError):
        pair.peer.recv(1)


@pytest.mark.parametrize("pending", [0, len(_BYTES)])
def test_nothing_leaves_after_an_abort(anybodys: Connect, pending: int) -> None:
    pair = anybodys()
    narrow(pair)
    pair.transport.write(_BYTES[:pending])
    pair.turn()
    pair.transport.abortConnection()
    pair.transport.write(b"after")
    pair.transport.writeSequence([b"af", b"ter"])
    assert pair.protocol.told == []
    assert pair.until_lost() is error.ConnectionAborted
    received = bytearray()
    with suppress(ConnectionResetError):
        while data := pair.peer.recv(1 << 16):
            received += data
        pytest.fail("it ended in order")
    assert len(received) <= pending
    assert _BYTES.startswith(received)


def test_an_abort_from_inside_data_received(anybodys: Connect) -> None:
    pair = anybodys()

    def abort(data: bytes) -> None:
        pair.transport.abortConnection()
        pair.transport.write(data)

    pair.protocol.then = abort
    pair.peer.sendall(b"hello")
    assert pair.until_lost() is error.ConnectionAborted
    with pytest.raises(ConnectionResetError):
        pair.peer.recv(1)


def test_an_end_from_inside_data_received(anybodys: Connect) -> None:
    pair = anybodys()

    def end(data: bytes) -> None:
        pair.transport.write(b"good")
        pair.transport.loseConnection()
        pair.transport.write(b"bye")

    pair.protocol.then = end
    pair.peer.sendall(b"hello")
    pair.until(lambda: pair.protocol.received)
    pair.peer.sendall(b"nobody reads this")
    assert pair.until_lost() is error.ConnectionDone
    assert pair.protocol.received == b"hello"
    assert pair.peer.recv(4, socket.MSG_WAITALL) == b"good"


def test_an_end_at_once_from_inside_data_received(anybodys: Connect) -> None:
    pair = anybodys(HalfCloseable())
    pair.transport.loseWriteConnection()
    pair.until(lambda: pair.protocol.told)

    def end(data: bytes) -> None:
        # Where our direction has ended, nothing is waited for.
        pair.transport.loseConnection()
        assert pair.protocol.reasons
        pair.transport.write(data)

    pair.protocol.then = end
    pair.peer.sendall(b"hello")
    assert pair.until_lost() is error.ConnectionDone


def test_an_end_while_somebody_elses_bytes_are_delivered(anybodys: Connect) -> None:
    one, other = anybodys(), anybodys()
    for this, that in ((one, other), (other, one)):
        this.protocol.then = lambda _, that=that: that.transport.abortConnection()  # type: ignore[misc]
        this.peer.sendall(b"hello")
    one.until(lambda: one.protocol.reasons or other.protocol.reasons)
    one.turn(3)
    assert len(one.protocol.reasons + other.protocol.reasons) == 1
    assert len(one.protocol.received + other.protocol.received) == 5


def _tls(pair: Pair, certificates: Certificates) -> Client:
    """A client that has taken the connection over, when both have shaken hands."""
    client = Client(client_context(certificates.ca))

    def shaken() -> bool:
        done = client.shake()
        pair.peer.sendall(client.sent())
        client.feed(pair.there())
        return done

    pair.until(shaken)
    return client


@implementer(IOpenSSLServerConnectionCreator)
class _Starter:
    """What `startTLS` asks for the server's side."""

    def __init__(self, certificates: Certificates) -> None:
        """@param certificates: whose server's is shown."""
        self._context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self._context.use_certificate_file(str(certificates.server_both))
        self._context.use_privatekey_file(str(certificates.server_both))

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """See `IOpenSSLServerConnectionCreator`."""
        return SSL.Connection(self._context, None)


@pytest.mark.parametrize("full", [False, True])
def test_tls_starts_behind_what_was_written_in_the_clear(
    anybodys: Connect, certificates: Certificates, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = anybodys()
    monkeypatch.setattr(tls, "_get_default_clock", lambda: pair.reactor)
    if full:
        narrow(pair)
    clear = _BYTES if full else b"220 go ahead\r\n"
    pair.transport.write(clear)
    pair.transport.startTLS(_Starter(certificates))
    pair.transport.write(b"hidden")
    pair.must_take(clear)
    client = _tls(pair, certificates)
    read = bytearray()

    def has_read(text: bytes) -> bool:
        client.feed(pair.there())
        read.extend(client.read())
        return bytes(read) == text

    pair.until(lambda: has_read(b"hidden"))
    pair.protocol.then = pair.transport.write
    pair.peer.sendall(client.seal(b" and back"))
    pair.until(lambda: has_read(b"hidden and back"))
    assert pair.protocol.received == b" and back"
    pair.transport.loseConnection()
    pair.peer.sendall(client.end())
    assert pair.until_lost() is error.ConnectionDone
