"""
Clients that send, or read, as slowly as they can, on every transport: they get what is theirs as long as they
get on at all, nobody waits for them, and whoever stops is dropped.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, read_exactly
from tests.live.streams import client_context, encrypted, exchange, unix_stream
from tests.live.timeline import WatchedDaemon, watched
from tests.web.frames import BINARY, PING, frame, opening

pytestmark = pytest.mark.live

#: Clients of each transport.
CLIENTS = 30

#: Seconds without progress after which a client is dropped.
WRITE_TIMEOUT = 1.0

#: Bytes that a slow reader has asked for: more than all buffers on the way hold.
_LONG = 12_000_000

#: Bytes that the system keeps of them for a slow reader, and that it reads at a time: so few that the system
#: does not find room for more from us all the while.
_BUFFER, _SIP = 65_536, 16_384

#: What a socket that is not to wait says when there is nothing to do.
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_TRANSPORTS = ["tcp", "tls", "unix", "ws", "proxied"]
_HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 7\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[WatchedDaemon]:
    directory = tmp_path_factory.mktemp("slow")
    query = f"write_timeout={WRITE_TIMEOUT}"
    options = [
        f"--echo=tcp://127.0.0.1:0?{query}",
        f"--echo=tls://127.0.0.1:0?{query}&certificate={certificates.server_both}",
        f"--echo=unix://{directory}/echo.sock?{query}",
        f"--echo=ws://127.0.0.1:0?{query}",
        f"--whoami=tcp://127.0.0.1:0?{query}&proxy=required",
        f"--timestamp=tcp://127.0.0.1:0?{query}",
        f"--web=tcp://127.0.0.1:0?{query}",
    ]
    with watched(directory, *options) as started:
        yield started


def _dial(
    daemon: WatchedDaemon, transport: str, certificates: Certificates, buffer: int = 0
) -> socket.socket:
    if transport == "unix":
        return unix_stream(daemon.path("echo"))
    service, below = ("whoami", "tcp") if transport == "proxied" else ("echo", transport)
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", daemon.port(service, below)))
    return encrypted(sock, client_context(certificates.ca)) if transport == "tls" else sock


@pytest.mark.parametrize("transport", _TRANSPORTS)
def test_who_sends_byte_by_byte_is_served_and_nobody_waits_for_it(
    daemon: WatchedDaemon, certificates: Certificates, transport: str
) -> None:
    message = b"hello, byte by byte"
    said = {"ws": opening("/") + frame(BINARY, message), "proxied": _HEADER}.get(transport, message)
    with ExitStack() as stack, daemon.connect("timestamp") as other:
        slow = [stack.enter_context(_dial(daemon, transport, certificates)) for _ in range(CLIENTS)]
        for at in range(len(said)):
            for sock in slow:
                sock.sendall(said[at : at + 1])
            assert exchange(other, b"x", 28).endswith(b"] x")
        for sock in slow:
            if transport == "proxied":
                assert b'"192.0.2.1"' in sock.recv(4096)
            elif transport == "ws":
                assert b"101 Switching Protocols" in _read_until(sock, b"\r\n\r\n")
                assert read_exactly(sock, 2 + len(message)).endswith(message)
            else:
                assert read_exactly(sock, len(message)) == message


def test_who_reads_slowly_gets_all_of_it_and_is_not_taken_for_stuck(
    daemon: WatchedDaemon, certificates: Certificates
) -> None:
    """Nothing more can be written to it for longer than that time, but it gets on."""
    with ExitStack() as stack, daemon.connect("timestamp") as other:
        socks = {
            transport: stack.enter_context(_dial(daemon, transport, certificates, _BUFFER))
            for transport in ("tcp", "tls", "unix", "ws")
        }
        readers = [_Reader(sock, transport) for transport, sock in socks.items()]
        begun = time.monotonic()
        while readers:
            assert time.monotonic() < begun + PATIENCE, readers
            is_slow = time.monotonic() < begun + 1.6 * WRITE_TIMEOUT
            for reader in readers:
                reader.send()
                reader.read(_SIP if is_slow else _LONG)
            readers = [reader for reader in readers if reader.left]
            assert exchange(other, b"x", 28).endswith(b"] x")
            if is_slow:
                time.sleep(WRITE_TIMEOUT / 20)


class _Reader:
    """
    A client of echo that sends as fast as it is let.

    @ivar left: bytes that it has not read yet.
    """

    def __init__(self, sock: socket.socket, transport: str) -> None:
        block = bytes(range(250)) * 240
        said, heard = block, len(block)
        if transport == "ws":
            sock.sendall(opening("/"))
            _read_until(sock, b"\r\n\r\n")
            said, heard = frame(BINARY, block), 4 + len(block)
        count = _LONG // len(block)
        self.left = heard * count
        self._unsent = memoryview(said * count)
        self._piece = len(said)
        self._sock = sock
        self._transport = transport
        sock.setblocking(False)

    def __repr__(self) -> str:
        return f"<{self._transport}, {self.left} bytes left>"

    def send(self) -> None:
        """Send what there is room for."""
        with suppress(*_NOT_NOW):
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent[: self._piece]) :]

    def read(self, most: int) -> None:
        """Read so many bytes, if they are there."""
        with suppress(*_NOT_NOW):
            data = self._sock.recv(most)
            assert data, f"{self} was dropped"
            self.left -= len(data)


@pytest.mark.parametrize(
    ("service", "transport", "first", "then"),
    [
        ("echo", "ws", opening("/"), frame(BINARY, bytes(50_000))),
        ("web", "tcp", b"", b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100),
        ("web", "tcp", opening("/ws/echo"), frame(PING, bytes(125)) * 100),
    ],
)
def test_who_never_reads_is_dropped_however_it_came(
    daemon: WatchedDaemon, service: str, transport: str, first: bytes, then: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port(service, transport)), PATIENCE) as sock:
        sock.sendall(first)
        with pytest.raises(ConnectionError):
            _send_for_ever(sock, then)
    assert "Traceback" not in daemon.log()


def _send_for_ever(sock: socket.socket, data: bytes) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        sock.sendall(data)


def _read_until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        byte = sock.recv(1)
        assert byte, received
        received += byte
    return received
