"""
Stream transports that try to write at once.

Twisted's own keep what is written until the next turn of the loop, which asks the system whether there is
room (two calls of epoll_ctl and one more wait for each message), where there nearly always is. These hand it
to the system in `write`, and take Twisted's way with whatever the system does not take. Seen from a protocol
nothing else changes: no callback is called from inside `write`, an error is found out by the reactor in its
next turn, and bytes leave in the order in which they were written.

They work on every reactor that watches descriptors.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import ENOBUFS, EWOULDBLOCK
from typing import Any

from twisted.internet import main, tcp
from twisted.internet.interfaces import IProducer

#: Bytes read at a time: at first, as Twisted's own do, so that a message that came whole is handed on whole;
#: how many times as many whenever so many have come; and at most, which is what asyncio reads, because each
#: piece of a long one costs as much beside its bytes as a short one.
FIRST_READ, READ_STEP, MOST_READ = 64 * 1024, 4, 256 * 1024

#: Bytes that may be written at once until one write has gone through the loop again. A producer that writes
#: until it is paused to a client that reads as fast would else keep everybody else waiting for ever.
AT_ONCE = 1024 * 1024

_NO_ROOM = (EWOULDBLOCK, ENOBUFS)


class WriteAtOnce(tcp.Connection):
    """
    What the transports here have in common.

    It has two states more than Twisted's own. One is how many bytes may still be written at once. That is 0
    whenever something waits in the buffer, and wherever Twisted would not write: before there is a
    connection, when our side is closed or the connection aborted, under TLS that was started here, and for a
    producer that is asked for more only when its last bytes have left the buffer.

    The other is whether a write at once has found the connection broken. The system may tell that a single
    time, after which reading ends as if the peer had closed in order, and writing may even succeed again; so
    it is remembered for the reactor's next turn.
    """

    _at_once = 0
    _broken = False
    _room = FIRST_READ

    #: Bytes of the buffer that one turn writes, see `twisted.internet.abstract.FileDescriptor`: what one turn
    #: has read.
    SEND_LIMIT = MOST_READ

    def doRead(self) -> Any:
        """Give the protocol what the system has for it, up to a size; see `IReadDescriptor`."""
        try:
            data = self.socket.recv(self._room)
        except OSError as failure:
            return None if failure.errno == EWOULDBLOCK else main.CONNECTION_LOST
        if not data:
            # Both directions are closed, then: nothing is left for shutdown(2).
            self._shouldShutdown = not self._writeDisconnected
            return main.CONNECTION_LOST if self._broken else main.CONNECTION_DONE
        if len(data) == self._room:
            self._room = min(READ_STEP * self._room, MOST_READ)
        # In two steps, because the interpreter takes an attribute that is no method in a fast way only so.
        take = self.protocol.dataReceived
        take(data)
        return None

    def doWrite(self) -> Any:
        """Write what waits in the buffer; see `IWriteDescriptor`."""
        if self._broken:
            return main.CONNECTION_LOST
        result = super().doWrite()  # type: ignore[no-untyped-call]
        if result is None:
            self._arm()
        return result

    def write(self, data: bytes) -> None:
        """Send bytes; see `ITransport`."""
        if not data or data.__class__ is not bytes:
            if data:
                # A kind of bytes, which waits, or no bytes, and an error.
                self._at_once = 0
            super().write(data)  # type: ignore[no-untyped-call]
            return
        size = len(data)
        if size <= self._at_once:
            try:
                sent = self.socket.send(data)
            except OSError as failure:
                sent = 0
                if failure.errno not in _NO_ROOM:
                    # As much as Twisted's would give the protocol of what came before.
                    self._broken, self._room = True, MOST_READ
            if sent == size:
                self._at_once -= size
                return
            data = data[sent:]
        self._at_once = 0
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send several pieces; see `ITransport`."""
        self._at_once = 0
        super().writeSequence(iovec)  # type: ignore[no-untyped-call]

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """See `IConsumer`."""
        if not streaming:
            self._at_once = 0
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """See `ITLSTransport`."""
        self._at_once = 0
        super().startTLS(contextFactory, normal)  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        """See `IHalfCloseableTransport`; where nothing waits, the system need not be asked for room."""
        if not self._at_once:
            super().loseWriteConnection()  # type: ignore[no-untyped-call]
        elif not self._writeDisconnecting:
            self._writeDisconnecting = True
            # Not now: what is written until then is still sent, and nothing is called from inside this.
            clock: Any = self.reactor
            clock.callLater(0, self._lose_write_connection)

    def _lose_write_connection(self) -> None:
        if not self.connected or self._writeDisconnected:
            return
        if self._at_once and not self.disconnecting:
            self._writeDisconnected = True
            self._closeWriteConnection()
        else:
            self.startWriting()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        """See `ITCPTransport`."""
        self._at_once = 0
        super().abortConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any) -> None:
        """See `IReadDescriptor`."""
        self._at_once = 0
        super().connectionLost(reason)

    def _closeWriteConnection(self) -> None:
        self._at_once = 0
        super()._closeWriteConnection()

    def _arm(self) -> None:
        """Nothing waits any more: the next bytes may go at once again."""
        waiting = self._tempDataBuffer or self.dataBuffer
        pulled = self.producer is not None and not self.streamingProducer
        ended = self._aborting or self._writeDisconnected
        if self.connected and not (waiting or pulled or self.TLS or ended):
            self._at_once = AT_ONCE


class Server(WriteAtOnce, tcp.Server):
    """A connection that was accepted."""

    def __init__(self, *arguments: Any) -> None:
        """See `twisted.internet.tcp.Server`."""
        # In the instance, where the interpreter finds them fastest.
        self._room = FIRST_READ
        self._at_once = 0
        super().__init__(*arguments)
        self._arm()


class Client(WriteAtOnce, tcp.Client):
    """A connection that we open; its first bytes go through the loop."""


class Port(tcp.Port):
    """Twisted's port, with these connections."""

    transport = Server  # type: ignore[assignment]


class Connector(tcp.Connector):
    """Twisted's connector, with these connections."""

    def _makeTransport(self) -> tcp.Client:
        return Client(self.host, self.port, self.bindAddress, self, self.reactor)  # type: ignore[no-untyped-call]
