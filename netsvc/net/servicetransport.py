"""
What a service's protocol sees: a transport, whatever is below.

It notes what the service writes, and hands it to the layer below, TLS or the socket's transport.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from time import time_ns
from typing import Any, cast

from zope.interface import Declaration, implementedBy, implementer, providedBy

from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProtocol,
    IPushProducer,
    ISSLTransport,
    ITransport,
)

from netsvc.facts import NO_DETAIL, SENT, OriginRow
from netsvc.interfaces import Arrival, IArrivalTransport
from netsvc.net.arrival import address_of
from netsvc.net.below import Below
from netsvc.net.connection import Connection
from netsvc.net.listening import Listening
from netsvc.net.tls import TLSSession

#: The transports on which a message without a byte is one all the same; on a stream it is nothing.
_OF_MESSAGES = frozenset({"ws", "wss"})


@implementer(ITransport, IConsumer, IPushProducer, IArrivalTransport)
class ServiceTransport(Connection):
    """The connection, from the service's side. `netsvc.net.guard` sees to the rest."""

    __slots__ = ("_arrival", "_book", "_capture", "_facts", "_origin", "_send", "_service", "_tls")

    _arrival: Arrival
    _origin: OriginRow
    _send: Callable[[bytes], None]

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what all connections of the listener share.
        """
        super().__init__(listening)
        self._service: IProtocol | None = None
        self._tls: TLSSession | None = None
        # What noting a message needs, at hand; see `Facts.book`.
        self._facts = listening.facts
        self._book = listening.book
        self._capture = listening.capture

    def write(self, data: bytes) -> None:
        """Send bytes; see `ITransport`."""
        if self._ending or self._write_ended or not (data or self._listening.transport in _OF_MESSAGES):
            return
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        size = len(data)
        if self._stalled and self.overrun(size):
            return
        self.bytes_out += size
        self.messages_out += 1
        book, now = self._book, time_ns()
        if not book:
            self._facts.begin(now)
        if size <= self._capture:
            book += (now, SENT, self._origin, data, None)
        else:
            book += (now, SENT, self._origin, data[: self._capture], (size, None, NO_DETAIL))
        send = self._send
        send(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as one; see `ITransport`."""
        self.write(b"".join(data))

    def getPeer(self) -> IAddress:
        """The client's address, behind a proxy too; see `ITransport`."""
        return self._peer()

    def getHost(self) -> IAddress:
        """The address that the client reached; see `ITransport`."""
        arrival = self._arrival
        return address_of(arrival.local_address, arrival.local_port)

    def arrival(self) -> Arrival:
        """How the client arrived; see `IArrivalTransport`."""
        return self._arrival

    def getPeerCertificate(self) -> Any:
        """The client's certificate as a pyOpenSSL X509, or None; see `ISSLTransport`."""
        if self._tls is None:
            return self._transport.getPeerCertificate()
        return self._tls.peer_certificate()

    # What else a service may ask of Twisted's own transports; what one below has not, this has not either.
    # One by one, for with a `__getattr__` the interpreter would take its slow way to every attribute.
    getHandle = Below()
    getTcpKeepAlive = Below()
    getTcpNoDelay = Below()
    negotiatedProtocol = Below()
    setTcpKeepAlive = Below()
    setTcpNoDelay = Below()
    socket = Below()
    startTLS = Below()

    def below(self, name: str) -> Any:
        """
        What the transport has of that name.

        @raise AttributeError: it has nothing, or it would be wrong to use it here.
        """
        transport = self._transport
        if transport is None or (name == "startTLS" and self._tls is not None):
            raise AttributeError(f"this connection has no {name}")
        return getattr(transport, name)

    @property
    def __providedBy__(self) -> Any:
        # The transport's interfaces too, for services that ask; made when asked, since few do.
        return _provided(cast(Any, type(self)), providedBy(self._transport), self._tls is not None)

    @property
    def protocol(self) -> IProtocol | None:
        """The service's protocol, which may put another one in its place, as with Twisted's transports."""
        return self._service

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        self._service = protocol

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as Twisted's transports tell it."""
        return self._transport is not None

    @property
    def disconnected(self) -> bool:
        """The contrary."""
        return self._transport is None

    @property
    def disconnecting(self) -> bool:
        """Whether it is closing: Twisted's line protocols look here before they take the next line."""
        return self._ending or self._close_wanted is not None

    def _peer(self) -> IAddress:
        return address_of(self._arrival.address, self._arrival.port)


@lru_cache(maxsize=64)
def _provided(kind: Any, below: Any, tls: bool) -> Any:
    """What a guard provides over a transport; one value for each kind, because making it is expensive."""
    own = implementedBy(kind)  # type: ignore[no-untyped-call]
    return Declaration(own, ISSLTransport, below) if tls else Declaration(own, below)
