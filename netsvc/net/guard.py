"""
What stands between one connection and a service's protocol, whoever wrote that protocol.

A `Guard` is the protocol that the socket's transport knows and the transport that the service's protocol
knows. A connection passes through stages, each of them a method that takes the bytes as they come in:

    PROXY header -> TLS handshake -> first line owed -> service -> closing (what still comes is thrown away)

and those that a listener does not have are skipped. The service's protocol is built when the stages before it
are over, so that it sees the client's own address and what TLS said; until then the connection can only be
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import Any

from zope.interface import implementer

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    ISSLTransport,
    ITransport,
)
from twisted.python.failure import Failure

from netsvc.facts import CLOSED, NO_DETAIL, OPENED, RECEIVED, REFUSED, Detail, OriginRow
from netsvc.net.addresses import host_and_port
from netsvc.net.arrival import arrival_at, behind_proxy, details_of, tls_below, with_tls
from netsvc.net.listening import Listening
from netsvc.net.proxy import NotAHeader, ProxyError, ProxyHeaderParser
from netsvc.net.servicetransport import ServiceTransport
from netsvc.net.tls import TLSFailure, TLSSession


def _ignore(data: bytes) -> None:
    """The stage of a connection that is closing: nothing that comes in matters any more."""


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener)
class Guard(ServiceTransport):
    """
    One connection, guarded.

    @ivar dataReceived: takes bytes as they come from the transport: the current stage, or the TLS session
        before it.
    """

    __slots__ = (
        "__weakref__",
        "_counted",
        "_deadline",
        "_entered",
        "_headerless",
        "_input",
        "_number",
        "_opened_at",
        "dataReceived",
    )

    dataReceived: Callable[[bytes], None]

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what all connections of the listener share.
        """
        super().__init__(listening)
        self._counted = False
        self._entered: str | None = None
        # Lets in a client without a header, where that is optional and it has sent none yet: it may wait for
        # us to speak first, or have finished sending.
        self._headerless: Callable[[], None] | None = None
        self._opened_at = 0.0
        self._number = listening.facts.next_connection()
        self._stage(_ignore)

    @property
    def number(self) -> int:
        """The connection's number, in facts."""
        return self._number

    @property
    def origin(self) -> OriginRow:
        """Where its facts come from."""
        return self._origin

    @property
    def opened_at(self) -> float:
        """When it reached the service, by the listener's clock; 0 before that."""
        return self._opened_at

    # -- stages before the service -------------------------------------------------------------------

    def makeConnection(self, transport: ITransport) -> None:
        """The connection is there; see `IProtocol`."""
        listening = self._listening
        self.press(transport)
        self._send = transport.write
        self._arrival = arrival_at(transport, listening.transport)
        self._origin = self._origin_row()
        listening.guards.add(self)
        reason = listening.admission.open_socket()
        if reason is not None:
            self._refuse(reason)
            return
        self._counted = True
        self._deadline = listening.clock.seconds() + listening.limits.handshake_timeout
        if listening.limits.idle_timeout == 0:
            _keep_alive(transport)
        if listening.over_endpoint and ISSLTransport.providedBy(transport):
            self._wait_for_handshake(self._late)
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
        if listening.proxy == "off" or not listening.may_be_proxy(self._arrival.address, self._arrival.port):
            if listening.proxy == "required":
                self._refuse("proxies")
            else:
                self._admit(b"")
            return
        parser = ProxyHeaderParser()
        self._stage(lambda data: self._read_header(parser, data))
        if listening.proxy == "optional":
            self._headerless = lambda: self._admit(parser.pending)
        # Of TLS the client is the first to speak: one that is silent there waits for nothing.
        silent = self._headerless if listening.tls is None else None
        self._wait_for_handshake(silent or self._late)

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

    def _admit(self, rest: bytes) -> None:
        """The client's address is known: may it come in? Bytes behind the header are its first."""
        listening = self._listening
        self._headerless = None
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
            self._wait_for_handshake(self._late)
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
        """The alert is on its way: close behind it, instead of aborting over it."""
        if self._service is None:
            self._note_refusal("tls", (("error", str(failure)),))
        for chunk in failure.received:
            self._input(chunk)
        self._finish("tls")

    def _flush_tls(self, session: TLSSession) -> None:
        ciphertext = session.outgoing()
        if ciphertext and self._transport is not None:
            self._transport.write(ciphertext)

    def _wait_for_handshake(self, late: Callable[[], None]) -> None:
        """The PROXY header and the TLS handshake have one time together."""
        self._wait(max(0.0, self._deadline - self._listening.clock.seconds()), late)

    def _late(self) -> None:
        self._timer = None
        self._refuse("handshake_timeout")

    def _refuse(self, reason: str, detail: Detail = NO_DETAIL) -> None:
        """The connection never reaches the service: note why, and close at once."""
        self._note_refusal(reason, detail)
        self._abort(reason)

    def _note_refusal(self, reason: str, detail: Detail) -> None:
        self._reason = reason
        self._listening.counts.refuse(reason)
        self._listening.facts.emit(REFUSED, self._origin, None, reason, detail)

    # -- the service -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        """The client is in: build the service's protocol and connect it."""
        listening = self._listening
        self._cancel_timer()
        try:
            service = listening.factory.buildProtocol(self._peer())
        except Exception:  # noqa: BLE001 - the factory may be anybody's; its fault ends this connection only
            self._say_failed("failed to build a protocol")
            service = None
        if service is None:
            self._refuse("service")
            return
        self._service = service
        self._opened_at = listening.clock.seconds()
        self.quiet_since = self._opened_at
        if listening.first:
            self._stage(self._read_first)
            self._wait(listening.limits.first_line_timeout, lambda: self._finish("first_line_timeout"))
        else:
            self._stage(self._deliver)
        listening.counts.opened += 1
        if listening.noted:
            listening.facts.emit(OPENED, self._origin, None, None, details_of(self._arrival))
        try:
            service.makeConnection(self)
            shaken: Any = IHandshakeListener(service, None)
            if shaken is not None and self._arrival.tls is not None:
                shaken.handshakeCompleted()
        except Exception:  # noqa: BLE001 - as above
            self.fail("failed as its client connected")

    def _read_first(self, data: bytes) -> None:
        """Bytes of a client that owes a first segment, or a first line, within its time."""
        if self._listening.first == "segment" or b"\n" in data:
            self._cancel_timer()
            self._stage(self._deliver)
        self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        size = len(data)
        self.bytes_in += size
        self.messages_in += 1
        book, now = self._book, time_ns()
        if not book:
            self._facts.begin(now)
        if size <= self._capture:
            book += (now, RECEIVED, self._origin, data, None)
        else:
            book += (now, RECEIVED, self._origin, data[: self._capture], (size, None, NO_DETAIL))
        try:
            self._service.dataReceived(data)  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 - as above
            self.fail("failed on what its client sent")

    def _stage(self, take: Callable[[bytes], None]) -> None:
        self._input = take
        if self._tls is None:
            self.dataReceived = take

    # -- the end -----------------------------------------------------------------------------------------

    def readConnectionLost(self) -> None:
        """The client sends no more; see `IHalfCloseableProtocol`."""
        if self._headerless is not None:
            self._headerless()
        if self._service is None and not self._ending:
            self._refuse("tls" if self._tls else "handshake", (("error", "closed by the client"),))
        else:
            self._end_of_input()

    def writeConnectionLost(self) -> None:
        """Everything has left and our side is closed; see `IHalfCloseableProtocol`."""
        service: Any = IHalfCloseableProtocol(self._service, None)
        if service is not None and not self._ending:
            service.writeConnectionLost()
        self.output_closed()

    def _end_of_input(self) -> None:
        """No more bytes will come: what is being answered is still answered."""
        if self._read_ended:
            return
        self._read_ended = True
        service: Any = IHalfCloseableProtocol(self._service, None)
        if self._ending:
            self._transport.loseConnection()
        elif service is None:
            self.close_after_answer("fin")
        else:
            service.readConnectionLost()
            if self._write_closed:
                self._finish("fin")

    def time_out_idle(self) -> None:
        """See `Connection`. Who has not reached the service has another time limit."""
        if self._service is not None:
            super().time_out_idle()

    def drain(self) -> None:
        """The daemon stops; see `Connection.drain`. Who has not reached the service has nothing coming."""
        if self._service is None:
            self._abort("shutdown")
        else:
            super().drain()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone; see `IProtocol`."""
        listening, service = self._listening, self._service
        ended = self._reason or _reason_of(reason)
        if service is None and self._reason is None:
            self._note_refusal("tls" if self._tls else "handshake", (("error", ended),))
        if self._counted:
            listening.admission.close_socket()
        if self._entered is not None:
            listening.admission.leave(self._entered)
        # The stages are bound methods of this object: let go of them, or only the garbage collector would.
        self._service = None
        self._tls = None
        self._headerless = None
        self._send = _ignore
        self.ignore_input()
        try:
            self.let_go()
            if service is not None:
                listening.counts.closed += 1
                if listening.noted:
                    listening.facts.emit(CLOSED, self._origin, None, ended, self._totals())
                service.connectionLost(reason)
        finally:
            listening.forget(self)

    def close_layers(self) -> None:
        """See `Connection`."""
        if self._tls is not None:
            self._tls.close()
            self._flush_tls(self._tls)

    def ignore_input(self) -> None:
        """See `Connection`."""
        self._stage(_ignore)

    def _totals(self) -> Detail:
        duration = round(self._listening.clock.seconds() - self._opened_at, 6)
        return (("bytes_in", self.bytes_in), ("bytes_out", self.bytes_out), ("duration", duration))

    def _send_tls(self, data: bytes) -> None:
        session = self._tls
        if session is not None:
            session.send(data)
            self._flush_tls(session)

    # -- small things ------------------------------------------------------------------------------------

    def _origin_row(self) -> OriginRow:
        arrival, listening = self._arrival, self._listening
        return (
            listening.service,
            listening.listener,
            arrival.transport,
            arrival.address,
            arrival.port,
            host_and_port(arrival.local_address, arrival.local_port),
            self._number,
        )


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
