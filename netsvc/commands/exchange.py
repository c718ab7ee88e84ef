"""
Something said to a peer and what it answers, the same for streams and datagrams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from typing import Protocol as Shape

from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IPushProducer, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.arrivals import Arrivals
from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_exchange import datagram_exchange
from netsvc.commands.dialing import TLSOptions, dial, half_close, reason_of

#: Seconds after which a connection that is closed is gone even if the peer has not read everything.
_CLOSING = 30.0


class Exchange(Shape):
    """
    A conversation.

    @ivar arrivals: what the peer says.
    """

    arrivals: Arrivals

    async def send(self, data: bytes) -> None:
        """
        Send bytes, or one datagram.

        @return: when there is room for more.
        @raise NotDone: they cannot be sent.
        @raise BrokenPipeError: see `Arrivals.check`.
        """

    def finish(self) -> None:
        """Say that no more will be sent. What still arrives is shown."""

    async def close(self) -> None:
        """End it."""


@asynccontextmanager
async def exchange(
    reactor: Any, address: Address, tls: TLSOptions, show: Callable[[bytes], None]
) -> AsyncIterator[Exchange]:
    """
    Open a conversation for the time of a with statement.

    @param address: of any kind.
    @param tls: for ``tls`` addresses.
    @param show: gets every piece that arrives.
    @raise NotDone: it cannot be opened.
    """
    arrivals = Arrivals(reactor, show)
    opened: Exchange
    if address.is_datagram:
        opened = await datagram_exchange(reactor, address, arrivals)
    else:
        opened = await dial(reactor, address, _Streams(reactor, address, arrivals), tls)
    try:
        yield opened
    finally:
        await opened.close()


@implementer(IPushProducer)
class StreamExchange(Protocol):
    """An `Exchange` on a stream. It is its transport's producer, to learn when there is room."""

    transport: Any

    def __init__(self, reactor: Any, address: Address, arrivals: Arrivals) -> None:
        self._reactor = reactor
        self._address = address
        self.arrivals = arrivals
        self._room: Deferred[None] | None = None
        self._finished = False
        self._closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self.arrivals.note(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        broken = reason.check(ConnectionDone) is None
        text = reason_of(reason)
        if reason.check(ConnectionLost) and ISSLTransport.providedBy(self.transport):
            text = "the connection broke, or was closed without the close_notify of TLS"
        self.arrivals.note_end(text, broken)
        self.resumeProducing()
        self._closed.callback(None)

    async def send(self, data: bytes) -> None:
        """See `Exchange.send`."""
        if self.arrivals.end is not None:
            raise NotDone(f"{self._address}: {self.arrivals.end} before everything was sent")
        self.arrivals.check()
        self.transport.write(data)
        if self._room is not None:
            await self._room
            if self.arrivals.end is not None:
                raise NotDone(f"{self._address}: {self.arrivals.end} before everything was sent")

    def finish(self) -> None:
        """See `Exchange.finish`."""
        if not self._finished and self.arrivals.end is None:
            self._finished = True
            # A transport with a producer would wait for more of it.
            self.transport.unregisterProducer()
            half_close(self.transport)

    async def close(self) -> None:
        """See `Exchange.close`."""
        if self.arrivals.end is not None:
            return
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        if ISSLTransport.providedBy(self.transport):
            # After our close_notify TLS would wait for the peer's, which need not come.
            below: Any = self.transport
            below.transport.loseConnection()
        late = self._reactor.callLater(_CLOSING, self.transport.abortConnection)
        try:
            await self._closed
        finally:
            if late.active():
                late.cancel()

    def pauseProducing(self) -> None:
        self._room = self._room or Deferred()

    def resumeProducing(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` says more."""


class _Streams(Factory[StreamExchange]):
    noisy = False

    def __init__(self, reactor: Any, address: Address, arrivals: Arrivals) -> None:
        self._arguments = (reactor, address, arrivals)

    def buildProtocol(self, addr: IAddress | None) -> StreamExchange:
        return StreamExchange(*self._arguments)
