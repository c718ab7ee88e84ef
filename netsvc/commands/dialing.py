"""
Streams from the commands to an address: TCP, TLS and UNIX sockets, on Twisted's endpoints, and WebSocket.

TLS verifies the chain and the name (`netsvc.commands.verifying`) unless it was told not to. What goes wrong
becomes one line that says what.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click
from zope.interface import implementer

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    UserError,
)
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocolFactory,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address, path_of
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.naming import look_up
from netsvc.commands.verifying import TLSOptions, Verification

__all__ = ["CONNECT_TIMEOUT", "TLSOptions", "dial", "half_close", "reason_of", "tls_options"]

#: Seconds that a connection, its TLS handshake included, may take.
CONNECT_TIMEOUT = 10.0

# Completion offers files; who opens one says why that cannot be done.
_FILE = click.Path(readable=False)

Command = TypeVar("Command", bound=Callable[..., Any])

# What connecting raises, without TLS; ValueError of a host that is no name.
_CANNOT_CONNECT = (ConnectError, ConnectionClosed, DeferredTimeoutError, OSError, ValueError)

# What OpenSSL calls a fatal alert of the peer's, such as "tlsv13 alert certificate required".
_ALERT = re.compile(r"(?:ssl|tls)\S* alert (.+)")


def tls_options(command: Command) -> Command:
    """
    Decorate a click command that takes an ``address`` with ``--ca --cert --key --insecure``.

    What does not fit together is wrong usage, so that nobody believes himself safe; and ``--insecure`` is
    said loudly, once, however many connections follow.

    @param command: gets ``tls``, `TLSOptions`, too.
    """

    @functools.wraps(command)
    def with_tls(
        *arguments: Any,
        address: Address,
        ca: str | None,
        cert: str | None,
        key: str | None,
        insecure: bool,
        **options: Any,
    ) -> Any:
        tls = TLSOptions(ca, cert, key, insecure)
        if not address.is_secure and tls != TLSOptions():
            raise click.UsageError(f"--ca, --cert, --key and --insecure are for TLS and not for {address}")
        if key is not None and cert is None:
            raise click.UsageError("--key is of no use without --cert")
        if ca is not None and insecure:
            raise click.UsageError("--ca trusts some and --insecure trusts everybody; give one of them")
        if insecure:
            complain(f"WARNING: the certificate of {address} is NOT VERIFIED (--insecure): it can be anybody")
        return command(*arguments, address=address, tls=tls, **options)

    decorated: Any = with_tls
    for option in (
        click.option("--insecure", is_flag=True, help="Do not verify the server's certificate."),
        click.option(
            "--key", type=_FILE, metavar="FILE", help="The private key of --cert, if in another file."
        ),
        click.option(
            "--cert", type=_FILE, metavar="FILE", help="A client certificate to show, with its chain."
        ),
        click.option(
            "--ca", type=_FILE, metavar="FILE", help="Authorities to trust instead of the system's."
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


async def dial(
    reactor: Any,
    address: Address,
    factory: IProtocolFactory,
    tls: TLSOptions,
    timeout: float = CONNECT_TIMEOUT,
) -> Any:
    """
    Connect to an address.

    @param reactor: opens the connection.
    @param address: of a stream: ``tcp``, ``tls`` or ``unix``, or one over WebSocket, where what the protocol
        writes is one message each time, and what it is given too.
    @param factory: makes the protocol. On TLS and WebSocket its protocol is made and connected once the
        handshake is over.
    @param tls: for what is over TLS.
    @param timeout: seconds, for the name, the connection and the handshake together; as long again for
        WebSocket's.
    @return: the protocol, connected; on TLS the server is verified. The server may refuse our certificate
        later (TLS 1.3, RFC 8446 section 4.4.2.4): the connection is lost, and `reason_of` says so.
    @raise NotDone: with one line that says why not.
    """
    if not address.is_websocket:
        return await _dialled(reactor, address, factory, tls, timeout)
    # Imported here because it takes long, and nothing else needs it.
    from netsvc.commands.websocket import Sockets

    socket = await _dialled(reactor, address, Sockets(reactor, address, factory), tls, timeout)
    return await _connected(reactor, socket.opened, address, timeout)


def half_close(transport: Any) -> None:
    """
    Say that nothing more will be sent; what the server still sends arrives.

    @param transport: of a protocol that `dial` returned.
    """
    # On TLS this sends close_notify and reads on until the server's (RFC 8446 section 6.1).
    if ISSLTransport.providedBy(transport):
        transport.loseConnection()
    else:
        transport.loseWriteConnection()


async def _dialled(
    reactor: Any, address: Address, factory: IProtocolFactory, tls: TLSOptions, timeout: float
) -> Any:
    """Connect over TCP, TLS or a UNIX socket."""
    if not address.is_secure:
        plain = await _endpoint(reactor, address, timeout)
        return await _connected(reactor, plain.connect(factory), address, timeout)
    verification = Verification(address, tls)
    endpoint = wrapClientTLS(verification, await _endpoint(reactor, address, timeout), clock=reactor)
    opening: Deferred[Any] = endpoint.connect(_HandshakeFactory(factory))
    opening.addCallback(lambda protocol: protocol.completed)
    try:
        return await _connected(reactor, opening, address, timeout)
    except NotDone:
        if verification.refusal:
            raise NotDone(verification.refusal) from None
        raise


def reason_of(failure: Failure) -> str:
    """
    Say why a connection could not be made or was lost, in a few words.

    @param failure: of an endpoint, or the reason of ``connectionLost``.
    """
    from OpenSSL.SSL import Error

    error = failure.value
    if isinstance(error, Error):
        return _tls_reason(error)
    # ConnectionRefusedError and others are ConnectErrors: the first that fits says it.
    for kind, text in (
        (ConnectionDone, "closed by the server"),
        (ConnectionLost, "the connection broke: reset by the server, or lost on the way"),
        (ConnectionRefusedError, "connection refused"),
        (DNSLookupError, "the name has no address"),
        (NoRouteError, "network is unreachable"),
        ((UserError, DeferredTimeoutError), "no answer in time"),
    ):
        if isinstance(error, kind):
            return text
    number = error.osError if isinstance(error, ConnectError) else getattr(error, "errno", None)
    if isinstance(number, int):
        return os.strerror(number).lower()
    return " ".join(str(error).split()) or type(error).__name__


def _tls_reason(error: Exception) -> str:
    """What OpenSSL says: its last entry is the cause."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    words = str(entries[-1][2]) if entries else ""
    if match := _ALERT.match(words):
        return f"the server ended TLS: {match[1]}"
    if words in ("wrong version number", "packet length too long", "http request", "record layer failure"):
        return f"what answers there does not speak TLS ({words})"
    return f"TLS failed: {words or type(error).__name__}"


