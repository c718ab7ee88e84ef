"""
A WebSocket (RFC 6455) as a transport: what a protocol writes is a message, and each message that comes is
given to its ``dataReceived``.

So whatever talks on a stream talks here too. Autobahn knows the frames; the opening handshake is
`netsvc.commands.handshake`'s. A Close is what the end of a side is on a socket: ours lets the server say
what it still has to say, and its own is the end of the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import txaio
from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IProtocol, IProtocolFactory, ITransport
from twisted.python.failure import Failure

from netsvc.commands.address import Address
from netsvc.commands.at import token_for
from netsvc.commands.complaints import NotDone
from netsvc.commands.handshake import Opening, RefusedError

txaio.use_twisted()

# It asks txaio for its loggers as it is imported.
from autobahn.websocket.protocol import WebSocketClientFactory, WebSocketClientProtocol  # noqa: E402

#: Bytes that a message may have: what fits into memory, and is more than any server's lines and chunks.
MAX_MESSAGE = 16 * 1024 * 1024

#: Seconds that a server has to answer our Close, and to close the connection after its own.
CLOSE_TIMEOUT = 2.0

_NORMAL, _PROTOCOL_ERROR, _TOO_BIG = 1000, 1002, 1009

#: Codes of a Close by which a server ends a connection in order; one without a code does so too.
_IN_ORDER = frozenset({None, 1000, 1001, 1005})

_OPEN = WebSocketClientProtocol.STATE_OPEN
_CONNECTING = WebSocketClientProtocol.STATE_CONNECTING
_CLOSED = WebSocketClientProtocol.STATE_CLOSED


class ClosedError(Exception):
    """The WebSocket has ended, and not as a server ends one in order; the text says how, in a few words."""


@implementer(ITransport, IConsumer)
class MessageTransport:
    """The transport of a protocol that talks over a WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        """@param socket: it is open."""
        self._socket = socket
        self._has_producer = False

    def write(self, data: bytes) -> None:
        """Send a message: text if it is UTF-8. See `ITransport`."""
        self._socket.send(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The same with one message of several pieces; see `ITransport`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send a Close, and wait no longer than `CLOSE_TIMEOUT` for the server's. See `ITransport`."""
        self._socket.close()
        self._socket.be_quick()

    def loseWriteConnection(self) -> None:
        """Send a Close; what the server still says arrives. See `ITCPTransport`."""
        self._socket.close()

    def abortConnection(self) -> None:
        """Reset the connection; see `ITCPTransport`."""
        self._below.abortConnection()

    def pauseProducing(self) -> None:
        """Read no more for now; see `IPushProducer`."""
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again; see `IPushProducer`."""
        self._below.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer`."""
        self._has_producer = True
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""
        # The WebSocket may have done so before, for what has a producer does not close.
        if self._has_producer:
            self._has_producer = False
            self._below.unregisterProducer()

    def getPeer(self) -> IAddress:
        """See `ITransport`."""
        peer: IAddress = self._below.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """See `ITransport`."""
        host: IAddress = self._below.getHost()
        return host

    @property
    def _below(self) -> Any:
        return self._socket.transport


@implementer(IProtocol)
class WebSocket(WebSocketClientProtocol):
    """
    One connection.

    @ivar opened: fires with the inner protocol, connected, or fails with why it cannot be: `NotDone`, or the
        reason for which the connection was lost.
    """

    # What a server does wrong is told by `opened` and `connectionLost`.
    log = txaio.make_logger(level="critical")  # type: ignore[attr-defined]

    transport: Any

    def __init__(
        self,
        reactor: Any,
        address: Address,
        factory: IProtocolFactory,
        token: str | None,
        socket_factory: Sockets,
    ) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param address: the server's.
        @param factory: makes the inner protocol.
        @param token: see `Opening`.
        """
        super().__init__()
        self.factory = socket_factory
        self.peer = ""
        self.opened: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())
        self._reactor = reactor
        self._address = address
        self._inner_factory = factory
        self._inner: Any = None
        self._messages: MessageTransport | None = None
        self._opening = Opening(address, token)
        self._message = bytearray()
        self._server_closed = False
        self._problem: str | None = None
        self._late: Any = None

    # -- for the transport -------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send a message; it goes nowhere once the WebSocket is closing."""
        if self.state == _OPEN:
            self.sendFrame(opcode=1 if _is_text(data) else 2, payload=data)

    def close(self) -> None:
        """Send a Close, the first time."""
        if self.state == _OPEN:
            self.sendCloseFrame(code=_NORMAL)

    def be_quick(self) -> None:
        """Drop the connection if the server does not end it soon."""
        if self._late is None and self.state != _CLOSED:
            self._late = self._reactor.callLater(CLOSE_TIMEOUT, self.dropConnection)

    # -- the transport's protocol ------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol`."""
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """See `IProtocol`."""
        self._connectionMade()  # type: ignore[no-untyped-call]

    def startHandshake(self) -> None:
        """Ask for the WebSocket; see `WebSocketClientProtocol`."""
        self.websocket_key = self._opening.key
        self.transport.write(self._opening.request())

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        if self.state == _CONNECTING:
            self._shake_hands(data)
        elif self.state != _CLOSED and not self._server_closed:
            self._dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """See `IProtocol`."""
        self.state = _CLOSED
        if self._late is not None and self._late.active():
            self._late.cancel()
        if self._inner is not None:
            self._inner.connectionLost(self._reason(reason))
        elif not self.opened.called:
            self.opened.errback(self._not_opened(reason))

    def _shake_hands(self, data: bytes) -> None:
        try:
            answer = self._opening.feed(data)
        except RefusedError as error:
            self._refuse(str(error))
            return
        if answer is None:
            return
        head, rest = answer
        self._dataReceived(head)
        if self.state == _OPEN:
            self._open()
            if rest:
                self.dataReceived(rest)
        else:
            self._refuse(str(self.wasNotCleanReason))

    def _refuse(self, why: str) -> None:
        self.state = _CLOSED
        self.opened.errback(NotDone(f"{self._address}: {why}"))
        self.transport.abortConnection()

    def _open(self) -> None:
        self._inner = inner = cast(Any, self._inner_factory.buildProtocol(self.transport.getPeer()))
        self._messages = MessageTransport(self)
        inner.makeConnection(self._messages)
        self.opened.callback(inner)

    def _not_opened(self, reason: Failure) -> Failure:
        if reason.check(ConnectionDone):
            try:
                self._opening.end()
            except RefusedError as error:
                return Failure(NotDone(f"{self._address}: {error}"))
        return reason

    def _reason(self, reason: Failure) -> Failure:
        """Why the connection was lost, for the inner protocol."""
        if self._problem is not None:
            return Failure(ClosedError(self._problem))
        if not self._server_closed:
            # Without a Close it was cut off, whoever did it.
            return Failure(ConnectionLost()) if reason.check(ConnectionDone) else reason
        return Failure(ConnectionDone())

    # -- what Autobahn calls -----------------------------------------------------------------------------

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool:
        """The server's Close, which may be the answer to ours: nothing comes after it."""
        self._server_closed = True
        if code not in _IN_ORDER:
            text = (reasonRaw or b"").decode("utf-8", "backslashreplace")
            self._problem = f"closed by the server with {code}" + (f": {text}" if text else "")
        self.sendCloseFrame(code=_NORMAL, isReply=True)
        self.be_quick()
        return True

    def dropConnection(self, abort: bool = False) -> None:
        """See `WebSocketClientProtocol`."""
        self.state = _CLOSED
        if abort:
            self.transport.abortConnection()
        else:
            if self._messages is not None:
                self._messages.unregisterProducer()
            self.transport.loseConnection()

    def _fail_connection(self, code: int = _PROTOCOL_ERROR, reason: str = "") -> None:
        """The server broke the protocol or a limit (RFC 6455 section 7.1.7)."""
        if self.state != _CLOSED and not self.failedByMe:
            self.failedByMe = True
            self._problem = f"the server broke the WebSocket protocol: {reason}"
            self.sendCloseFrame(code=code)
            self.dropConnection()

    def _onConnect(self, response: object) -> None:
        pass

    def _onOpen(self) -> None:
        # In the middle of Autobahn's handshake; `_shake_hands` goes on from there.
        pass

    def _onMessageBegin(self, isBinary: bool) -> None:
        self.message_data_total_length = 0

    def _onMessageFrameBegin(self, length: int) -> None:
        self.message_data_total_length += length
        if self.message_data_total_length > MAX_MESSAGE:
            self._fail_connection(_TOO_BIG, f"a message of more than {MAX_MESSAGE:,} bytes")

    def _onMessageFrameData(self, payload: bytes) -> None:
        if not self.failedByMe:
            self._message += payload

    def _onMessageFrameEnd(self) -> None:
        pass

    def _onMessageEnd(self) -> None:
        if not self.failedByMe:
            data, self._message = bytes(self._message), bytearray()
            self._inner.dataReceived(data)

    def _onPing(self, payload: bytes) -> None:
        self.sendPong(payload)  # type: ignore[no-untyped-call]

    def _onPong(self, payload: bytes) -> None:
        pass


@implementer(IProtocolFactory)
class Sockets(WebSocketClientFactory):
    """Makes the WebSocket of one address, over the connection that there is."""

    log = WebSocket.log

    noisy = False

    def __init__(self, reactor: Any, address: Address, factory: IProtocolFactory) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param address: the server's.
        @param factory: makes the inner protocol, once the WebSocket is open.
        @raise NotDone: ``NETSVC_TOKEN`` is none, and would have to be shown.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._arguments = reactor, address, factory, token_for(address)
        # Who connects limits how long the opening takes, and who closes how long that does.
        self.openHandshakeTimeout = self.closeHandshakeTimeout = self.serverConnectionDropTimeout = 0

    def buildProtocol(self, addr: IAddress | None) -> WebSocket:
        """See `IProtocolFactory`."""
        return WebSocket(*self._arguments, self)

    def doStart(self) -> None:
        """See `IProtocolFactory`."""

    def doStop(self) -> None:
        """See `IProtocolFactory`."""


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
