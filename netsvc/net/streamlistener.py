"""Listeners for streams: on a socket of ours, a Twisted endpoint, or carried by another listener."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.task import LoopingCall

from netsvc.counters import Counts
from netsvc.facts import REFUSED
from netsvc.net.accept import AcceptPort
from netsvc.net.arrival import host_and_port
from netsvc.net.listener import Place, SocketListener, unexpected
from netsvc.net.listening import Guarded, Listening
from netsvc.net.sockets import OpenSocket, unlink_path
from netsvc.net.succession import Succession

#: Looks at each listener's idle connections within one idle time: they close at most a tenth too late.
_IDLE_LOOKS = 10


class _Streams:
    """
    What the kinds of stream listener share: their connections.

    @ivar serving: what serves them.
    """

    def __init__(self, serving: Succession, reactor: Any) -> None:
        self.serving = serving
        self._idle = LoopingCall(serving.close_idle)
        self._idle.clock = reactor

    @property
    def listening(self) -> Listening:
        """See `Listener`."""
        return self.serving.present

    def renew(self, listening: Listening) -> None:
        """
        Serve whoever comes from now on otherwise; those who are inside go on as they are.

        @param listening: its factory has been started.
        """
        self.serving.change(listening)
        if self._idle.running:
            self._unwatch_idle()
            self._watch_idle()

    def connections(self) -> Sequence[Guarded]:
        """See `Listener`."""
        return self.serving.connections()

    def counted(self) -> Counts:
        """See `Listener`."""
        return self.serving.counted()

    def dropped(self) -> int:
        """See `Listener`; a stream waits."""
        return 0

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        for guard in self.serving.connections():
            guard.drain()
        return self.serving.when_empty()

    def abort(self) -> None:
        """See `Listener`."""
        for guard in self.serving.connections():
            guard.abort()

    def _watch_idle(self) -> None:
        timeout = self.serving.idle_timeout
        # Where nothing is to be closed, it is looked for all the same, for that may change.
        interval = min(60.0, timeout / _IDLE_LOOKS) if timeout else 60.0
        self._idle.start(interval, now=False).addErrback(unexpected)

    def _unwatch_idle(self) -> None:
        if self._idle.running:
            self._idle.stop()


class StreamListener(SocketListener, _Streams):
    """A listening stream socket that is open already."""

    def __init__(self, opened: OpenSocket, listening: Listening, reactor: Any) -> None:
        """
        @param opened: the socket.
        @param listening: what its connections share.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        SocketListener.__init__(self, opened)
        _Streams.__init__(self, Succession(listening), reactor)
        self._port = AcceptPort(opened.sock, self.serving.guards, reactor, self._turned_away)

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._port.startListening()
        self._watch_idle()
        return succeed(None)

    def place(self) -> Place:
        """See `Listener`."""
        return self.place_of(self.serving.present.service)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._unwatch_idle()
        self.serving.stop_former()
        unlink_path(self.opened)
        return self._port.stopListening()

    def leave_to(self, other: SocketListener) -> None:
        """See `SocketListener`; if they are of one service, whoever waits here is that one's."""
        if (
            isinstance(other, StreamListener)
            and other.serving.present.service == self.serving.present.service
        ):
            self.serving.guards.serve(other.serving.present)
            self._port.take_in()
            self.serving.guards.serve(self.serving.present)
        self._port.end()

    def _turned_away(self, peer: IAddress) -> None:
        listening = self.serving.present
        host, port = host_and_port(peer)
        origin = (listening.service, listening.listener, listening.transport, host, port, "", None)
        listening.counts.refuse("descriptors")
        listening.facts.emit(REFUSED, origin, None, "descriptors")


class EndpointListener(_Streams):
    """A Twisted endpoint, from its description."""

    def __init__(
        self, opening: Deferred[IListeningPort], origin: str, serving: Succession, reactor: Any
    ) -> None:
        """
        @param opening: what the endpoint's listen returned.
        @param origin: what a user would change.
        @param serving: what serves its connections; the endpoint has been given its guards.
        @param reactor: an `IReactorTime`.
        """
        super().__init__(serving, reactor)
        self.origin = origin
        self._opening = opening
        self._port: IListeningPort | None = None
        # A port that is closed does not know any more where it was.
        self._address: tuple[str, int | None] = ("", None)

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        return self._opening.addCallback(self._started)

    def place(self) -> Place:
        """See `Listener`."""
        listening = self.serving.present
        return Place(listening.service, listening.listener, "endpoint", *self._address)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._unwatch_idle()
        self.serving.stop_former()
        if self._port is not None:
            return _closed(self._port)
        # It may be open although nobody has started it, or never be; why not, nobody asks any more.
        self._opening.cancel()
        return self._opening.addCallbacks(_closed, lambda _: None)

    def _started(self, port: IListeningPort) -> None:
        self._port = port
        self._address = host_and_port(port.getHost())
        self._watch_idle()


def _closed(port: IListeningPort | None) -> Deferred[None]:
    """Close a port; None is one that did not open."""
    if port is None:
        return succeed(None)
    return maybeDeferred(port.stopListening)  # type: ignore[call-overload,no-any-return]


class CarriedListener(_Streams):
    """What has no socket of its own, because another listener carries its connections (WebSocket)."""

    origin = "--web"

    def start(self) -> Deferred[None]:
        """See `Listener`; no port does it, so its factory is started here."""
        self.serving.guards.doStart()
        self._watch_idle()
        return succeed(None)

    def place(self) -> Place:
        """See `Listener`; the address and port are those in its URL."""
        listening = self.serving.present
        url = urlsplit(listening.listener)
        return Place(listening.service, listening.listener, listening.transport, url.hostname or "", url.port)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        if self._idle.running:
            self._unwatch_idle()
            self.serving.stop_former()
            self.serving.guards.doStop()
        return succeed(None)


class WebSocketListener(StreamListener):
    """
    A socket for one service over WebSocket: what is shown and counted is the service's, and not HTTP's.

    @ivar carried: the service's side; to `renew` it is to change what a conversation that begins then has.
    """

    def __init__(self, opened: OpenSocket, listening: Listening, carried: Succession, reactor: Any) -> None:
        """
        @param opened: the socket.
        @param listening: what the connections share as those of HTTP.
        @param carried: what serves them once they are the service's.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        super().__init__(opened, listening, reactor)
        self.carried = CarriedListener(carried, reactor)

    @property
    def listening(self) -> Listening:
        """See `Listener`."""
        return self.carried.listening

    def connections(self) -> Sequence[Guarded]:
        """See `Listener`."""
        return self.carried.connections()

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self.carried.start()
        return super().start()

    def counted(self) -> Counts:
        """See `Listener`; who was refused before it could be the service's was refused all the same."""
        counts = self.carried.counted()
        for reason, count in super().counted().refused.items():
            counts.refuse(reason, count)
        return counts

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self.carried.stop_accepting()
        return super().stop_accepting()

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        # The service's first, for its last words go out over the others.
        closed = self.carried.drain()
        return super().drain().addCallback(lambda _: closed)