async def _endpoint(reactor: Any, address: Address, timeout: float) -> IStreamClientEndpoint:
    """The endpoint below TLS."""
    if address.port is None:
        return UNIXClientEndpoint(reactor, path_of(address), timeout=timeout)
    host = address.host
    if "_" in host:
        # Containers have such names, and Twisted takes them for none.
        host = (await look_up(reactor, host, address.port))[0].address
    return HostnameEndpoint(reactor, host, address.port, timeout=timeout)


async def _connected(reactor: Any, opening: Deferred[Any], address: Address, timeout: float) -> Any:
    from OpenSSL.SSL import Error

    opening.addTimeout(timeout, reactor, _too_late)
    try:
        return await opening
    except (*_CANNOT_CONNECT, Error) as error:
        raise NotDone(f"{address}: {reason_of(Failure(error))}") from None


def _too_late(value: object, seconds: float) -> NoReturn:
    """What was cancelled fails in many ways, but there is one reason."""
    raise DeferredTimeoutError(seconds)


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """
    Stands where the protocol will, until the TLS handshake is over.

    @ivar completed: fires with the protocol, or fails with the reason for which the connection was lost.
    """

    transport: Any

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self.completed: Deferred[Any] = Deferred(lambda _: self.transport.abortConnection())

    def handshakeCompleted(self) -> None:
        protocol: Any = self._factory.buildProtocol(self.transport.getPeer())
        self.transport.wrappedProtocol = protocol
        protocol.makeConnection(self.transport)
        self.completed.callback(protocol)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.completed.called:
            self.completed.errback(reason)


class _HandshakeFactory(Factory[_Handshake]):
    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory

    def buildProtocol(self, addr: IAddress | None) -> _Handshake:
        return _Handshake(self._factory)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()
