"""
clients: says who is here to whoever says its own name.

The name is what the first read brought, up to its first newline; a CR before that is not part of it. What
comes behind it, and later, is thrown away. The client is entered, gets the whole list as one line of JSON
and is closed; where clients linger, it stays and gets one line of JSON for every change from then on, until
it ends its sending or its connection ends.

A list may be longer than anybody's buffers. It is read from the store piece by piece as the client takes it,
so that a thousand slow clients hold a thousand small pieces and not a thousand lists.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterator
from os import fsdecode

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.interfaces import IClientStore
from netsvc.services.plain import InvalidNameError, read_name

#: Bytes that a name may have.
LONGEST_NAME = 255

#: Bytes of the list that are written at once: as many as a transport of Twisted's buffers before it pauses.
SLICE = 65_536


def first_line(data: bytes) -> bytes:
    """What stands before the first newline, or all of it, without a CR at its end."""
    return data.partition(b"\n")[0].removesuffix(b"\r")


def peer_of(address: IAddress) -> tuple[str, int | None]:
    """
    An address as the list has it.

    @return: address and port; of a UNIX socket its path, or ``""`` where it has none, and None.
    """
    if isinstance(address, IPv4Address | IPv6Address):
        return address.host, address.port
    if isinstance(address, UNIXAddress):
        return fsdecode(address.name or b""), None
    return "", None


def send_list(transport: IConsumer, pieces: Iterator[bytes], sent: Callable[[], None]) -> None:
    """
    Write a list and a newline, as fast as a transport takes them where they are more than one slice.

    @param transport: what the list is written to, at once as far as it goes.
    @param pieces: the list.
    @param sent: called when everything has been written and the transport has no producer of ours.
    """
    data, last = _next_slice(pieces)
    if last:
        transport.write(data)
        sent()
    else:
        ListSender(transport, pieces, sent, data)


def _next_slice(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next bytes of a list to write, and whether they are the last."""
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= SLICE:
            return b"".join(parts), False
    parts.append(b"\n")
    return b"".join(parts), True


@implementer(IPushProducer)
class ListSender:
    """Writes a list in slices; see `send_list`."""

    def __init__(
        self, transport: IConsumer, pieces: Iterator[bytes], sent: Callable[[], None], first: bytes = b""
    ) -> None:
        """
        @param first: what was taken from the pieces already.
        """
        self._transport = transport
        self._pieces = pieces
        self._sent = sent
        self._first = first
        self._paused = False
        self._over = False
        transport.registerProducer(self, True)
        self._produce()

    def resumeProducing(self) -> None:
        self._paused = False
        self._produce()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        """The connection ends: the rest of the list goes to nobody."""
        self._over = True
        self._first = b""
        self._pieces = iter(())

    def _produce(self) -> None:
        while not (self._paused or self._over):
            data, last = self._next()
            self._transport.write(data)
            if last and not self._over:
                self._over = True
                # Before the connection is closed: TLS would wait for its producer for ever.
                self._transport.unregisterProducer()
                self._sent()

    def _next(self) -> tuple[bytes, bool]:
        if self._first:
            data, self._first = self._first, b""
            return data, False
        return _next_slice(self._pieces)


class ChangeLines:
    """Hands every change of the list, encoded once, to all who linger on one listener."""

    def __init__(self, clients: IClientStore) -> None:
        """@param clients: the list; it is listened to only while somebody lingers."""
        self._clients = clients
        self._takers: dict[Callable[[bytes], None], None] = {}
        self._unsubscribe: Callable[[], None] | None = None

    def add(self, take: Callable[[bytes], None]) -> None:
        """Hand the line of every later change to a callable, which must not raise."""
        self._takers[take] = None
        if self._unsubscribe is None:
            self._unsubscribe = self._clients.subscribe(self._changed)

    def discard(self, take: Callable[[bytes], None]) -> None:
        """Hand it no more."""
        self._takers.pop(take, None)
        if not self._takers and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _changed(self, kind: str, entry: dict[str, typing.Any]) -> None:
        line = json.dumps({kind: entry}).encode("ascii") + b"\n"
        for take in tuple(self._takers):
            take(line)


