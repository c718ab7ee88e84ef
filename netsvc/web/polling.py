"""
A service of messages by long polling, for where WebSocket does not pass: proxies and networks that do not
know it.

A session stands for a connection. What a client posts is a message in; a message out waits until the client
asks for it, and is forgotten once the client says, by asking for what comes after it, that it has come. So
nothing is lost with a request that is. The service is behind a guard as everywhere else; a session is its
transport. One for which nobody asks any more ends, and so does one whose messages nobody fetches.

    POST   …            a new session          -> {"session": "…"}
    POST   …/SESSION    a message              -> {}
    GET    …/SESSION    ?after=0&wait=25       -> {"messages": [ … ], "last": 7}
    DELETE …/SESSION    the end                -> {}
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from zope.interface import implementer

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET

from netsvc.interfaces import Arrival, IArrivalTransport, IDaemonView
from netsvc.web.answers import HTTPError, Leaf, answer
from netsvc.web.arriving import arrival_of
from netsvc.web.asking import only, query_of, refuse_query, seconds

#: Sessions at once, of one site.
MAX_SESSIONS = 1000

#: Bytes that wait for one client. A page that polls fetches them within a second.
MAX_QUEUED = 256 * 1024

#: Bytes that wait for all of them, of which each may have as much as the others.
MAX_QUEUED_TOGETHER = 32 * 1024 * 1024

#: Seconds without a request after which a session ends; a page asks again at once.
EXPIRY = 60.0

#: Seconds that a request waits for a message at most, and unless it says otherwise. Proxies cut at 60 or 30.
LONGEST_WAIT, WAIT = 50.0, 25.0

#: Digits of a number in a query.
_DIGITS = 18


@implementer(ITransport, IConsumer, IPushProducer, IArrivalTransport)
class Session:
    """One client; the transport of its guard."""

    def __init__(
        self,
        guard: Any,
        arrival: Arrival,
        clock: IReactorTime,
        most: Callable[[], int],
        ended: Callable[[], object],
    ) -> None:
        """
        @param guard: a `netsvc.net.guard.Guard` that is not connected yet.
        @param arrival: how the client arrived.
        @param clock: the reactor's time.
        @param most: how many bytes may wait for the client now.
        @param ended: called once, when it is over.
        """
        self._guard = guard
        self._arrival = arrival
        self._clock = clock
        self._most = most
        self._ended = ended
        self._over = False
        # What has not been seen to arrive, the number of the last of it, and of the last that was ever sent.
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._last = 0
        self._sent = 0
        self._request: Any = None
        self._answering: IDelayedCall | None = None
        self._expiring: IDelayedCall | None = None

    # -- the client ----------------------------------------------------------------------------------

    def begin(self) -> str | None:
        """
        Connect the service.

        @return: the limit that refuses that, None if none does.
        """
        self._expect()
        self._guard.makeConnection(self)
        reason: str | None = self._guard.reason
        return reason

    def post(self, message: bytes) -> None:
        """The client says something."""
        self._expect()
        self._guard.dataReceived(message)

    def get(self, request: Any, after: int | None, wait: float) -> None:
        """
        The client asks for what there is, and takes the place of whoever else waits for it.

        @param request: to be answered.
        @param after: the number of the last message that it has; None is all that it was ever sent.
        @param wait: seconds to wait for a message.
        """
        self._answer()
        first = self._last - len(self._messages)
        # What was never sent cannot have come, whatever a client says.
        for _ in range((self._sent if after is None else min(after, self._sent)) - first):
            self._size -= len(self._messages.popleft())
        self._request = request
        request.notifyFinish().addErrback(self._hung_up, request)
        self._cancel(self._expiring)
        self._answer_in(0 if self._messages else wait)

    def leave(self) -> None:
        """The client has had enough."""
        self._guard.readConnectionLost()
        self.end(Failure(ConnectionDone()))

    def end(self, reason: Failure) -> None:
        """It is over."""
        if self._over:
            return
        self._over = True
        self._answer()
        self._cancel(self._expiring)
        self._ended()
        self._guard.connectionLost(reason)

    def _expect(self) -> None:
        """Wait for the client's next request."""
        self._cancel(self._expiring)
        if self._request is None and not self._over:
            self._expiring = self._clock.callLater(EXPIRY, self.end, Failure(ConnectionLost()))

    def _hung_up(self, _: Failure, request: Any) -> None:
        if self._request is request:
            self._request = None
            self._cancel(self._answering)
            self._expect()

    def _answer_in(self, seconds: float) -> None:
        self._cancel(self._answering)
        self._answering = self._clock.callLater(seconds, self._answer)

    def _answer(self) -> None:
        """Give who waits what there is."""
        self._cancel(self._answering)
        request, self._request = self._request, None
        if request is not None:
            self._sent = self._last
            # They are JSON as they are.
            request.end(b'{"messages":[' + b",".join(self._messages) + b'],"last":%d}\n' % self._last)
            self._expect()

    @staticmethod
    def _cancel(call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()

    # -- the guard's transport -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Keep a message until it is fetched; see `ITransport`."""
        if self._over:
            return
        self._messages.append(data)
        self._size += len(data)
        self._last += 1
        if self._size > self._most():
            self._end_soon(Failure(ConnectionLost()))
        elif self._request is not None:
            # In a moment, for what comes at the same time comes together.
            self._answer_in(0)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See `ITransport`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """See `ITransport`."""
        self._end_soon(Failure(ConnectionDone()))

    def loseWriteConnection(self) -> None:
        """See `ITCPTransport`; a session has but one end."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """See `ITCPTransport`."""
        self._end_soon(Failure(ConnectionLost()))

    def _end_soon(self, reason: Failure) -> None:
        # Not from within a call of the guard's, as with every transport.
        self._clock.callLater(0, self.end, reason)

    def getPeer(self) -> IAddress:
        """There is no socket of its own: an address that says nothing; see `arrival`."""
        return UNIXAddress(None)

    def getHost(self) -> IAddress:
        """The same."""
        return UNIXAddress(None)

    def arrival(self) -> Arrival:
        """See `IArrivalTransport`."""
        return self._arrival

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Nobody is ever told to write less: what is too much ends the session. See `IConsumer`."""

    def unregisterProducer(self) -> None:
        """See `IConsumer`."""

    def pauseProducing(self) -> None:
        """A client that posts waits for the answer, so there is nothing to hold back; see `IPushProducer`."""

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self.loseConnection()


#: Those at one site, by what their clients call them.
Sessions = dict[bytes, Session]


class Polling(Leaf):
    """The sessions of one service at one site."""

    def __init__(
        self, view: IDaemonView, service: str, url: str, clock: IReactorTime, sessions: Sessions
    ) -> None:
        """
        @param view: the daemon.
        @param service: the service's name.
        @param url: what its connections here are noted and counted under.
        @param clock: the reactor's time.
        @param sessions: where they are kept; they outlive this when the site's settings change.
        """
        super().__init__()
        self._view = view
        self._service = service
        self._url = url
        self._clock = clock
        self._sessions = sessions

    def render_POST(self, request: Any) -> bytes:
        """Begin a session."""
        refuse_query(request)
        if len(self._sessions) >= MAX_SESSIONS:
            raise HTTPError(503, f"there are {MAX_SESSIONS} sessions already")
        name = secrets.token_urlsafe(24)
        key = name.encode("ascii")
        factory: Any = self._view.guard_for(self._service, self._url)
        guard = factory.buildProtocol(request.channel.transport.getPeer())
        arrival = arrival_of(request)
        session = Session(guard, arrival, self._clock, self._most, lambda: self._sessions.pop(key, None))
        self._sessions[key] = session
        refused = session.begin()
        if refused is not None:
            raise HTTPError(429, f"refused: {refused}")
        return answer({"session": name})

    def _most(self) -> int:
        return min(MAX_QUEUED, MAX_QUEUED_TOGETHER // max(1, len(self._sessions)))

    def getChild(self, path: bytes, request: Any) -> IResource:
        """A session."""
        session = self._sessions.get(path)
        if session is None:
            raise HTTPError(404, "there is no such session, or not any more")
        return SessionResource(session)


class SessionResource(Leaf):
    """One session, for one request."""

    def __init__(self, session: Session) -> None:
        """@param session: the one that the path names."""
        super().__init__()
        self._session = session

    def render_POST(self, request: Any) -> bytes:
        """Take a message."""
        refuse_query(request)
        self._session.post(request.content.read())
        return answer({})

    def render_GET(self, request: Any) -> object:
        """Wait for messages."""
        query = query_of(request)
        try:
            if unknown := query.keys() - {"after", "wait"}:
                raise ValueError(f"{min(unknown)!a}: expected after or wait")
            after, wait = _after(only(query, "after")), seconds(query, "wait", WAIT, LONGEST_WAIT)
        except ValueError as error:
            raise HTTPError(400, str(error)) from None
        self._session.get(request, after, wait)
        return NOT_DONE_YET

    def render_DELETE(self, request: Any) -> bytes:
        """End it."""
        refuse_query(request)
        self._session.leave()
        return answer({})


def _after(text: str | None) -> int | None:
    """
    The number of a message, as a query has it.

    @raise ValueError: it is none.
    """
    if text is not None and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError(f"after={text!a}: expected the number of a message")
    return None if text is None else int(text)
