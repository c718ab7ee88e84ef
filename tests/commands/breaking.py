"""Connections that break."""

from __future__ import annotations

import socket
import struct


def reset(connection: socket.socket) -> None:
    """End a connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_and_reset(connection: socket.socket) -> None:
    """The same once something has come; at once, it could already fail the other's connect."""
    connection.recv(1 << 16)
    reset(connection)
