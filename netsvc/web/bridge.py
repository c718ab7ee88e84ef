"""
A stream service over a WebSocket: a message in is a chunk, a write out is a message.

The service is behind a guard like everywhere else, with the same limits and the same facts; what the guard
has for a transport is a `Bridge`. A Close is to it what the end of a side is on a socket: the peer's ends
what the service reads, ours what it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure

from netsvc.interfaces import Arrival, IArrivalTransport
from netsvc.web.websocket import WebSocket
from netsvc.web.wire import FAILED, GOING_AWAY, NORMAL, POLICY, TRY_LATER

#: The close code for each reason for which a guard ends a connection; there is none for what has a socket
#: reset.
_CODES: Mapping[str, int] = {
    "service": NORMAL,
    "fin": NORMAL,
    "idle": NORMAL,
    "first_line_timeout": POLICY,
    "shutdown": GOING_AWAY,
}

#: The same for connections that are aborted but whose peers may well be told.
_CODES_OF_ABORTED: Mapping[str, int] = {
    "error": FAILED,
    "shutdown": GOING_AWAY,
    "deny": POLICY,
    "allow": POLICY,
    "max_connections": TRY_LATER,
    "per_address": TRY_LATER,
    "new_per_second": TRY_LATER,
}


@implementer(ITransport, IConsumer, IPushProducer, IArrivalTransport)
class Bridge:
    """The transport of one guard, and what its WebSocket is for: a `netsvc.web.conversation.Conversation`."""

    def __init__(self, guard: Any, arrival: Arrival) -> None:
        """
        @param guard: a `netsvc.net.guard.Guard` that is not connected yet.
        @param arrival: how the client arrived. The guard, which asks, has its own name for the transport.
        """
        self._guard = guard
        self._arrival = arrival
        self._socket: WebSocket | None = None
        self._producer: Any = None
        # The client's last message was text; before its first, text is what people can read.
        self._text = True
        self._stalled = False
        # Our side is closed, which the guard is told when everything before that has left.
        self._closing = False

    # -- the WebSocket's conversation --------------------------------------------------------------------

    def opened(self, socket: WebSocket) -> None:
        """See `Conversation`."""
        self._socket = socket
        self._ends: tuple[IAddress, IAddress] = (socket.transport.getPeer(), socket.transport.getHost())
        self._guard.makeConnection(self)

    def received(self, data: bytes, binary: bool) -> None:
        """See `Conversation`."""
        self._text = not binary
        self._guard.dataReceived(data)

    def finished(self) -> None:
        """See `Conversation`."""
        self._guard.readConnectionLost()

    def stalled(self) -> None:
        """See `Conversation`."""
        self._stalled = True
        if self._producer is not None:
            self._producer.pauseProducing()

    def flowing(self) -> None:
        """See `Conversation`."""
        self._stalled = False
        if self._producer is not None:
            self._producer.resumeProducing()
        self._tell_closed()

    def lost(self, reason: Failure) -> None:
        """See `Conversation`."""
        self._socket = self._producer = None
        self._guard.connectionLost(reason)

    # -- the guard's transport ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send a message of the client's last type, binary if it is not UTF-8; see `ITransport`."""
        socket = self._socket
        if socket is not None:
            socket.send(data, not (self._text and _is_text(data)), socket.compressed)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same with one message of several pieces; see `ITransport`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close behind everything written; see `ITransport`."""
        if self._socket is None:
            return
        if self._closing:
            self._socket.drop()
        else:
            self._close()

    def loseWriteConnection(self) -> None:
        """Send a Close behind everything written; see `ITCPTransport`."""
        if self._socket is not None and not self._closing:
            self._closing = True
            self._close()
            self._tell_closed()

    def abortConnection(self) -> None:
        """
        Drop the connection; who was refused, or let down by the service, is told so. See `ITCPTransport`.
        """
        if self._socket is None:
            return
        code = _CODES_OF_ABORTED.get(self._guard.reason)
        if code is None:
            self._socket.abort()
        else:
            self._socket.close(code, self._guard.reason)

    def pauseProducing(self) -> None:
        """Read no more for now; see `IPushProducer`."""
        if self._socket is not None:
            self._socket.pause()

    def resumeProducing(self) -> None:
        """Read again; see `IPushProducer`."""
        if self._socket is not None:
            self._socket.resume()

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Tell somebody to write less, or more again; see `IConsumer`."""
        self._producer = producer
        if self._stalled:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""
        self._producer = None

    def getPeer(self) -> IAddress:
        """The address of whoever is connected to us, a proxy perhaps; see `ITransport`, and `arrival`."""
        return self._ends[0]

    def getHost(self) -> IAddress:
        """See `ITransport`."""
        return self._ends[1]

    def arrival(self) -> Arrival:
        """See `IArrivalTransport`."""
        return self._arrival

    # What a guard watches of a transport to see whether what was written gets any further: the socket's.

    def fileno(self) -> int:
        """The descriptor of the socket below, -1 where there is none."""
        fileno = self._below("fileno")
        return -1 if fileno is None else int(fileno())

    @property
    def dataBuffer(self) -> bytes:
        """What the transport below has not given to the system yet; see `twisted.internet.abstract`."""
        return self._below("dataBuffer") or b""

    @property
    def offset(self) -> int:
        """How much of it has been given; as above."""
        return self._below("offset") or 0

    def _below(self, name: str) -> Any:
        if self._socket is None:
            return None
        transport = self._socket.transport
        # The connection of the web service is guarded itself, and its guard says what is below.
        below = getattr(transport, "below", None)
        try:
            return getattr(transport, name) if below is None else below(name)
        except AttributeError:
            return None

    def _close(self) -> None:
        reason = self._guard.reason or "service"
        if self._socket is not None:
            self._socket.close(_CODES.get(reason, NORMAL), "" if reason in ("service", "fin") else reason)

    def _tell_closed(self) -> None:
        if self._closing and not self._stalled and self._socket is not None:
            self._guard.writeConnectionLost()


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
