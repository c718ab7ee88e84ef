"""Twisted as it comes: its epoll reactor and a plain Protocol, as its manual has it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import epollreactor, protocol, ssl

from bench.peers.answers import ACKNOWLEDGEMENT, ANSWERS, ClientList, stamp
from bench.peers.asked import BACKLOG, Work, tell, work


class Stream(protocol.Protocol):
    """Answers every chunk."""

    transport: Any

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        """@param answer: makes the answer to a chunk."""
        self._answer = answer

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self._answer(data))


class Timestamp(Stream):
    """The same for timestamp, with one call less."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(stamp() + data)


class Client(protocol.Protocol):
    """Enters a client, sends the list and closes."""

    transport: Any

    def __init__(self, clients: ClientList) -> None:
        """@param clients: the list."""
        self._clients = clients

    def dataReceived(self, data: bytes) -> None:
        peer = self.transport.getPeer()
        self.transport.write(self._clients.registered(data, (peer.host, peer.port)))
        self.transport.loseConnection()


class Datagrams(protocol.DatagramProtocol):
    """Takes datagrams."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        pass


class AcknowledgedDatagrams(Datagrams):
    """Acknowledges each."""

    transport: Any

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(ACKNOWLEDGEMENT, addr)


def _factory(asked: Work) -> protocol.Factory[protocol.Protocol]:
    clients = ClientList(asked.entries)
    answer = ANSWERS.get(asked.kind)
    stream = Timestamp if asked.kind == "timestamp" else Stream

    class Factory(protocol.Factory[protocol.Protocol]):
        noisy = False

        def buildProtocol(self, addr: Any) -> protocol.Protocol:
            return Client(clients) if answer is None else stream(answer())

    return Factory()


def serve(asked: Work) -> None:
    """Serve for ever."""
    epollreactor.install()
    from twisted.internet import reactor

    loop: Any = reactor
    if asked.kind in ("udp", "udp-ack"):
        datagrams = Datagrams() if asked.kind == "udp" else AcknowledgedDatagrams()
        port = loop.listenUDP(0, datagrams, "127.0.0.1")
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    else:
        factory = _factory(asked)
        if asked.certificate:
            context = ssl.DefaultOpenSSLContextFactory(asked.certificate, asked.certificate)
            port = loop.listenSSL(0, factory, context, BACKLOG, "127.0.0.1")
        else:
            port = loop.listenTCP(0, factory, BACKLOG, "127.0.0.1")
    tell(port.socket)
    loop.run()


if __name__ == "__main__":
    serve(work())
