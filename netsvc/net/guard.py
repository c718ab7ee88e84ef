"""
What stands between one connection and a service's protocol, whoever wrote that protocol.

A `Guard` is the protocol that the socket's transport knows and the transport that the service's protocol knows.
A connection passes through stages, each of them a method that takes the bytes as they come in:

    PROXY header -> TLS handshake -> first line owed -> service -> closing (what still comes is thrown away)

and those that a listener does not have are skipped. The service's protocol is built when the stages before it are
over, so that it sees the client's own address and what TLS said; until then the connection can only be refused.

Reading stops while the transport's buffer is full, and so does the service's producer, which is what bounds the
memory of a connection. Closing means: what was written leaves, then our end closes, then what the client still
sends is read and thrown away for a moment, because closing a socket with unread bytes in it makes the system send
a reset that can destroy the answer on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import Declaration, implementedBy, implementer, providedBy

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProducer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.facts import CLOSED, NO_DETAIL, OPENED, RECEIVED, REFUSED, SENT, Detail, OriginRow
from netsvc.interfaces import Arrival, IArrivalTransport
from netsvc.net.arrival import address_of, arrival_at, behind_proxy, details_of, tls_below, with_tls
from netsvc.net.listening import Listening
from netsvc.net.progress import Progress
from netsvc.net.proxy import NotAHeader, ProxyError, ProxyHeaderParser
from netsvc.net.pull import PulledProducer
from netsvc.net.tls import TLSFailure, TLSSession


def _ignore(data: bytes) -> None:
    """The stage of a connection that is closing: nothing that comes in matters any more."""


@implementer(IPushProducer)
class _Pressure:
    """What the transport asks to pause while its buffer is full."""

    __slots__ = ("_guard",)

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def pauseProducing(self) -> None:
        self._guard.stall()

    def resumeProducing(self) -> None:
        self._guard.flow()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows and does what is to do."""


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, ITransport, IConsumer, IPushProducer)
@implementer(IArrivalTransport)
class Guard:
    """
    One connection, guarded.

    @ivar bytes_in: bytes that the service received.
    @ivar bytes_out: bytes that it wrote.
    @ivar dataReceived: the current stage, or the TLS session before it.
    """

    __slots__ = (
        "__weakref__",
        "_arrival",
        "_close_wanted",
        "_counted",
        "_ending",
        "_entered",
        "_held",
        "_input",
        "_listening",
        "_number",
        "_opened_at",
        "_origin",
        "_overrun",
        "_producer",
        "_progress",
        "_read_ended",
        "_reason",
        "_send",
        "_service",
        "_stalled",
        "_timer",
        "_tls",
        "_transport",
        "_write_ended",
        "bytes_in",
        "bytes_out",
        "dataReceived",
        "quiet_since",
        "seen",
    )

    _log = Logger()

    dataReceived: Callable[[bytes], None]

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what all connections of the listener share.
        """
        self._listening = listening
        self._transport: Any = None
        self._service: IProtocol | None = None
        self._tls: TLSSession | None = None
        self._timer: IDelayedCall | None = None
        self._progress: Progress | None = None
        self._producer: Any = None
        self._reason: str | None = None
        self._entered: str | None = None
        self._counted = False
        self._ending = False
        self._read_ended = False
        self._write_ended = False
        self._close_wanted = False
        self._stalled = False
        self._held = False
        self._overrun = 0
        self._opened_at = 0.0
        self._number = listening.facts.next_connection()
        self.bytes_in = 0
        self.bytes_out = 0
        self.seen = -1
        self.quiet_since = 0.0
        self._stage(_ignore)

    # -- stages before the service -------------------------------------------------------------------

    def makeConnection(self, transport: ITransport) -> None:
        """The connection is there; see `IProtocol`."""
        listening = self._listening
        self._transport = transport
        self._send = transport.write
        self._arrival = arrival_at(transport, listening.transport)
        self._origin = self._origin_row()
        listening.guards.add(self)
        reason = listening.admission.open_socket()
        if reason is not None:
            self._refuse(reason)
            return
        self._counted = True
        self._transport.registerProducer(_Pressure(self), True)
        if listening.limits.idle_timeout == 0:
            _keep_alive(transport)
        if listening.over_endpoint and ISSLTransport.providedBy(transport):
            self._wait(listening.limits.handshake_timeout, self._late)
        else:
            self._expect_header()

    def connectionMade(self) -> None:
        """See `IProtocol`; everything begins in `makeConnection`."""

    def handshakeCompleted(self) -> None:
        """The TLS of a Twisted endpoint under this guard is ready; see `IHandshakeListener`."""
        if self._service is None and not self._ending:
            self._arrival = with_tls(self._arrival, tls_below(self._transport))
            self._origin = self._origin_row()
            self._expect_header()

    def _expect_header(self) -> None:
        listening = self._listening
        if listening.proxy == "off" or not listening.may_be_proxy(
            self._arrival.address, self._arrival.port
        ):
            if listening.proxy == "required":
                self._refuse("proxies")
            else:
                self._admit(b"")
            return
        parser = ProxyHeaderParser()
        self._stage(lambda data: self._read_header(parser, data))
        late = self._admit_silent if listening.proxy == "optional" else self._late
        self._wait(listening.limits.handshake_timeout, late)

    def _read_header(self, parser: ProxyHeaderParser, data: bytes) -> None:
        try:
            parsed = parser.feed(data)
        except NotAHeader as error:
            if self._listening.proxy == "optional":
                self._admit(error.data)
            else:
                self._refuse("proxy_header", (("error", str(error)),))
            return
        except ProxyError as error:
            self._refuse("proxy_header", (("error", str(error)),))
            return
        if parsed is not None:
            header, rest = parsed
            self._arrival = behind_proxy(self._arrival, header)
            self._origin = self._origin_row()
            self._admit(rest)

    def _admit_silent(self) -> None:
        """Where the header is optional, a client that waits for us to speak first has none."""
        self._timer = None
        self._admit(b"")

    def _admit(self, rest: bytes) -> None:
        """The client's address is known: may it come in? Bytes behind the header are its first."""
        listening = self._listening
        host = None if self._arrival.port is None else self._arrival.address
        reason = listening.admission.enter(host)
        if reason is not None:
            self._refuse(reason)
            return
        self._entered = host
        if listening.tls is None:
            self._serve()
        else:
            self._tls = TLSSession(listening.tls)
            self.dataReceived = self._read_tls
            self._stage(_ignore)
            self._wait(listening.limits.handshake_timeout, self._late)
        if rest:
            self.dataReceived(rest)

    def _read_tls(self, data: bytes) -> None:
        """Ciphertext came in, in the handshake or after it."""
        session = self._tls
        if session is None:
            return
        try:
            plain = session.receive(data)
        except TLSFailure as failure:
            self._flush_tls(session)
            self._fail_tls(failure)
            return
        self._flush_tls(session)
        if self._service is None and session.handshaken and not self._ending:
            self._arrival = with_tls(self._arrival, session.arrival())
            self._send = self._send_tls
            self._serve()
        for chunk in plain:
            self._input(chunk)
        if session.ended:
            self._end_of_input()

    def _fail_tls(self, failure: TLSFailure) -> None:
        detail = (("error", str(failure)),)
        if self._service is None:
            # The alert is on its way: close behind it, instead of aborting over it.
            self._note_refusal("tls", detail)
        self._finish("tls")

    def _flush_tls(self, session: TLSSession) -> None:
        ciphertext = session.outgoing()
        if ciphertext and self._transport is not None:
            self._transport.write(ciphertext)

    def _late(self) -> None:
        self._timer = None
        self._refuse("handshake_timeout")

    def _refuse(self, reason: str, detail: Detail = NO_DETAIL) -> None:
        """The connection never reaches the service: note why, and close at once."""
        self._note_refusal(reason, detail)
        self._abort(reason)

    def _note_refusal(self, reason: str, detail: Detail) -> None:
        self._reason = reason
        self._listening.facts.emit(REFUSED, self._origin, None, reason, detail)

    # -- the service -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        """The client is in: build the service's protocol and connect it."""
        listening = self._listening
        self._cancel_timer()
        try:
            service = listening.factory.buildProtocol(self._peer())
        except Exception:  # noqa: BLE001 - the factory may be anybody's; its fault ends this connection only
            self._log.failure("{service} could not build its protocol", service=listening.service)
            service = None
        if service is None:
            self._refuse("service")
            return
        self._service = service
        self._opened_at = listening.clock.seconds()
        self.quiet_since = self._opened_at
        if listening.first:
            self._stage(self._read_first)
            self._wait(listening.limits.first_line_timeout, lambda: self._time_out("first_line_timeout"))
        else:
            self._stage(self._deliver)
        listening.facts.emit(OPENED, self._origin, None, None, details_of(self._arrival))
        try:
            service.makeConnection(self)
        except Exception:  # noqa: BLE001 - as above
            self._log.failure("{service} failed as its client connected", service=listening.service)
            self._abort("error")

    def _read_first(self, data: bytes) -> None:
        """Bytes of a client that owes a first segment, or a first line, within its time."""
        if self._listening.first == "segment" or b"\n" in data:
            self._cancel_timer()
            self._stage(self._deliver)
        self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        self.bytes_in += len(data)
        self._listening.facts.emit(RECEIVED, self._origin, data)
        self._service.dataReceived(data)  # type: ignore[union-attr]

    def _stage(self, take: Callable[[bytes], None]) -> None:
        self._input = take
        if self._tls is None:
            self.dataReceived = take

    # -- what the service's protocol sees: a transport ---------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; see `ITransport`."""
        if self._ending or self._write_ended or not data:
            return
        if type(data) is not bytes:
            data = bytes(data)
        size = len(data)
        self.bytes_out += size
        self._listening.facts.emit(SENT, self._origin, data)
        if self._stalled:
            self._overrun += size
            if self._overrun > self._listening.limits.write_budget:
                self._abort("write_budget")
                return
        self._send(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as one; see `ITransport`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close once everything written has left, and once the producer has finished; see `ITransport`."""
        self._close_wanted = True
        if self._producer is None:
            self._finish("service")

    def abortConnection(self) -> None:
        """Reset the connection; see `ITCPTransport`."""
        self._abort("service")

    def loseWriteConnection(self) -> None:
        """Send what was written and then the end of our side; see `ITCPTransport`."""
        if self._ending or self._write_ended:
            return
        self._write_ended = True
        self._transport.unregisterProducer()
        self._close_tls()
        if self._can_half_close():
            self._transport.loseWriteConnection()

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

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Let a producer write as fast as the client reads; see `IConsumer`."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: {self._producer!r} is registered")
        if self._ending or self._transport is None:
            producer.stopProducing()
            return
        if streaming:
            self._producer = producer
            if self._stalled:
                self._producer.pauseProducing()
            return
        self._producer = PulledProducer(producer, lambda call: self._listening.clock.callLater(0, call))  # type: ignore[arg-type]
        if not self._stalled:
            self._producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer has finished; see `IConsumer`."""
        producer, self._producer = self._producer, None
        if isinstance(producer, PulledProducer):
            producer.pauseProducing()
        if self._close_wanted:
            self._finish("service")

    def pauseProducing(self) -> None:
        """The service wants to read nothing for now; see `IPushProducer`."""
        self._held = True
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The service wants to read again; see `IPushProducer`."""
        self._held = False
        self._read_again()

    def stopProducing(self) -> None:
        """The service wants nothing more; see `IPushProducer`."""
        self.loseConnection()

    def __getattr__(self, name: str) -> Any:
        # What a service may ask of Twisted's own transports and of no other: setTcpNoDelay, startTLS …
        transport = self._transport if name != "_transport" else None
        if transport is None or (name == "startTLS" and self._tls is not None):
            raise AttributeError(f"this connection has no {name}")
        return getattr(transport, name)

    @property
    def __providedBy__(self) -> Any:
        # The transport's interfaces too, for services that ask; made when asked, since few do.
        provided = [implementedBy(Guard)]
        if self._tls is not None:
            provided.append(Declaration(ISSLTransport))
        if self._transport is not None:
            provided.append(providedBy(self._transport))
        return Declaration(*provided)

    # -- pressure: a client that does not read is not read from ------------------------------------------

    def stall(self) -> None:
        """The transport's buffer is full."""
        if self._stalled or self._ending:
            return
        self._stalled = True
        self._transport.pauseProducing()
        if self._producer is not None:
            self._producer.pauseProducing()
        self._watch()

    def flow(self) -> None:
        """The transport's buffer is empty again."""
        if not self._stalled or self._ending:
            return
        self._stalled = False
        self._overrun = 0
        self._unwatch()
        self._read_again()
        if self._producer is not None:
            self._producer.resumeProducing()

    def _read_again(self) -> None:
        if not (self._held or self._stalled or self._read_ended) or self._ending:
            self._transport.resumeProducing()

    def _watch(self) -> None:
        """Abort the connection when nothing of what was written gets any further."""
        if self._progress is None:
            limits, clock = self._listening.limits, self._listening.clock
            self._progress = Progress(
                self._transport, clock, limits.write_timeout, lambda: self._abort("write_timeout")
            )

    def _unwatch(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    # -- the end -----------------------------------------------------------------------------------------

    def readConnectionLost(self) -> None:
        """The client sends no more; see `IHalfCloseableProtocol`."""
        if self._service is None and not self._ending:
            self._refuse("tls" if self._tls else "handshake", (("error", "closed by the client"),))
        else:
            self._end_of_input()

    def writeConnectionLost(self) -> None:
        """Everything has left and our side is closed; see `IHalfCloseableProtocol`."""
        if self._ending:
            self._unwatch()
            self._wait(self._listening.limits.close_timeout, self._transport.loseConnection)
        elif IHalfCloseableProtocol.providedBy(self._service):
            self._service.writeConnectionLost()  # type: ignore[union-attr]

    def _end_of_input(self) -> None:
        """No more bytes will come: what is being answered is still answered."""
        if self._read_ended:
            return
        self._read_ended = True
        if self._ending:
            self._transport.loseConnection()
        elif IHalfCloseableProtocol.providedBy(self._service):
            self._service.readConnectionLost()  # type: ignore[union-attr]
        elif self._producer is None:
            self._finish("fin")
        else:
            self._reason = "fin"
            self._close_wanted = True

    def time_out_idle(self) -> None:
        """No byte has moved for the idle time."""
        self._time_out("idle")

    def drain(self) -> None:
        """The daemon stops: produce no more, send what is buffered, close."""
        if self._service is None:
            self._abort("shutdown")
        elif self._ending:
            self._transport.loseConnection()
        elif self._progress is None and not Progress.unread(self._transport):
            # Nothing that could reset the connection waits to be read: no need to linger.
            self._end_output("shutdown")
            self._transport.loseConnection()
            if self._transport is not None:
                self._watch()
        else:
            self._finish("shutdown")

    def abort(self) -> None:
        """The daemon's patience is over."""
        self._abort("shutdown")

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone; see `IProtocol`."""
        listening, service = self._listening, self._service
        producer, self._producer = self._producer, None
        self._cancel_timer()
        self._unwatch()
        listening.forget(self)
        if self._counted:
            listening.admission.close_socket()
        if self._entered is not None:
            listening.admission.leave(self._entered)
        ended = self._reason or _reason_of(reason)
        if service is None and self._reason is None:
            self._note_refusal("tls" if self._tls else "handshake", (("error", ended),))
        self._ending = True
        # The stages are bound methods of this object: let go of them, or only the garbage collector would.
        self._tls = None
        self._stage(_ignore)
        self._send = _ignore
        if producer is not None:
            producer.stopProducing()
        self._service = None
        self._transport = None
        if service is not None:
            duration = round(listening.clock.seconds() - self._opened_at, 6)
            detail = (("bytes_in", self.bytes_in), ("bytes_out", self.bytes_out), ("duration", duration))
            listening.facts.emit(CLOSED, self._origin, None, ended, detail)
            service.connectionLost(reason)

    def _time_out(self, reason: str) -> None:
        self._timer = None
        self._finish(reason)

    def _end_output(self, reason: str) -> None:
        """Nothing more will be written: let what was written go, watched."""
        self._reason = self._reason or reason
        self._ending = True
        self._cancel_timer()
        self._stage(_ignore)
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.stopProducing()
        if not self._write_ended:
            # A transport that has paused its producer would wait for it before closing.
            self._transport.unregisterProducer()
            self._close_tls()

    def _finish(self, reason: str) -> None:
        """Send what was written, close our side, and give the client a moment to close its own."""
        if self._ending or self._transport is None:
            return
        transport = self._transport
        self._end_output(reason)
        self._watch()
        if self._read_ended or not self._can_half_close():
            transport.loseConnection()
        elif self._write_ended:
            self.writeConnectionLost()
        else:
            transport.resumeProducing()
            transport.loseWriteConnection()

    def _abort(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._ending = True
        self._cancel_timer()
        self._unwatch()
        self._stage(_ignore)
        if self._transport is not None:
            self._transport.abortConnection()

    def _close_tls(self) -> None:
        if self._tls is not None:
            self._tls.close()
            self._flush_tls(self._tls)

    def _send_tls(self, data: bytes) -> None:
        session = self._tls
        if session is not None:
            session.send(data)
            self._flush_tls(session)

    def _can_half_close(self) -> bool:
        # A TLS layer of Twisted's own, under this guard or begun by the service, cannot close one side.
        transport = self._transport
        return not getattr(transport, "TLS", False) and not (
            self._listening.over_endpoint and ISSLTransport.providedBy(transport)
        )

    # -- small things ------------------------------------------------------------------------------------

    def _wait(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._listening.clock.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _peer(self) -> IAddress:
        return address_of(self._arrival.address, self._arrival.port)

    def _origin_row(self) -> OriginRow:
        arrival, listening = self._arrival, self._listening
        host = f"[{arrival.local_address}]" if ":" in arrival.local_address else arrival.local_address
        local = host if arrival.local_port is None else f"{host}:{arrival.local_port}"
        return (
            listening.service,
            listening.listener,
            arrival.transport,
            arrival.address,
            arrival.port,
            local,
            self._number,
        )


@implementer(IProtocolFactory)
class GuardFactory:
    """Builds a guard for each connection of one listener."""

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what the connections share.
        """
        self._listening = listening

    def buildProtocol(self, addr: IAddress) -> Guard:
        """A guard; the service's protocol is built later. See `IProtocolFactory`."""
        return Guard(self._listening)

    def doStart(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStart()

    def doStop(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStop()


def _keep_alive(transport: Any) -> None:
    enable = getattr(transport, "setTcpKeepAlive", None)
    if enable is not None:
        try:
            enable(True)
        except OSError:
            # A UNIX socket, which needs none, or a connection that is gone already.
            return


def _reason_of(reason: Failure) -> str:
    if reason.check(ConnectionDone):
        return "fin"
    if reason.check(ConnectionLost):
        return "reset"
    return "error"
