"""A WebSocket client over a plain socket, frame by frame, right or wrong."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

from tests.live.daemon import PATIENCE, Daemon
from tests.web.frames import TEXT, Frame, ServerFrames, close, frame, opening


class WebSocketClient:
    """
    One client.

    @ivar sock: its socket.
    @ivar status: of the answer to its opening handshake.
    """

    def __init__(self, sock: socket.socket, path: str, **headers: str) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._frames = ServerFrames()
        self._waiting: list[Frame] = []
        self.sock.sendall(opening(path, **headers))
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(65_536)
            assert data, head
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        if self.status == 101:
            self._waiting += self._frames.feed(rest)

    @classmethod
    def to(cls, daemon: Daemon, service: str, **headers: str) -> WebSocketClient:
        """A client of a service of the web service's."""
        return cls(daemon.connect("web"), f"/ws/{service}", **headers)

    def __enter__(self) -> WebSocketClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def say(self, **message: Any) -> None:
        """Send a message of JSON."""
        self.send(frame(TEXT, json.dumps(message).encode()))

    def next(self) -> Frame | None:
        """The next frame; None at the end of the connection."""
        while not self._waiting:
            try:
                data = self.sock.recv(1 << 16)
            except (ConnectionResetError, ssl.SSLEOFError):
                data = b""
            if not data:
                return None
            self._waiting += self._frames.feed(data)
        return self._waiting.pop(0)

    def hear(self) -> Any:
        """The next message, of JSON."""
        found = self.next()
        assert found is not None
        assert found.opcode == TEXT
        return json.loads(found.payload)

    def rest(self) -> list[Frame]:
        """All frames up to the end of the connection."""
        return list(iter(self.next, None))

    def close(self) -> list[Frame]:
        """Say the Close; gives what came until the end."""
        self.send(close())
        return self.rest()
