"""The web service: one site for each listener, put together here."""

from __future__ import annotations

import secrets
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from netsvc.interfaces import IDaemonView, ListenerAddress
from netsvc.settings import Limits
from netsvc.web.access import Access, is_local, outward_address, read_token
from netsvc.web.answers import Branch, put
from netsvc.web.api import api
from netsvc.web.lag import Lag
from netsvc.web.metrics import DaemonCollector, Metrics
from netsvc.web.polling import Sessions
from netsvc.web.request import Channel, Request
from netsvc.web.sockets import resources
from netsvc.web.static import static_files
from netsvc.websettings import Web

_log = Logger(namespace="netsvc.web")

#: What every answer says. Scripts, styles and connections are our own or none; nobody frames the page.
HEADERS: Mapping[bytes, bytes] = {
    b"Server": b"netsvc",
    b"Content-Security-Policy": b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'",
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Cache-Control": b"no-store",
}

#: Seconds between two lines of the log that say that a request met a defect.
FAILURE_SECONDS = 1.0

#: Addresses that stand for every address of the machine.
_WILDCARDS = frozenset({"0.0.0.0", "::"})


class Shared:
    """
    What all sites of a daemon share.

    @ivar answers: how many answers there were, by status.
    @ivar long_answers: those that are being made while they are sent; see `netsvc.web.pieces`.
    @ivar sessions: those of long polling, by the URL that they are counted under.
    """

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.long_answers: set[object] = set()
        self.sessions: dict[str, Sessions] = {}
        self._at: dict[str, list[WebSite]] = {}
        self._made = ""
        self._lag: Lag | None = None
        self._sites = 0

    def lag(self, clock: IReactorTime) -> Lag:
        """How late the reactor is, seen by one for all."""
        if self._lag is None:
            self._lag = Lag(clock)
        return self._lag

    def at(self, url: str) -> list[WebSite]:
        """The sites of one listener, the newest last: its settings change while connections are open."""
        return self._at.setdefault(url, [])

    def started(self) -> None:
        """One more site listens."""
        self._sites += 1
        if self._sites == 1 and self._lag is not None:
            self._lag.start()

    def stopped(self) -> bool:
        """
        A site listens no more.

        @return: whether it was the last one.
        """
        self._sites -= 1
        if self._sites == 0 and self._lag is not None:
            self._lag.stop()
        return self._sites == 0

    def token(self, file: str) -> str:
        """
        The token that whoever comes from beyond loopback must show.

        @param file: where it is; empty: one is made, once.
        @raise ValueError: the file cannot be used.
        """
        if file:
            return read_token(file)
        if not self._made:
            self._made = secrets.token_urlsafe(24)
        return self._made


class WebSite(Site):
    """
    One listener's site.

    @ivar web: its settings.
    @ivar access: who may ask.
    @ivar headers: what every answer says.
    @ivar head_timeout: seconds for a request's head, and again for its body.
    """

    noisy = False

    def __init__(
        self,
        root: Resource,
        access: Access,
        web: Web,
        limits: Limits,
        shared: Shared,
        announcement: Callable[[], str | None],
        reactor: Any,
        last_words: Callable[[], None] = lambda: None,
        sites: list[WebSite] | None = None,
    ) -> None:
        """
        @param root: all resources.
        @param access: who may ask.
        @param web: ``[web]``, or the listener's own values.
        @param limits: the listener's.
        @param shared: what the sites share.
        @param announcement: gives the line that the log has when it listens, or None.
        @param reactor: an `IReactorTime`.
        @param last_words: called when the last site listens no more, before connections are closed.
        @param sites: those of the same listener, the newest last; it enters itself as it starts.
        """
        super().__init__(root, requestFactory=Request, parsePOSTFormSubmission=False, reactor=reactor)
        self.web = web
        self.access = access
        self.headers = HEADERS
        self.head_timeout = limits.handshake_timeout
        self._shared = shared
        self._announcement = announcement
        self._last_words = last_words
        self._sites = [] if sites is None else sites
        self._call: IDelayedCall | None = None
        self._said_until = 0.0

    @property
    def long_answers(self) -> set[object]:
        """See `Shared`."""
        return self._shared.long_answers

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """See `IProtocolFactory`. Twisted's own channel would speak HTTP/2 where it can."""
        channel = Channel()
        channel.requestFactory = Request
        channel.factory = self
        channel.site = self
        return channel

    def startFactory(self) -> None:
        """It listens, or will in a moment: an endpoint's port is known only then."""
        self._call = self.reactor.callLater(0, self._announce)
        self._sites.append(self)
        self._shared.started()

    def stopFactory(self) -> None:
        """It does not listen any more."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._sites.remove(self)
        if self._shared.stopped():
            self._last_words()

    @property
    def newest(self) -> WebSite:
        """What answers the next request, also on a connection that this one has built."""
        return self._sites[-1] if self._sites else self

    def log(self, request: Any) -> None:
        """There is no log of requests: a page that looks for news would fill it."""

    def count(self, status: int) -> None:
        """An answer was sent."""
        self._shared.answers[status] += 1

    def say_failed(self, failure: Failure) -> None:
        """A request met a defect of ours, which others may be able to cause over and over."""
        now = self.reactor.seconds()
        if now >= self._said_until:
            self._said_until = now + FAILURE_SECONDS
            self._say(failure)

    def _say(self, failure: Failure) -> None:
        _log.failure("a request could not be answered", failure)

    def _announce(self) -> None:
        self._call = None
        line = self._announcement()
        if line:
            _log.info("{line}", line=line)


def web_factory(
    *,
    reactor: Any,
    daemon: IDaemonView,
    listener: ListenerAddress,
    limits: Limits,
    shared: Shared,
    **settings: Any,
) -> IProtocolFactory:
    """
    Make the site of one listener; see the declaration of ``web``.

    @param settings: those of `Web`.
    @raise ValueError: one of them cannot be used.
    """
    web = Web(**settings)
    token = shared.token(web.token_file)

    def address() -> tuple[str, int | None]:
        """Where it listens; an endpoint knows once it does."""
        if listener.transport != "endpoint":
            return listener.address, listener.port
        rows = [
            row for row in daemon.listeners() if row["listener"] == listener.url and row["service"] == "web"
        ]
        return (rows[0]["address"], rows[0]["port"]) if rows and rows[0]["address"] else ("0.0.0.0", None)

    def beyond_loopback() -> bool:
        return not is_local(address()[0])

    def announcement() -> str | None:
        host, port = address()
        if not beyond_loopback():
            return None
        if web.token_file:
            return f"{listener.url} needs the token of {web.token_file}"
        host = outward_address() if host in _WILDCARDS else host
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if listener.transport == "tls" else "http"
        return f"open {scheme}://{shown}:{port}/?token={token}"

    access = Access(
        hosts=web.hosts,
        origins=web.origins,
        proxies=limits.proxies,
        token=token,
        beyond_loopback=beyond_loopback,
        addresses=[listener.address],
        machine=socket.gethostname(),
    )
    lag = shared.lag(reactor)
    root = Branch()
    for path, resource in {
        **static_files(),
        **api(daemon, reactor),
        b"/metrics": Metrics(DaemonCollector(daemon, lag, shared.answers)),
        **resources(daemon, web, limits, listener, reactor, shared.sessions),
    }.items():
        put(root, path, resource)
    sites = shared.at(listener.url)
    return WebSite(root, access, web, limits, shared, announcement, reactor, daemon.watchers.stop, sites)
