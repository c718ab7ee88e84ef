"""asyncio, with a bare Protocol; on its own event loop, or on the one that `serve` is run with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bench.peers.answers import ACKNOWLEDGEMENT, ANSWERS, ClientList, stamp
from bench.peers.asked import BACKLOG, Work, listening, receiving, tls_context, work


class Stream(asyncio.Protocol):
    """Answers every chunk."""

    transport: Any

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        """@param answer: makes the answer to a chunk."""
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self._answer(data))

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Timestamp(Stream):
    """The same for timestamp, with one call less."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(stamp() + data)


class Client(asyncio.Protocol):
    """Enters a client, sends the list and closes."""

    transport: Any

    def __init__(self, clients: ClientList) -> None:
        """@param clients: the list."""
        self._clients = clients

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(self._clients.registered(data, self.transport.get_extra_info("peername")))
        self.transport.close()


class Datagrams(asyncio.DatagramProtocol):
    """Takes datagrams."""

    transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        pass


class AcknowledgedDatagrams(Datagrams):
    """Acknowledges each."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(ACKNOWLEDGEMENT, addr)


async def serve(asked: Work) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    if asked.kind in ("udp", "udp-ack"):
        datagrams = Datagrams if asked.kind == "udp" else AcknowledgedDatagrams
        await loop.create_datagram_endpoint(datagrams, sock=receiving())
        await loop.create_future()
    make: Callable[[], asyncio.Protocol]
    if asked.kind == "clients":
        clients = ClientList(asked.entries)
        make = lambda: Client(clients)  # noqa: E731 # as short as the other
    else:
        answer = ANSWERS[asked.kind]
        stream = Timestamp if asked.kind == "timestamp" else Stream
        make = lambda: stream(answer())  # noqa: E731
    server = await loop.create_server(
        make, sock=listening(), backlog=BACKLOG, ssl=tls_context(asked.certificate)
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(work()))
