"""
What netsvc is compared with: the same work done with as little as possible between socket and program.

`python -m bench.peers NAME` writes its port on 127.0.0.1 to standard output and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

from bench.report import say

_BACKLOG = 4096


class Stamp:
    """The stamp of timestamp, made anew once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def current(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = b"[%b] " % time.ctime(second).encode()
        return self._text


def with_twisted() -> None:
    """A time-stamping echo on Twisted, as its manual has it."""
    from twisted.internet import protocol, reactor

    loop: Any = reactor
    stamp = Stamp().current

    class Echo(protocol.Protocol):
        transport: Any

        def connectionMade(self) -> None:
            self.transport.setTcpNoDelay(True)

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(stamp() + data)

    factory = protocol.Factory()
    factory.protocol = Echo
    factory.noisy = False
    port = loop.listenTCP(0, factory, backlog=_BACKLOG, interface="127.0.0.1")
    say(str(port.getHost().port))
    loop.run()


def with_asyncio() -> None:
    """The same with a Protocol of asyncio."""
    stamp = Stamp().current

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(stamp() + data)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=_BACKLOG)
        say(str(server.sockets[0].getsockname()[1]))
        await server.serve_forever()

    asyncio.run(serve())


def accepting() -> None:
    """Accepts, answers the first message, and keeps the connection: a loop around a socket."""
    kept = []
    with _listening() as listener:
        while True:
            sock, _ = listener.accept()
            sock.sendall(b"x")
            kept.append(sock)


def copying(size: str) -> None:
    """Reads a message, sends so many bytes, and closes."""
    data = bytes(int(size))
    with _listening() as listener:
        while True:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(data)


def sink() -> None:
    """Receives datagrams and throws them away."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        say(str(sock.getsockname()[1]))
        while True:
            sock.recv(65536)


def _listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    say(str(listener.getsockname()[1]))
    return listener


_SERVERS: dict[str, Any] = {
    "twisted": with_twisted,
    "asyncio": with_asyncio,
    "accepting": accepting,
    "copying": copying,
    "sink": sink,
}

if __name__ == "__main__":
    _SERVERS[sys.argv[1]](*sys.argv[2:])
