"""
Clients for live tests: plain sockets to every kind of stream listener, and TLS with both of its endings.

`ssl.SSLSocket` cannot stop sending and go on reading; a client in memory over a plain socket can.
"""

from __future__ import annotations

import socket
import ssl
from functools import lru_cache
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, Daemon, read_exactly
from tests.net.tls_client import Client


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


#: The loopback addresses, as parameters of a test.
HOSTS = (
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")),
)

#: What one read takes.
_READ = 1 << 16


class Dial:
    """Connects to the stream services of one daemon."""

    def __init__(self, daemon: Daemon, ca: Path) -> None:
        """
        @param daemon: with at most one port for each service and transport.
        @param ca: whom TLS clients trust.
        """
        self._daemon = daemon
        self._ca = ca

    def __call__(self, service: str, transport: str = "tcp", host: str = "127.0.0.1") -> socket.socket:
        """
        A connection to a service.

        @param transport: ``tcp``, ``tls`` or ``unix``.
        @param host: of no meaning for ``unix``.
        """
        raw = self.raw(service, transport, host)
        return encrypted(raw, client_context(self._ca)) if transport == "tls" else raw

    def raw(self, service: str, transport: str = "tcp", host: str = "127.0.0.1") -> socket.socket:
        """The same without the TLS handshake."""
        if transport == "unix":
            return unix_stream(self._daemon.path(service))
        return socket.create_connection((host, self._daemon.port(service, transport)), PATIENCE)

    def barrier(self) -> None:
        """
        Wait until the daemon has dealt with everything that it was sent before; it must have echo.

        In each turn its reactor sees to every socket that has something. A new connection is accepted in one
        turn and read in the next, and an answer of the same turn may still be ahead of either: the third is
        not, and one more costs nothing.
        """
        with self("echo") as sock:
            for _ in range(4):
                exchange(sock, b"?", 1)

    def tls(self, service: str) -> TLSStream:
        """A TLS connection whose sending can be ended in both ways."""
        return TLSStream(self.raw(service, "tls"), client_context(self._ca))


def end_sending(sock: socket.socket) -> None:
    """
    Send no more, and go on reading.

    For a TLS connection this is a bare FIN; its own method of that name would give up TLS with it.
    """
    socket.socket.shutdown(sock, socket.SHUT_WR)


def unix_stream(path: Path | str) -> socket.socket:
    """A connection to a UNIX socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(path))
    return sock


@lru_cache
def client_context(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """What a TLS client knows: whom it trusts and, if given, its own certificate."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def encrypted(sock: socket.socket, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    """
    TLS on a connection, the handshake done.

    An end without close_notify raises `ssl.SSLEOFError` in reading, so an empty read is a clean end.
    """
    return context.wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)


class TLSStream:
    """
    One TLS connection over a socket.

    @ivar sock: what carries it.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """
        @param sock: connected; it is closed with this.
        @param context: from `client_context`.
        """
        self.sock = sock
        self._client = Client(context)
        while not self._client.shake():
            sock.sendall(self._client.sent())
            self._client.feed(self._read())
        sock.sendall(self._client.sent())

    def __enter__(self) -> TLSStream:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.sock.close()

    def seal(self, data: bytes) -> bytes:
        """Encrypt, for `sock` to send."""
        return self._client.seal(data)

    def seal_end(self) -> bytes:
        """A close_notify, for `sock` to send; the connection itself stays open both ways."""
        return self._client.end()

    def read_all(self) -> bytes:
        """
        Everything up to the server's close_notify.

        @raise AssertionError: the connection ended without one.
        """
        pieces = [self._client.read()]
        while not self._client.ended:
            self._client.feed(self._read())
            pieces.append(self._client.read())
        return b"".join(pieces)

    def _read(self) -> bytes:
        data = self.sock.recv(_READ)
        assert data, "the connection ended without close_notify"
        return data


def exchange(sock: socket.socket, message: bytes, size: int) -> bytes:
    """Send a message and read an answer of so many bytes."""
    sock.sendall(message)
    return read_exactly(sock, size)
