"""
What the site has of WebSocket, by path: every service that can be bridged, the live timeline, and long
polling for the chat where WebSocket does not pass.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource

from netsvc.interfaces import IDaemonView, ListenerAddress
from netsvc.settings import Limits, SettingError
from netsvc.web.answers import Branch, HTTPError
from netsvc.web.arriving import arrival_of
from netsvc.web.bridge import Bridge
from netsvc.web.conversation import Conversation
from netsvc.web.live import LiveFacts
from netsvc.web.polling import Polling, Sessions
from netsvc.web.upgrade import WebSocketResource
from netsvc.web.websocket import WebSockets
from netsvc.websettings import Web

#: What the URLs of WebSocket and of HTTP begin with, by what a site is reached over.
_SCHEMES = {"tcp": ("ws", "http"), "tls": ("wss", "https")}


class ServiceSocket(WebSocketResource):
    """One service."""

    def __init__(self, sockets: WebSockets, view: IDaemonView, service: str, url: str) -> None:
        """
        @param view: the daemon.
        @param service: the service's name.
        @param url: what its connections here are noted and counted under.
        """
        super().__init__(sockets)
        self._view = view
        self._service = service
        self._url = url

    def conversation(self, request: Any) -> Conversation:
        """The service's protocol, behind a guard."""
        try:
            factory = self._view.guard_for(self._service, self._url)
        except SettingError:
            raise HTTPError(503, "the service cannot be served here; the log says why") from None
        return Bridge(factory.buildProtocol(request.channel.transport.getPeer()), arrival_of(request))


class Services(Branch):
    """``/ws``: every service that can be bridged, whichever those are at the time."""

    def __init__(self, sockets: WebSockets, view: IDaemonView, base: str) -> None:
        """
        @param base: the URL of the site, as WebSocket's.
        """
        super().__init__()
        self._sockets = sockets
        self._view = view
        self._base = base

    def getChild(self, path: bytes, request: Any) -> IResource:
        """The service of that name."""
        name = path.decode("utf-8", "replace")
        if name not in self._view.stream_services():
            return super().getChild(path, request)
        return ServiceSocket(self._sockets, self._view, name, f"{self._base}/ws/{name}")


def resources(
    view: IDaemonView,
    web: Web,
    limits: Limits,
    listener: ListenerAddress,
    reactor: Any,
    sessions: dict[str, Sessions],
) -> dict[bytes, IResource]:
    """
    The resources of one site.

    @param view: the daemon.
    @param web: ``[web]``, or the listener's own values.
    @param limits: the listener's.
    @param listener: where it listens.
    @param reactor: the reactor.
    @param sessions: those of long polling, by the URL that they are counted under; they are added to.
    @return: by path, such as ``/ws/facts``; a path with children of its own, such as ``/ws``, is a resource
        too.
    """
    sockets = WebSockets(web, reactor)
    websocket, http = _SCHEMES.get(listener.transport, ("", ""))
    where = listener.url.partition("://")[2]
    base = f"{websocket}://{where}" if websocket else listener.url
    polled = f"{http}://{where}/api/chat" if http else f"{listener.url}/api/chat"
    return {
        b"/ws": Services(sockets, view, base),
        b"/ws/facts": LiveFacts(sockets, view),
        b"/api/chat": Polling(view, "chat", polled, reactor, sessions.setdefault(polled, {})),
    }
