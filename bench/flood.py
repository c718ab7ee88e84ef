"""
A flood: `python -m bench.flood empty|enobufs|port0 PORT` sends datagrams to 127.0.0.1 until it is killed.

It writes a line to standard output when it begins.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress

from bench.report import say

#: A flood that nobody stops ends by itself.
_MOST = 5_000_000


def empty(port: int) -> None:
    """Empty datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        _send(lambda: sock.send(b""))


def port0(port: int) -> None:
    """Datagrams whose source port is 0, which takes a raw socket (RFC 768: the sender wants no answer)."""
    packet = struct.pack("!HHHH", 0, port, 13, 0) + b"hello"
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        # It would get a copy of every datagram on the machine: let it have no room for them.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        _send(lambda: sock.sendto(packet, ("127.0.0.1", 0)))


def _send(send: object) -> None:
    assert callable(send)
    parent = os.getppid()
    for number in range(_MOST):
        # A full buffer on the other side is what a flood is for.
        with suppress(OSError):
            send()
        if number % 1000 == 0 and os.getppid() != parent:
            return


if __name__ == "__main__":
    say("flooding")
    {"empty": empty, "enobufs": empty, "port0": port0}[sys.argv[1]](int(sys.argv[2]))
