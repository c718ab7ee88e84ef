"""
The daemon's API, asked over Twisted's HTTP client, whose connections are dialled like every other of a
command's.

Redirections are not followed, and no proxy is asked: the token goes to the daemon that the user named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import urlencode

from zope.interface import implementer

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import ParseError
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory

from netsvc import __version__
from netsvc.commands.address import Address
from netsvc.commands.answer import Found, NoAnswerError, error_in, read_found
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, dial, reason_of

#: Seconds that the daemon may need for an answer beyond those that it was asked to wait, and for its next
#: bytes.
PATIENCE = 30.0

#: Seconds that are left for an answer on its way when the time of whoever asks is over.
LATE = 5.0

#: Bytes that an answer may have; the daemon gives some 16 MiB of facts at once.
LONGEST_ANSWER = 128 * 1024 * 1024

#: The most facts that are asked for at once.
MOST_FACTS = 1000

#: Statuses of a daemon, or a proxy before it, that may well answer later.
_LATER = frozenset({429, 500, 502, 503, 504})

# What Twisted's client raises when there was a connection but no answer.
_BROKEN = (ResponseFailed, RequestTransmissionFailed, ConnectionClosed)

#: The keys of a question and their values; a key may be there several times.
Query = Sequence[tuple[str, str]]


class UnreachableError(NotDone):
    """The daemon does not answer, but may later."""


class API:
    """One daemon's."""

    def __init__(
        self,
        reactor: Any,
        address: Address,
        tls: TLSOptions,
        token: str | None,
        seconds: float | None = None,
    ) -> None:
        """
        @param reactor: opens connections, and tells the time.
        @param address: of the web service, see `netsvc.commands.at`.
        @param tls: for ``https``.
        @param token: what is shown to be let in; None shows nothing.
        @param seconds: from now on, for all questions together: whoever answers later than that is not waited
            for any longer than `LATE`. None: each question has `PATIENCE`.
        """
        self._reactor = reactor
        self._address = address
        self._until = None if seconds is None else reactor.seconds() + seconds
        path = address.path if address.port is not None else ""
        scheme = "https" if address.is_secure else "http"
        self._base = f"{scheme}://{address.authority}{path}"
        self._headers = Headers({"User-Agent": [f"netsvc/{__version__}"], "Accept": ["application/json"]})
        if token:
            self._headers.addRawHeader("Authorization", f"Bearer {token}")
        self._connections = HTTPConnectionPool(reactor)
        self._agent = Agent.usingEndpointFactory(reactor, _Dialling(reactor, address, tls), self._connections)

    async def close(self) -> None:
        """Let go of the connection that is kept for the next question."""
        await self._connections.closeCachedConnections()

    async def last(self) -> int:
        """
        The seq up to which there are facts now: what comes later has a greater one.

        @raise UnreachableError: no answer.
        @raise NotDone: it is refused.
        """
        return (await self.facts([], "last", limit=1)).last

    async def facts(
        self, query: Query, after: int | str, *, limit: int = MOST_FACTS, wait: float = 0.0
    ) -> Found:
        """
        Ask for facts.

        @param query: which.
        @param after: those with a greater seq; ``last`` is from now on.
        @param limit: how many at most.
        @param wait: seconds to wait for one where there is none.
        @raise UnreachableError: no answer.
        @raise NotDone: it is refused.
        """
        pairs = [*query, ("after", str(after)), ("limit", str(limit))]
        if wait > 0:
            pairs.append(("wait", f"{wait:.3f}"))
        return self._found(*await self._get("/api/facts", pairs, wait), ok=(200,))

    async def wait(self, query: Query, after: int, count: int, timeout: float) -> Found:
        """
        Wait for facts.

        @param query: which.
        @param after: those with a greater seq.
        @param count: how many.
        @param timeout: seconds after which there may be less.
        @raise UnreachableError: no answer.
        @raise NotDone: it is refused.
        """
        pairs = [*query, ("after", str(after)), ("count", str(count)), ("timeout", f"{timeout:.3f}")]
        return self._found(*await self._get("/api/wait", pairs, timeout), ok=(200, 404))

    async def newest(self, after: int, limit: int) -> Found:
        """
        The newest facts of all, oldest first.

        @raise UnreachableError: no answer.
        @raise NotDone: it is refused.
        """
        found = await self.facts([("order", "newest")], after, limit=limit)
        return Found(found.facts[::-1], found.last, found.gap)

    def _found(self, status: int, phrase: str, body: bytes, ok: Sequence[int]) -> Found:
        if status in ok:
            try:
                return read_found(body)
            except NoAnswerError:
                raise NotDone(f"{self._address}: what answers there is not netsvc's API") from None
        error = error_in(body)
        if status in _LATER:
            raise UnreachableError(f"{self._address}: {error or f'{status} {phrase}'}")
        if error is None:
            raise NotDone(f"{self._address}: what answers there is not netsvc's API ({status} {phrase})")
        hint = "; NETSVC_TOKEN has the wrong one, or none" if status == 403 and "token" in error else ""
        raise NotDone(f"{self._address}: {error}{hint}")

    async def _get(self, path: str, query: Query, wait: float) -> tuple[int, str, bytes]:
        """Status, reason phrase and body of an answer."""
        encoded = urlencode(query, errors="surrogateescape")
        uri = f"{self._base}{path}?{encoded}".encode("ascii")
        try:
            response: Any = await self._agent.request(b"GET", uri, self._headers).addTimeout(
                wait + self._patience(wait), self._reactor, _too_late
            )
            body = _Body(self._reactor, self._patience())
            response.deliverBody(body)
            return response.code, response.phrase.decode("latin-1"), await body.whole
        except NotDone as error:
            raise UnreachableError(str(error)) from None
        except DeferredTimeoutError:
            raise UnreachableError(f"{self._address}: no answer in time") from None
        except _BROKEN as error:
            raise UnreachableError(f"{self._address}: {_why(error)}") from None

    def _patience(self, wait: float = 0.0) -> float:
        """Seconds that the daemon may need beyond those that it was asked to wait."""
        if self._until is None:
            return PATIENCE
        left: float = self._until - self._reactor.seconds() - wait
        return min(PATIENCE, max(0.0, left) + LATE)


