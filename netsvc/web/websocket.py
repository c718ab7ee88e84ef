"""
One WebSocket, the server's side of it: RFC 6455, with permessage-deflate (RFC 7692), within limits.

Autobahn knows the protocol: frames, masks, UTF-8, compression. What it leaves to its users is here: no more
is kept of a message than its limit allows however it is cut, what is compressed is inflated no further than
its own limit, a peer is pinged and must be heard, its Close is answered only when what it was to get has
been written, and one that breaks the protocol is told so with a close code. Reading and writing can be held
back from either side.

What a WebSocket is good for is its `Conversation`'s business; how one comes to be, `netsvc.web.upgrade`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import txaio
from zope.interface import implementer

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    IReactorTime,
)
from twisted.python.failure import Failure

from netsvc.web.conversation import CLOSE_TIMEOUT, Bounds, Conversation
from netsvc.web.unfinished import Unfinished
from netsvc.web.wire import (
    NORMAL,
    PROTOCOL_ERROR,
    TOO_BIG,
    ProtocolFailure,
    fitting,
    frame,
    may_be_closed_with,
)

txaio.use_twisted()

# They ask txaio for its loggers as they are imported.
from autobahn.websocket.compress import (  # noqa: E402
    PerMessageCompressOffer,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)
from autobahn.websocket.protocol import WebSocketServerFactory, WebSocketServerProtocol  # noqa: E402

#: Bits of the window with which we compress, unless the client wants it smaller: with 4 KiB it costs a
#: connection 32 KiB, at the largest size ten times that, for a few per cent of what is sent.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5

#: What pings say; a peer's answer need not be compared, for any sign of life will do.
_PING = b"netsvc"

#: Fragments of one message: what is to be sent as it comes has fewer, and one that never ends, even if of
#: empty ones, must.
MAX_FRAGMENTS = 100_000

#: Bytes that Autobahn is given at a time: it copies what is left of them for every frame that it takes off.
_PIECE = 8192

#: Frames, or pieces of one, that are taken in one turn of the reactor: some milliseconds, for which others
#: wait.
_PER_TURN = 256

#: Seconds after which it is left at that: a small frame can inflate to a large message, which takes its time.
_SLICE = 0.003

_OPEN = WebSocketServerProtocol.STATE_OPEN
_CLOSED = WebSocketServerProtocol.STATE_CLOSED


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class WebSocket(WebSocketServerProtocol):
    """
    One connection; made by `WebSockets.build`.

    It is the protocol of its transport, and the producer by which the transport tells it to write less.

    @ivar compressed: whether the last message that came was; see `send`.
    """

    # What peers do wrong they are told themselves: a log that anybody can fill is no use.
    log = txaio.make_logger(level="critical")  # type: ignore[attr-defined]

    transport: Any
    factory: WebSockets

    # Autobahn's, which has no annotations.
    _isMessageCompressed: bool

    def __init__(
        self, factory: WebSockets, conversation: Conversation, bounds: Bounds, clock: IReactorTime
    ) -> None:
        super().__init__()
        self.factory = factory
        self.peer = ""
        self.compressed = False
        self._conversation = conversation
        self._bounds = bounds
        self._most_inflated = min(bounds.max_inflated, bounds.max_message)
        self._clock = clock
        self._opened = False
        self._reading = True
        self._consuming = False
        # What has been received and not been given to Autobahn yet, and how much of it has.
        self._pending = b""
        self._given = 0
        # Autobahn can go on with what it has.
        self._unfinished = False
        self._resting: IDelayedCall | None = None
        self._heard = False
        self._peer_closed = False
        self._input_ended = False
        self._failure: ProtocolFailure | None = None
        self._message = bytearray()
        self._fragments = 0
        self._pinging: IDelayedCall | None = None
        self._closing: IDelayedCall | None = None

    # -- for conversations -------------------------------------------------------------------------------

    def send(self, data: bytes, binary: bool, compressed: bool = False) -> None:
        """
        Send a message; it goes nowhere once the WebSocket is closing.

        @param data: UTF-8, unless it is binary.
        @param compressed: compress it, if the peer has agreed to that.
        """
        if self.state != _OPEN:
            return
        codec: Any = self._perMessageCompress
        if compressed and codec is not None:
            codec.start_compress_message()
            data = codec.compress_message_data(data) + codec.end_compress_message()
            self.sendFrame(opcode=2 if binary else 1, payload=data, rsv=4)
        else:
            self.transport.write(frame(data, binary))

    def send_frame(self, encoded: bytes) -> None:
        """Send a message that `frame` encoded."""
        if self.state == _OPEN:
            self.transport.write(encoded)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """
        Send a Close behind everything written, and drop the connection when the peer has answered it, or
        has not.

        Where the peer's Close came first, this is the answer to it, and says what that said.

        @param code: a close code.
        @param reason: for the person at the other end; what does not fit is cut.
        """
        if self.state != _OPEN:
            return
        if self._peer_closed:
            self.sendCloseFrame(code=self.remoteCloseCode, isReply=True)
            self.drop()
        else:
            self.sendCloseFrame(code=code, reasonUtf8=fitting(reason))
            self._wait_for_close(self.drop)

    def drop(self) -> None:
        """Close the connection itself, behind everything written."""
        self._end()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection."""
        self._end()
        self.transport.abortConnection()

    def pause(self) -> None:
        """Read no more for now: not even what has been received already."""
        self._reading = False
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        if self._reading:
            return
        self._reading = True
        # What the transport has handed over already comes first; it may make somebody pause again.
        self._consume()
        self._read_again()

    # -- the transport's protocol ------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol`. The opening handshake is to be received next, see `netsvc.web.upgrade`."""
        self.transport = transport
        self._connectionMade()
        transport.registerProducer(self, True)

    def connectionMade(self) -> None:
        """See `IProtocol`; everything begins in `makeConnection`."""

    def shake_hands(self, head: bytes) -> None:
        """
        Answer the opening handshake (RFC 6455 section 4.2.2), and open.

        @param head: the head of the request, which holds nothing but what belongs there.
        """
        self._dataReceived(head)
        if self.state != _OPEN:
            return
        self._opened = True
        self._ping_later()
        self._conversation.opened(self)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        self._heard = True
        # Behind a Close there is nothing (RFC 6455 section 5.5.1), and nobody would take it.
        if self.state == _CLOSED or self._peer_closed:
            return
        self._pending = self._pending[self._given :] + data
        self._given = 0
        if self._resting is None:
            self._consume()

    def readConnectionLost(self) -> None:
        """
        The peer sends no more, without a Close: it is answered as if it had; see `IHalfCloseableProtocol`.
        """
        self._input_ended = True
        if self._resting is None:
            self._consume()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`."""

    def connectionLost(self, reason: Failure) -> None:
        """See `IProtocol`."""
        self._end()
        if self._opened:
            self._opened = False
            if self._failure is not None:
                reason = Failure(self._failure)
            elif self._peer_closed:
                reason = Failure(ConnectionDone())
            self._conversation.lost(reason)

    def pauseProducing(self) -> None:
        """The transport's buffer is full; see `IPushProducer`."""
        if self._opened:
            self._conversation.stalled()

    def resumeProducing(self) -> None:
        """It is empty again; see `IPushProducer`."""
        if self._opened:
            self._conversation.flowing()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows and does what is to do. See `IPushProducer`."""

    # -- what Autobahn calls -----------------------------------------------------------------------------

    def consumeData(self) -> None:
        """
        See `WebSocketServerProtocol`: here for the handshake alone; `_consume` is for what comes behind it.
        """
        if self.state == self.STATE_CONNECTING:
            super().consumeData()

    def onConnect(self, request: Any) -> str | None:
        """The opening handshake is valid: choose the first of the subprotocols that the client offers."""
        return request.protocols[0] if request.protocols else None

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """The peer's Close; see RFC 6455 sections 5.5.1 and 7.4."""
        if code is not None and not may_be_closed_with(code):
            return self._protocol_violation(f"invalid close code {code}")
        try:
            (reasonRaw or b"").decode("utf-8")
        except UnicodeDecodeError:
            return self._invalid_payload("the reason of a Close is not UTF-8")
        self.remoteCloseCode = code
        self._finish()
        return True

    def dropConnection(self, abort: bool = False) -> None:
        """See `WebSocketServerProtocol`."""
        if abort:
            self.abort()
        else:
            self.drop()

    def _fail_connection(self, code: int = PROTOCOL_ERROR, reason: str = "") -> None:
        """Tell the peer what it did wrong, and hear no more of it (RFC 6455 section 7.1.7)."""
        if self.state == _CLOSED:
            return
        self.failedByMe = True
        self._failure = ProtocolFailure(code, reason)
        self.sendCloseFrame(code=code, reasonUtf8=fitting(reason))
        self.drop()

    def _onOpen(self) -> None:
        """Autobahn is in its handshake and catches what is raised; `shake_hands` goes on from there."""

    def _onMessageBegin(self, isBinary: bool) -> None:
        self.message_is_binary = isBinary
        self.message_data_total_length = 0
        self._fragments = 0

    def _onMessageFrameBegin(self, length: int) -> None:
        # The names are Autobahn's, which bounds by them what a compressed frame may inflate to.
        self.message_data_total_length += length
        self._fragments += 1
        bounds = self._bounds
        if length > bounds.max_frame:
            self._fail_connection(TOO_BIG, f"a frame has more than {bounds.max_frame} bytes")
        elif self.message_data_total_length > bounds.max_message:
            self._fail_connection(TOO_BIG, f"a message has more than {bounds.max_message} bytes")
        elif self._fragments > MAX_FRAGMENTS:
            self._fail_connection(TOO_BIG, f"a message has more than {MAX_FRAGMENTS} fragments")

    def _onMessageFrameData(self, payload: bytes) -> None:
        if self.failedByMe:
            return
        if not self._message:
            self.factory.unfinished.add(self)
        # Piece by piece into one buffer: a list of small pieces would take many times their size.
        self._message += payload
        if len(self._message) > self.factory.unfinished.share():
            self._fail_connection(TOO_BIG, "there are too many unfinished messages for one of this size")
        elif self._isMessageCompressed and len(self._message) > self._most_inflated:
            self._fail_connection(TOO_BIG, f"a message inflates to more than {self._most_inflated} bytes")

    def _onMessageFrameEnd(self) -> None:
        """A frame's end means nothing to us."""

    def _onMessageEnd(self) -> None:
        if self.failedByMe:
            return
        data = self._take_message()
        # Behind our own Close too: until the peer's, it may have something on its way.
        self.compressed = self._isMessageCompressed
        self._conversation.received(data, self.message_is_binary)

    def _take_message(self) -> bytes:
        """What there is of a message, which then is nobody's any more."""
        data, self._message = bytes(self._message), bytearray()
        self.factory.unfinished.discard(self)
        return data

    def _onPing(self, payload: bytes) -> None:
        self.sendPong(payload)

    def _onPong(self, payload: bytes) -> None:
        """Any sign of life counts; see `dataReceived`."""

    def _max_message_size_exceeded(self, msg_size: int, max_msg_size: int, reason: str) -> None:
        self._fail_connection(TOO_BIG, f"a message inflates to more than {self._most_inflated} bytes")

    # -- taking apart what comes --------------------------------------------------------------------------

    def _consume(self) -> None:
        """
        Take what has been received, as long as somebody wants to read it and others need not wait for it.
        """
        # Who pauses and resumes while a message is handed over is not to begin the next one inside of it.
        if self._consuming:
            return
        self._consuming = True
        end = self._clock.seconds() + _SLICE
        try:
            for _ in range(_PER_TURN):
                if not self._reading or self._peer_closed or self.state == _CLOSED:
                    return
                # Asked without need, it would take the frame that it is in to have an empty piece.
                if not self._unfinished and not self._give():
                    if self._input_ended:
                        self._finish()
                    return
                self._unfinished = bool(self.processData())
                if self._clock.seconds() >= end:
                    break
        finally:
            self._consuming = False
        self.transport.pauseProducing()
        self._resting = self._clock.callLater(0, self._go_on)

    def _give(self) -> bool:
        """Give Autobahn the next piece; False if there is none."""
        piece = self._pending[self._given : self._given + _PIECE]
        self._given += len(piece)
        self.data += piece
        return bool(piece)

    def _finish(self) -> None:
        """The peer has nothing more to say."""
        self._peer_closed = True
        if self.state != _OPEN:
            self.drop()
        else:
            self._wait_for_close(self.close)
            self._conversation.finished()

    def _go_on(self) -> None:
        self._resting = None
        self._consume()
        self._read_again()

    def _read_again(self) -> None:
        if self._reading and self._resting is None and self.state != _CLOSED:
            self.transport.resumeProducing()

    # -- time --------------------------------------------------------------------------------------------

    def _ping_later(self) -> None:
        if self._bounds.ping_interval:
            self._pinging = self._clock.callLater(self._bounds.ping_interval, self._ping)

    def _ping(self) -> None:
        self._heard = False
        self.sendPing(_PING)
        self._pinging = self._clock.callLater(self._bounds.ping_timeout, self._expect_pong)

    def _expect_pong(self) -> None:
        # While nobody reads, nothing can be heard; who does not read either is found by the write timeout.
        if self._heard or not self._reading:
            self._ping_later()
        else:
            self._pinging = None
            self.abort()

    def _wait_for_close(self, late: Callable[[], None]) -> None:
        if self._closing is None:
            self._closing = self._clock.callLater(CLOSE_TIMEOUT, late)

    def _end(self) -> None:
        """Nothing more is read or sent."""
        self.state = _CLOSED
        self.data = b""
        self._pending = b""
        self._take_message()
        for call in (self._pinging, self._closing, self._resting):
            if call is not None and call.active():
                call.cancel()
        self._pinging = self._closing = self._resting = None


class WebSockets(WebSocketServerFactory):
    """
    What all WebSockets of one site have in common.

    @ivar unfinished: what they have of messages together.
    """

    log = WebSocket.log

    def __init__(self, bounds: Bounds, clock: IReactorTime) -> None:
        """
        @param bounds: what one of them may cost.
        @param clock: the reactor's time.
        """
        super().__init__(server="")
        self._bounds = bounds
        self._clock = clock
        self.unfinished = Unfinished()
        self.setProtocolOptions(
            webStatus=False,
            # Stop at once at what is wrong. What that means is `WebSocket._fail_connection`'s.
            failByDrop=True,
            # One more than may be, here and below: what fills the limit exactly when zlib stops may be all
            # that there is, or not.
            maxMessagePayloadSize=bounds.max_message + 1,
            # `netsvc.web` limits the head of a request, and the end of a connection is timed above.
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            perMessageCompressionAccept=self._accept,
            allowNullOrigin=True,
        )

    def build(self, conversation: Conversation) -> WebSocket:
        """A WebSocket that is not connected yet."""
        return WebSocket(self, conversation, self._bounds, self._clock)

    def _accept(self, offers: Sequence[PerMessageCompressOffer]) -> PerMessageDeflateOfferAccept | None:
        """The first of the client's offers that is permessage-deflate; see RFC 7692 section 7.1."""
        for offer in offers:
            if isinstance(offer, PerMessageDeflateOffer):
                return PerMessageDeflateOfferAccept(
                    offer,
                    window_bits=None if offer.request_max_window_bits else _WINDOW_BITS,
                    mem_level=_MEMORY_LEVEL,
                    max_message_size=self._bounds.max_inflated + 1,
                )
        return None
