"""
What a hostile or broken client does, again and again, within bounds.

Nothing is expected of it but that others do not notice.

They have listeners of their own, so that the books of the honest ones stay exact.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from random import Random

#: Seconds between two attacks of one kind, and that one of them holds on to what it has.
_INTERVAL, _HELD = 0.5, 1.0

#: Connections that one attack makes.
_AT_ONCE = 20

#: Bytes that are sent to a server whose answers nobody reads.
_UNREAD = 1 << 20

_ABORT = struct.pack("ii", 1, 0)

Attack = Callable[["Rough"], None]


class Rough:
    """
    Attacks in turn, in a thread of its own.

    @ivar random: what is random in them.
    @ivar echo: the port of an echo over TCP.
    @ivar tls: and over TLS.
    @ivar udp: and of datagrams.
    @ivar web: the port of the web service.
    @ivar attacks: how many there were.
    """

    def __init__(self, random: Random, echo: int, tls: int, udp: int, web: int) -> None:
        self.random = random
        self.echo, self.tls, self.udp, self.web = echo, tls, udp, web
        self.attacks = 0
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Attack until told to stop."""
        self._stop = stop
        while not stop.wait(_INTERVAL):
            # A client that is refused, reset or kept waiting has what it deserves.
            with suppress(OSError):
                self.random.choice(_ATTACKS)(self)
            self.attacks += 1

    def resets(self) -> None:
        """Connections that end in a reset, half of them with an answer on its way."""
        for number in range(_AT_ONCE):
            with self._connected(self.echo) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                if number % 2:
                    sock.sendall(b"x" * 10_000)

    def never_reads(self) -> None:
        """A client that sends and does not read what it gets."""
        with self._connected(self.echo) as sock:
            sock.settimeout(_HELD)
            with suppress(TimeoutError):
                sock.sendall(bytes(_UNREAD) * 8)

    def silence(self) -> None:
        """Connections that say nothing, where a handshake, a head or a first message is owed."""
        with ExitStack() as stack:
            for port in (self.echo, self.tls, self.web) * (_AT_ONCE // 3):
                stack.enter_context(self._connected(port))
            self._stop.wait(_HELD)

    def noise(self) -> None:
        """Random bytes to everything."""
        for port in (self.echo, self.tls, self.web):
            with self._connected(port) as sock:
                sock.sendall(self.random.randbytes(self.random.randint(1, 5000)))
                sock.settimeout(_HELD)
                with suppress(TimeoutError):
                    sock.recv(100)

    def slow_head(self) -> None:
        """A head of HTTP, byte by byte, which is never finished."""
        with self._connected(self.web) as sock:
            for byte in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX":
                sock.sendall(bytes([byte]))
                if self._stop.wait(_HELD / 30):
                    return

    def unfinished_frames(self) -> None:
        """A WebSocket message that never ends."""
        head = (
            b"GET /ws/echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        with self._connected(self.web) as sock:
            sock.sendall(head % self.web)
            for _ in range(100):
                # Binary, then continuations, never final; masked with zeros; 65,535 bytes.
                sock.sendall(b"\x00\xfe\xff\xff\0\0\0\0" + bytes(65_535))

    def datagrams(self) -> None:
        """Empty ones, large ones and many."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", self.udp))
            for _ in range(_AT_ONCE * 10):
                sock.send(self.random.randbytes(self.random.choice((0, 1, 1000, 60_000))))

    def _connected(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), _HELD)


_ATTACKS: tuple[Attack, ...] = (
    Rough.resets,
    Rough.never_reads,
    Rough.silence,
    Rough.noise,
    Rough.slow_head,
    Rough.unfinished_frames,
    Rough.datagrams,
)