def _too_late(value: object, seconds: float) -> NoReturn:
    """What was cancelled fails in many ways, but there is one reason."""
    raise DeferredTimeoutError(seconds)


def _why(error: Exception) -> str:
    """
    What is behind a failure of the client's.

    @raise CancelledError: it was cancelled.
    """
    reasons = [one.value for one in getattr(error, "reasons", ())] or [error]
    if any(isinstance(one, CancelledError) for one in reasons):
        raise CancelledError from None
    if any(isinstance(one, ParseError) for one in reasons):
        return "what answers there does not speak HTTP"
    return reason_of(Failure(reasons[0]))


class _Body(Protocol):
    """
    Collects the body of an answer.

    @ivar whole: fires with it; fails as the connection does, with `DeferredTimeoutError` when nothing comes
        any more, or with `NotDone` when it is too long.
    """

    transport: Any

    def __init__(self, reactor: Any, patience: float) -> None:
        """@param patience: seconds without a byte after which it is given up."""
        self.whole: Deferred[bytes] = Deferred(lambda _: self._stop())
        self._data = bytearray()
        self._seconds = patience
        self._patience = reactor.callLater(patience, self._fail, DeferredTimeoutError())

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > LONGEST_ANSWER:
            self._fail(NotDone(f"an answer of more than {LONGEST_ANSWER:,} bytes"))
        elif self._patience.active():
            self._patience.reset(self._seconds)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._patience.active():
            self._patience.cancel()
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._data))
        else:
            self.whole.errback(reason)

    def _fail(self, error: Exception) -> None:
        if not self.whole.called:
            self._stop()
            self.whole.errback(error)

    def _stop(self) -> None:
        if self._patience.active():
            self._patience.cancel()
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IAgentEndpointFactory)
class _Dialling:
    """Gives the client its connections: always to the address that the user named."""

    def __init__(self, reactor: Any, address: Address, tls: TLSOptions) -> None:
        self._endpoint = _Dialled(reactor, address, tls)

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


@implementer(IStreamClientEndpoint)
class _Dialled:
    """An endpoint that dials."""

    def __init__(self, reactor: Any, address: Address, tls: TLSOptions) -> None:
        self._arguments = reactor, address, tls

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        reactor, address, tls = self._arguments
        return Deferred.fromCoroutine(dial(reactor, address, protocolFactory, tls))
