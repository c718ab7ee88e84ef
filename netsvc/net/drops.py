"""How many datagrams the system had to drop for want of room, which no error ever tells."""

from __future__ import annotations

import socket
import struct
import sys

#: Linux's SO_MEMINFO (sock_diag(7)): nine numbers on a socket's memory; the last one is how many it dropped.
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")


class Drops:
    """The system's own count of one socket; where the system keeps none, nothing is ever dropped."""

    def __init__(self, sock: socket.socket) -> None:
        """@param sock: a datagram socket."""
        self._sock = sock
        self._seen = 0
        self._counted = sys.platform == "linux"

    def new(self) -> int:
        """Datagrams dropped since this was last asked."""
        if not self._counted:
            return 0
        try:
            info = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            # Linux before 4.12: asking again would give the same.
            self._counted = False
            return 0
        total = _MEMINFO.unpack(info)[-1]
        # The system counts in 32 bits.
        new: int = (total - self._seen) % 2**32
        self._seen = total
        return new
