"""
A site for one service over WebSocket and for nothing else: what ``ws://`` and ``wss://`` listeners serve.

It is for clients that come with a path and an origin of their own. There is no page, so there is no token
and any name will do to reach it; but a page of another origin may connect only where that origin was named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IProtocolFactory

from netsvc.settings import Limits, SettingError
from netsvc.web.access import Access
from netsvc.web.answers import HTTPError
from netsvc.web.arriving import arrival_of
from netsvc.web.bridge import Bridge
from netsvc.web.conversation import Conversation
from netsvc.web.site import Shared, WebSite
from netsvc.web.upgrade import WebSocketResource
from netsvc.web.websocket import WebSockets
from netsvc.websettings import Web


class SoleAccess(Access):
    """The one door: whose pages may connect. Programs, which send no Origin, always may."""

    def check(self, request: Any) -> None:
        """See `Access`."""
        request.trusted = False
        given = request.requestHeaders.getRawHeaders(b"Origin") or []
        if all(self.is_welcome(one.decode("latin-1").lower()) for one in given):
            return
        try:
            # A page of the listener's own host, which must not be a name that somebody else made lead here.
            super().check(request)
        except HTTPError:
            text = "a page of another origin asks; this listener's origin= names those that may"
            raise HTTPError(403, text) from None

    def needs_token(self, request: Any) -> bool:
        """There is none."""
        return False


class SoleSocket(WebSocketResource):
    """The one resource."""

    isLeaf = True

    def __init__(self, sockets: WebSockets, guards: IProtocolFactory, path: str) -> None:
        """
        @param guards: what builds the guard of a connection.
        @param path: where it is; ``""`` is everywhere.
        """
        super().__init__(sockets)
        self._guards = guards
        self._path = path.encode("utf-8")

    def conversation(self, request: Any) -> Conversation:
        """The service's protocol, behind a guard."""
        if self._path and unquote_to_bytes(request.path) != self._path:
            raise HTTPError(404, "nothing is here; this listener has one path")
        guard: Any = self._guards.buildProtocol(request.channel.transport.getPeer())
        return Bridge(guard, arrival_of(request))


def sole_site(
    guards: IProtocolFactory,
    *,
    path: str,
    origins: Sequence[str],
    address: str,
    web: Web,
    limits: Limits,
    reactor: Any,
) -> WebSite:
    """
    Make the site of one listener.

    @param guards: what builds the guard of a connection.
    @param path: where the service is; ``""`` is everywhere.
    @param origins: whose pages may connect beside its own; ``*`` is every one.
    @param address: where it listens.
    @param web: ``[web]``: what a WebSocket may cost.
    @param limits: the listener's.
    @param reactor: an `IReactorTime`.
    @raise SettingError: one of the origins is none.
    """
    try:
        access = SoleAccess(
            hosts=(),
            origins=origins,
            proxies=limits.proxies,
            token="",
            beyond_loopback=lambda: False,
            addresses=[address],
        )
    except ValueError as error:
        raise SettingError(str(error)) from None
    root = SoleSocket(WebSockets(web, reactor), guards, path)
    return WebSite(root, access, web, limits, Shared(), lambda: None, reactor)