@implementer(IHalfCloseableProtocol)
class ListedClient(Protocol):
    """A client that is entered, gets the list and is closed."""

    transport: ITCPTransport

    def __init__(self, clients: IClientStore, ttl: float, max_clients: int) -> None:
        """
        @param clients: the list.
        @param ttl: seconds that the entry lives; 0 keeps it.
        @param max_clients: entries that the list may have.
        """
        self._clients = clients
        self._ttl = ttl
        self._max_clients = max_clients
        self._heard = False

    def dataReceived(self, data: bytes) -> None:
        if self._heard:
            return
        self._heard = True
        try:
            name = read_name(first_line(data), LONGEST_NAME)
        except InvalidNameError as error:
            self.transport.write(json.dumps({"error": str(error)}).encode("ascii") + b"\n")
            self.transport.loseConnection()
        else:
            self._enter(name, *peer_of(self.transport.getPeer()))
            # Every stream transport of Twisted's is a consumer too.
            send_list(typing.cast(IConsumer, self.transport), self._clients.pieces(), self._list_sent)

    def readConnectionLost(self) -> None:
        """The client has ended its sending; what it asked for before still reaches it whole."""
        if not self._heard:
            # A name was owed, and this is none.
            self.dataReceived(b"")

    def writeConnectionLost(self) -> None:
        """The whole connection ends with this, and the transport sees to it."""

    def _enter(self, name: str, address: str, port: int | None) -> None:
        self._clients.register(name, address, port, self._ttl, self._max_clients)

    def _list_sent(self) -> None:
        self.transport.loseConnection()


class LingeringClient(ListedClient):
    """
    A client whose entry lives as long as it stays, and that is told what changes.

    It does not hear its own joining, for it is in the list that it gets. When its entry is replaced or makes
    room for others it hears that as it hears everything, and stays.
    """

    def __init__(
        self, clients: IClientStore, max_clients: int, changes: ChangeLines, max_pending: int
    ) -> None:
        """
        @param clients: the list.
        @param max_clients: entries that the list may have.
        @param changes: where the lines of changes come from.
        @param max_pending: bytes of such lines that may wait while the list is being sent.
        """
        super().__init__(clients, 0.0, max_clients)
        self._changes = changes
        self._max_pending = max_pending
        # What waits behind the list; None when that has been sent and nothing need wait any more.
        self._pending: list[bytes] | None = []
        self._pending_size = 0
        self._ended = False
        self._let_go: Callable[[], None] | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._leave()

    def readConnectionLost(self) -> None:
        """The client has ended its sending, and so leaves; a list on its way to it still arrives whole."""
        self._leave()
        self._ended = True
        if not self._heard or self._pending is None:
            self.transport.loseConnection()

    def _enter(self, name: str, address: str, port: int | None) -> None:
        self._let_go = self._clients.hold(name, address, port, self._max_clients)
        self._changes.add(self._change)

    def _leave(self) -> None:
        self._changes.discard(self._change)
        let_go, self._let_go = self._let_go, None
        if let_go is not None:
            let_go()

    def _change(self, line: bytes) -> None:
        if self._pending is None:
            self.transport.write(line)
            return
        self._pending.append(line)
        self._pending_size += len(line)
        if self._pending_size > self._max_pending:
            self._leave()
            self.transport.abortConnection()

    def _list_sent(self) -> None:
        waiting, self._pending = self._pending or [], None
        if self._ended:
            self.transport.loseConnection()
        elif waiting:
            self.transport.write(b"".join(waiting))


class ClientsFactory(Factory[ListedClient]):
    """Makes what each client of the list talks to."""

    noisy = False

    def __init__(
        self,
        clients: IClientStore,
        ttl: float = 3600.0,
        max_clients: int = 100_000,
        linger: bool = False,
        max_pending: int = 262_144,
    ) -> None:
        """
        @param clients: the list; see `netsvc.clientlist.memory.ClientList`.
        @param ttl: seconds that an entry lives without renewal; 0 keeps it. No matter where clients linger.
        @param max_clients: entries that the list may have; the oldest leave first.
        @param linger: clients stay connected, and their entries last as long.
        @param max_pending: bytes of changes that may wait for one lingering client while the list is being
            sent to it; a client that has more waiting is aborted.
        """
        self._make: Callable[[], ListedClient] = lambda: ListedClient(clients, ttl, max_clients)
        if linger:
            changes = ChangeLines(clients)
            self._make = lambda: LingeringClient(clients, max_clients, changes, max_pending)

    def buildProtocol(self, addr: IAddress | None) -> ListedClient:
        protocol = self._make()
        protocol.factory = self
        return protocol
