"""
A listener: one socket, or one Twisted endpoint, and the service behind it.

Whatever the kind, a listener starts, says where it listens, stops accepting, drains, and gives up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.internet.task import LoopingCall

from netsvc.counters import Counts
from netsvc.facts import REFUSED, Facts
from netsvc.net import addresses
from netsvc.net.accept import AcceptPort
from netsvc.net.arrival import host_and_port
from netsvc.net.datagram import DatagramPort, OwnAddresses
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.net.sockets import OpenSocket, unlink_path
from netsvc.settings import Limits

#: Looks at each listener's idle connections within one idle time: they close at most a tenth too late.
_IDLE_LOOKS = 10

#: Seconds between looks at what the system dropped of a datagram socket's input.
_DROP_LOOKS = 1.0


@dataclass(frozen=True)
class Place:
    """
    Where a listener listens, as ``--ready`` writes it.

    @ivar service: the service's name.
    @ivar listener: its URL.
    @ivar transport: ``tcp``, ``tls``, ``unix``, ``udp``, ``unix-datagram``, ``endpoint``.
    @ivar address: an IP address, or the path of a UNIX socket.
    @ivar port: None for a UNIX socket.
    """

    service: str
    listener: str
    transport: str
    address: str
    port: int | None

    def shown(self) -> str:
        """For a person: the URL; of an endpoint its description, and the address that it got."""
        if self.transport != "endpoint":
            return self.listener
        return f"{self.listener} ({addresses.host_and_port(self.address, self.port)})"

    def as_json(self) -> dict[str, Any]:
        """As a dictionary ready for JSON."""
        return asdict(self)


class Listener(Protocol):
    """
    What all kinds of listener can do.

    @ivar origin: what a user would change.
    @ivar listening: what its connections share; None for datagrams.
    """

    origin: str
    listening: Listening | None

    def start(self) -> Deferred[None]:
        """Begin to serve. The Deferred fails where the listener cannot open."""

    def place(self) -> Place:
        """Where it listens; asked only once it has started."""

    def counted(self) -> Counts:
        """What happened there until now."""

    def dropped(self) -> int:
        """Datagrams that the system dropped for want of room."""

    def stop_accepting(self) -> Deferred[None]:
        """Close the listening socket; those inside stay. It fires when it is closed."""

    def drain(self) -> Deferred[None]:
        """Let what is buffered go and close every connection. It fires when all are gone."""

    def abort(self) -> None:
        """Drop every connection now."""


class _Streams:
    """What the kinds of stream listener share: their connections."""

    def __init__(self, listening: Listening, reactor: Any) -> None:
        self.listening: Listening | None = listening
        self._listening = listening
        self._idle = LoopingCall(listening.close_idle)
        self._idle.clock = reactor

    def counted(self) -> Counts:
        """See `Listener`."""
        return self._listening.counted()

    def dropped(self) -> int:
        """See `Listener`; a stream waits."""
        return 0

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        for guard in list(self._listening.guards):
            guard.drain()
        return self._listening.when_empty()

    def abort(self) -> None:
        """See `Listener`."""
        for guard in list(self._listening.guards):
            guard.abort()

    def _watch_idle(self) -> None:
        timeout = self._listening.limits.idle_timeout
        if timeout:
            self._idle.start(min(60.0, timeout / _IDLE_LOOKS), now=False).addErrback(_unexpected)

    def _unwatch_idle(self) -> None:
        if self._idle.running:
            self._idle.stop()


class StreamListener(_Streams):
    """A listening stream socket that is open already."""

    def __init__(self, opened: OpenSocket, listening: Listening, reactor: Any) -> None:
        """
        @param opened: the socket.
        @param listening: what its connections share.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        super().__init__(listening, reactor)
        self.origin = opened.binding.origin
        self._opened = opened
        self._port = AcceptPort(opened.sock, GuardFactory(listening), reactor, self._turned_away)

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._port.startListening()
        self._watch_idle()
        return succeed(None)

    def place(self) -> Place:
        """See `Listener`."""
        return _place_of(self._opened, self._listening.service)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._unwatch_idle()
        unlink_path(self._opened)
        return self._port.stopListening()

    def _turned_away(self, peer: IAddress) -> None:
        listening = self._listening
        host, port = host_and_port(peer)
        origin = (listening.service, listening.listener, listening.transport, host, port, "", None)
        listening.counts.refuse("descriptors")
        listening.facts.emit(REFUSED, origin, None, "descriptors")


