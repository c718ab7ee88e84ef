"""What a peer was asked to do, from its command line, and the socket on which it does it."""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from dataclasses import dataclass

#: As many connections as the system lets wait.
BACKLOG = 4096


@dataclass(frozen=True)
class Work:
    """
    @ivar kind: ``timestamp``, ``lines``, ``echo``, ``tls``, ``clients``, ``udp`` or ``udp-ack``.
    @ivar entries: of the client list, from the beginning.
    @ivar certificate: a PEM file with the server's certificate and key, for ``tls``.
    """

    kind: str
    entries: int
    certificate: str


def work() -> Work:
    """What the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--entries", type=int, default=0)
    parser.add_argument("--certificate", default="")
    return Work(**vars(parser.parse_args()))


def listening() -> socket.socket:
    """A stream socket that listens, its port told."""
    # asyncio turns Nagle's algorithm off only where the protocol is told.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    tell(listener)
    return listener


def receiving() -> socket.socket:
    """A datagram socket with as much room as the system allows, its port told."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    sock.bind(("127.0.0.1", 0))
    tell(sock)
    return sock


def tell(sock: socket.socket) -> None:
    """Write the port of a socket to standard output."""
    sys.stdout.write(f"{sock.getsockname()[1]}\n")
    sys.stdout.flush()


def tls_context(certificate: str) -> ssl.SSLContext | None:
    """The context of a server's TLS, as Python makes it; None without a certificate."""
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
