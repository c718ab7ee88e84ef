"""
The sockets of `netsvc listen`: opened as the daemon opens its own, with the same refusals and the same room
for bursts, and read until enough has come.
"""

from __future__ import annotations

from dataclasses import replace
from os import fsdecode
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.datagrams import DatagramReader
from netsvc.commands.naming import look_up
from netsvc.commands.reception import Peer, Reception
from netsvc.net.addresses import fold, parse
from netsvc.net.binding import bindings_of
from netsvc.net.machine import this_machine
from netsvc.net.sockets import OpenSocket, close_sockets, open_where
from netsvc.net.where import URLWhere
from netsvc.service import NetService
from netsvc.settings import TLS, Limits, Net, SettingError

#: Seconds that the last replies have to leave.
GOODBYE = 2.0

# What the daemon would call the option that named an address.
_ORIGIN = "ADDRESS"


@implementer(IHalfCloseableProtocol)
class Stream(Protocol):
    """One connection, each of whose chunks is a message."""

    transport: Any

    def __init__(self, streams: Streams, reception: Reception, url: str, reply: bytes) -> None:
        """
        @param streams: knows which are open.
        @param reception: where it goes.
        @param url: the listener's.
        @param reply: sent for each chunk.
        """
        self._streams = streams
        self._reception = reception
        self._url = url
        self._reply = reply
        self._peer: Peer = ("", None)

    def connectionMade(self) -> None:
        self._peer = _peer(self.transport.getPeer())
        self._streams.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        # Before the printing, which may end everything.
        if self._reply:
            self.transport.write(self._reply)
        self._reception.message(self._url, self._peer, data)

    def readConnectionLost(self) -> None:
        """The peer has finished sending; it still gets its replies."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`; the connection ends with it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reception.end(self._url, self._peer)
        self._streams.lost(self)


class Streams(Factory[Stream]):
    """
    Makes the protocol of each connection of one socket.

    @ivar open: those that are connected.
    """

    noisy = False

    def __init__(self, reception: Reception, url: str, reply: bytes) -> None:
        """The arguments are `Stream`'s."""
        self.open: set[Stream] = set()
        self._empty: Deferred[None] = Deferred()
        self._closing = False
        self._reception = reception
        self._url = url
        self._reply = reply

    def buildProtocol(self, addr: IAddress | None) -> Stream:
        return Stream(self, self._reception, self._url, self._reply)

    def lost(self, stream: Stream) -> None:
        """One has lost its connection."""
        self.open.discard(stream)
        if self._closing and not self.open:
            self._empty.callback(None)

    async def close(self, reactor: Any) -> None:
        """Close the connections once the last replies have left, or after a while by force."""
        if not self.open:
            return
        self._closing = True
        call = reactor.callLater(GOODBYE, self._each, "abortConnection")
        self._each("loseConnection")
        await self._empty
        if call.active():
            call.cancel()

    def _each(self, end: str) -> None:
        for stream in tuple(self.open):
            getattr(stream.transport, end)()


async def open_sockets(reactor: Any, address: Address) -> list[OpenSocket]:
    """
    Open the sockets of an address, as the daemon would.

    @param reactor: see `look_up`.
    @param address: its host may be a name: each of its addresses gets a socket.
    @raise NotDone: one of them cannot be opened.
    """
    machine = this_machine()
    if address.host and parse(address.host) is None:
        # The machine would look for it here and now, and keep the reactor from everything else.
        found = [one.address for one in await look_up(reactor, address.host, None)]
        machine = replace(machine, resolve=lambda host: found)
    # A declaration with both sides, neither of which is ever made.
    service = NetService("listen", "", stream="none", datagram="none")
    try:
        return open_where(
            bindings_of(
                URLWhere(address.scheme, address.host, address.port, address.path),
                service=service,
                transports=service.transports,
                settings={},
                limits=Limits(),
                net=Net(),
                tls=TLS(),
                origin=_ORIGIN,
                machine=machine,
            )
        )
    except SettingError as error:
        # There is no option to name.
        text = str(error).removeprefix(f"{_ORIGIN} ").replace(f" with {_ORIGIN}", "")
        raise NotDone(text) from None


async def listen(reactor: Any, opened: list[OpenSocket], reception: Reception, reply: bytes) -> bool:
    """
    Receive until it is enough.

    @param opened: the sockets; they are closed at the end.
    @param reception: what takes the messages.
    @param reply: sent back for each message; empty sends nothing.
    @return: whether what was wanted has come.
    """
    readers: list[Any] = []
    streams: list[Streams] = []
    try:
        for one in opened:
            if one.binding.kind == "stream":
                streams.append(Streams(reception, one.binding.url, reply))
                family = one.binding.family
                readers.append(reactor.adoptStreamPort(one.sock.fileno(), family, streams[-1]))
            else:
                readers.append(_datagrams(one, reception, reply))
                reactor.addReader(readers[-1])
            complain(f"listening on {one.binding.url}")
        return await reception.done
    finally:
        # Ports are not told to stop: they would remove the file of a UNIX socket, which is ours to remove.
        for reader in readers:
            reactor.removeReader(reader)
        close_sockets(opened)
        for some in streams:
            await some.close(reactor)


def _datagrams(opened: OpenSocket, reception: Reception, reply: bytes) -> DatagramReader:
    def received(data: bytes, host: str, port: int | None) -> bool:
        return reception.message(opened.binding.url, (fold(host), port), data)

    return DatagramReader(opened.sock, received, reply)


def _peer(address: Any) -> Peer:
    """An address of Twisted's."""
    host = getattr(address, "host", None)
    if host is None:
        return fsdecode(getattr(address, "name", None) or b""), None
    return fold(host), address.port
