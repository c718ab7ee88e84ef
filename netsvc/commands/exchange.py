"""
Something said to a peer and what it answers, the same for streams and datagrams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from typing import Protocol as Shape

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.arrivals import Arrivals
from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_exchange import datagram_exchange
from netsvc.commands.dialing import TLSOptions, dial, half_close, reason_of
from netsvc.commands.room import NOT_READ, WRITE_TIMEOUT, Room

#: Seconds after which a connection that is closed is gone even if the peer has not read everything.
_CLOSING = 30.0

#: The same for a user who waits for the end: what can leave at once does.
_IN_HASTE = 0.2


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

    async def close(self, seconds: float) -> bool:
        """
        End it.

        @param seconds: how long the peer has to read what was sent.
        @return: whether everything has left.
        """
        ...


@asynccontextmanager
async def exchange(
    reactor: Any,
    address: Address,
    tls: TLSOptions,
    show: Callable[[bytes], None],
    patience: float = WRITE_TIMEOUT,
) -> AsyncIterator[Exchange]:
    """
    Open a conversation for the time of a with statement.

    @param address: of any kind.
    @param tls: for ``tls`` addresses.
    @param show: gets every piece that arrives.
    @param patience: seconds in which the peer must have made room for more.
    @raise NotDone: it cannot be opened, or not everything could be sent.
    """
    arrivals = Arrivals(reactor, show)
    opened: Exchange
    if address.is_datagram:
        opened = await datagram_exchange(reactor, address, arrivals, patience)
    else:
        opened = await dial(reactor, address, _Streams(reactor, address, arrivals, patience), tls)
    try:
        yield opened
    except NotDone:
        await opened.close(_CLOSING)
        raise
    except BaseException:
        # Ctrl-C, or nobody reads our output.
        await opened.close(_IN_HASTE)
        raise
    if not await opened.close(_CLOSING):
        raise NotDone(f"{address}: {NOT_READ}")


class StreamExchange(Protocol):
    """An `Exchange` on a stream."""

    transport: Any

    def __init__(self, reactor: Any, address: Address, arrivals: Arrivals, patience: float) -> None:
        self._reactor = reactor
        self._address = address
        self._patience = patience
        self.arrivals = arrivals
        self._room: Room
        self._finished = False
        self._closed: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._room = Room(self._reactor, self.transport, self._patience)

    def dataReceived(self, data: bytes) -> None:
        self.arrivals.note(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        broken = reason.check(ConnectionDone) is None
        text = reason_of(reason)
        if reason.check(ConnectionLost) and ISSLTransport.providedBy(self.transport):
            text = "the connection broke, or was closed without the close_notify of TLS"
        self.arrivals.note_end(text, broken)
        self._room.stopProducing()
        self._closed.callback(None)

    async def send(self, data: bytes) -> None:
        """See `Exchange.send`."""
        if self.arrivals.end is not None:
            raise NotDone(f"{self._address}: {self.arrivals.end} before everything was sent")
        self.arrivals.check()
        self.transport.write(data)
        if not await self._room.wait():
            self.transport.abortConnection()
            raise NotDone(f"{self._address}: {NOT_READ}")
        if self.arrivals.end is not None:
            raise NotDone(f"{self._address}: {self.arrivals.end} before everything was sent")

    def finish(self) -> None:
        """See `Exchange.finish`."""
        if not self._finished and self.arrivals.end is None:
            self._finished = True
            self._room.release()
            half_close(self.transport)

    async def close(self, seconds: float) -> bool:
        """See `Exchange.close`."""
        if self.arrivals.end is not None:
            return True
        self._room.release()
        self.transport.loseConnection()
        if ISSLTransport.providedBy(self.transport):
            # After our close_notify TLS would wait for the peer's, which need not come.
            below: Any = self.transport
            below.transport.loseConnection()
        late = self._reactor.callLater(seconds, self.transport.abortConnection)
        try:
            await self._closed
        except CancelledError:
            self.transport.abortConnection()
            raise
        finally:
            in_time: bool = late.active()
            if in_time:
                late.cancel()
        return in_time


class _Streams(Factory[StreamExchange]):
    noisy = False

    def __init__(self, reactor: Any, address: Address, arrivals: Arrivals, patience: float) -> None:
        self._arguments = (reactor, address, arrivals, patience)

    def buildProtocol(self, addr: IAddress | None) -> StreamExchange:
        return StreamExchange(*self._arguments)
