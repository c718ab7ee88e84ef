"""What a datagram service may ask of its socket, as of Twisted's UDP port."""

from __future__ import annotations

import socket as sockets
from contextlib import suppress


class SocketOptions:
    """
    A port over a datagram socket.

    @ivar socket: the socket.
    """

    socket: sockets.socket

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Have the system let datagrams to broadcast addresses pass; what `write` allows stays the same."""
        self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_BROADCAST, int(enabled))

    def getBroadcastAllowed(self) -> bool:
        """What `setBroadcastAllowed` was last given."""
        return bool(self.socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_BROADCAST))

    def getHandle(self) -> sockets.socket:
        """The socket; see `ISystemHandle`."""
        return self.socket


def receive_no_more(sock: sockets.socket) -> None:
    """
    Have the system give a socket nothing new; what waits there can still be received, and answered.

    Connected to itself, it is not looked for when something comes from elsewhere (udp(7)).
    """
    host, port, *_ = sock.getsockname()
    itself = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    # Without loopback what comes in this moment may be lost.
    with suppress(OSError):
        sock.connect((itself, port))