class EndpointListener(_Streams):
    """A Twisted endpoint, from its description."""

    def __init__(
        self, opening: Deferred[IListeningPort], origin: str, listening: Listening, reactor: Any
    ) -> None:
        """
        @param opening: what the endpoint's listen returned.
        @param origin: what a user would change.
        @param listening: what its connections share.
        @param reactor: an `IReactorTime`.
        """
        super().__init__(listening, reactor)
        self.origin = origin
        self._opening = opening
        self._port: IListeningPort | None = None

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        return self._opening.addCallback(self._started)

    def place(self) -> Place:
        """See `Listener`."""
        address, port = ("", None) if self._port is None else host_and_port(self._port.getHost())
        return Place(self._listening.service, self._listening.listener, "endpoint", address, port)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._unwatch_idle()
        if self._port is None:
            self._opening.cancel()
            return succeed(None)
        return maybeDeferred(self._port.stopListening)  # type: ignore[call-overload,no-any-return]

    def _started(self, port: IListeningPort) -> None:
        self._port = port
        self._watch_idle()


class CarriedListener(_Streams):
    """What has no socket of its own, because another listener carries its connections (WebSocket)."""

    origin = "--web"

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._watch_idle()
        return succeed(None)

    def place(self) -> Place:
        """See `Listener`; the address and port are those in its URL."""
        listening = self._listening
        url = urlsplit(listening.listener)
        return Place(listening.service, listening.listener, listening.transport, url.hostname or "", url.port)

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._unwatch_idle()
        return succeed(None)


class WebSocketListener(StreamListener):
    """A socket for one service over WebSocket: what is shown and counted is the service's, and not HTTP's."""

    def __init__(self, opened: OpenSocket, listening: Listening, carried: Listening, reactor: Any) -> None:
        """
        @param opened: the socket.
        @param listening: what the connections share as those of HTTP.
        @param carried: what they share once they are the service's.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        super().__init__(opened, listening, reactor)
        self.listening = carried
        self._carried = CarriedListener(carried, reactor)

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._carried.start()
        return super().start()

    def counted(self) -> Counts:
        """See `Listener`; who was refused before it could be the service's was refused all the same."""
        counts = self._carried.counted()
        for reason, count in super().counted().refused.items():
            counts.refuse(reason, count)
        return counts

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`."""
        self._carried.stop_accepting()
        return super().stop_accepting()

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        # The service's first, for its last words go out over the others.
        closed = self._carried.drain()
        return super().drain().addCallback(lambda _: closed)


class DatagramListener:
    """A datagram socket that is open already."""

    listening: Listening | None = None

    def __init__(
        self,
        opened: OpenSocket,
        protocol: AbstractDatagramProtocol,
        service: str,
        limits: Limits,
        facts: Facts,
        own: OwnAddresses,
        reactor: Any,
    ) -> None:
        """
        @param opened: the socket.
        @param protocol: the service's.
        @param service: its name.
        @param limits: what peers may cost.
        @param facts: where facts go.
        @param own: all datagram addresses of this daemon, which are never answered.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        binding = opened.binding
        self.origin = binding.origin
        self._opened = opened
        self._service = service
        self._port = DatagramPort(
            opened.sock,
            protocol,
            reactor,
            facts,
            service,
            binding.url,
            binding.transport,
            limits,
            own,
        )
        self._drops = LoopingCall(self._port.check_drops)
        self._drops.clock = reactor

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._port.startListening()
        self._drops.start(_DROP_LOOKS, now=False).addErrback(_unexpected)
        return succeed(None)

    def place(self) -> Place:
        """See `Listener`."""
        return _place_of(self._opened, self._service)

    def counted(self) -> Counts:
        """See `Listener`."""
        return replace(self._port.counts, refused=dict(self._port.counts.refused))

    def dropped(self) -> int:
        """See `Listener`."""
        return self._port.dropped

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`; a datagram is answered as it is read, so nothing is left to drain."""
        if self._drops.running:
            self._drops.stop()
        unlink_path(self._opened)
        return maybeDeferred(self._port.stopListening)

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        return succeed(None)

    def abort(self) -> None:
        """See `Listener`."""


def _place_of(opened: OpenSocket, service: str) -> Place:
    binding = opened.binding
    return Place(service, binding.url, binding.transport, binding.host, binding.port)


def _unexpected(failure: Any) -> None:
    """A look that raised is a defect: let it be seen, as an unhandled error in the log."""
    failure.raiseException()
