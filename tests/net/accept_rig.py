"""A port over a real socket, a factory that keeps what it built, and clients."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater

from netsvc.net.accept import AcceptPort


class Echo(Protocol):
    def __init__(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        self.lost.callback(None)

    @property
    def _transport(self) -> Any:
        return self.transport


@implementer(IProtocolFactory)
class Echoes:
    """Builds echoes and keeps what it built."""

    def __init__(self) -> None:
        self.built: list[Echo] = []
        self.asked: list[IAddress] = []
        self.running = 0

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        self.asked.append(addr)
        self.built.append(Echo())
        return self.built[-1]

    def doStart(self) -> None:
        self.running += 1

    def doStop(self) -> None:
        self.running -= 1


def listening(transport: str, path: Path, kind: type[socket.socket] = socket.socket) -> socket.socket:
    wheres: dict[str, tuple[socket.AddressFamily, Any]] = {
        "tcp4": (socket.AF_INET, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, ("::1", 0)),
        "unix": (socket.AF_UNIX, str(path / "sock")),
    }
    family, where = wheres[transport]
    sock = kind(family)
    sock.setblocking(False)
    sock.bind(where)
    sock.listen(100)
    return sock


class Rig:
    """A port, started in a reactor, and its clients."""

    def __init__(
        self, reactor: Any, sock: socket.socket, factory: IProtocolFactory, start: bool = True
    ) -> None:
        self.reactor = reactor
        self.sock = sock
        self.turned_away: list[IAddress] = []
        self.port = AcceptPort(sock, factory, reactor, self.turned_away.append)
        self._clients: list[socket.socket] = []
        if start:
            self.port.startListening()

    def client(self, bound: str | bytes | None = None) -> socket.socket:
        client = socket.socket(self.sock.family)
        self._clients.append(client)
        if bound is not None:
            client.bind(bound)
        client.connect(self.sock.getsockname())
        client.setblocking(False)
        return client

    async def until(self, true: Callable[[], object]) -> None:
        """Let the reactor run until something holds."""
        for _ in range(5000):
            if true():
                return
            await deferLater(self.reactor, 0.001)
        raise AssertionError("it never came to hold")

    async def answer(self, client: socket.socket, length: int) -> bytes:
        """Read so many bytes, or up to the end; a reset is an end."""
        got = bytearray()
        for _ in range(5000):
            try:
                data = client.recv(length - len(got))
            except BlockingIOError:
                await deferLater(self.reactor, 0.001)
                continue
            except ConnectionResetError:
                break
            got += data
            if not data or len(got) == length:
                break
        else:
            raise AssertionError("no answer came")
        return bytes(got)

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()

    async def end(self, factory: Echoes | None = None) -> None:
        self.close_clients()
        if factory is not None:
            for echo in factory.built:
                if echo.transport is not None:
                    await echo.lost
        await self.port.stopListening()
