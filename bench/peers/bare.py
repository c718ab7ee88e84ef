"""Bare socket programs for the older measurements: `python -m bench.peers.bare NAME`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench.peers.asked import listening, receiving


def accepting() -> None:
    """Accepts, answers the first message, and keeps the connection: a loop around a socket."""
    kept = []
    with listening() as listener:
        while True:
            sock, _ = listener.accept()
            sock.sendall(b"x")
            kept.append(sock)


def copying(size: str) -> None:
    """Reads a message, sends so many bytes, and closes."""
    data = bytes(int(size))
    with listening() as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(data)


def sink() -> None:
    """Receives datagrams and throws them away."""
    with receiving() as sock:
        while True:
            sock.recv(65536)


_SERVERS: dict[str, Callable[..., None]] = {"accepting": accepting, "copying": copying, "sink": sink}

if __name__ == "__main__":
    _SERVERS[sys.argv[1]](*sys.argv[2:])
