"""What all connections of one listener share."""

from __future__ import annotations

import ssl
import sys
from dataclasses import replace
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.logger import Logger

from netsvc.counters import Counts
from netsvc.facts import NOWHERE, Facts
from netsvc.interfaces import IKeptWhole
from netsvc.net.addresses import parse
from netsvc.net.admission import Admission
from netsvc.net.rarelog import RareLog
from netsvc.settings import Limits


class Guarded(Protocol):
    """
    A connection, as its listener knows it; see `netsvc.net.connection.Connection`.

    @ivar bytes_in: bytes that the service received.
    @ivar bytes_out: bytes that it wrote.
    @ivar messages_in: pieces in which they came.
    @ivar messages_out: pieces in which they went.
    @ivar seen: the sum of both when somebody last looked.
    @ivar quiet_since: when the sum was last seen to have changed.
    """

    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    seen: int
    quiet_since: float

    def time_out_idle(self) -> None:
        """No byte has moved for the idle time."""

    def drain(self) -> None:
        """Send what is buffered and close."""

    def abort(self) -> None:
        """Drop the connection now."""


class Listening:
    """
    One listener's service, limits and connections.

    @ivar service: the service's name.
    @ivar listener: the listener's URL.
    @ivar transport: ``tcp``, ``tls``, ``unix`` or ``endpoint``.
    @ivar factory: the service's own.
    @ivar limits: what its clients may cost.
    @ivar facts: where facts go.
    @ivar book: where the messages are noted.
    @ivar counts: what happened, without the messages of connections that are open; see `counted`.
    @ivar clock: the reactor's time.
    @ivar tls: the context of a TLS listener.
    @ivar proxy: ``off``, ``optional`` or ``required``.
    @ivar first: what a client owes at once, see `netsvc.service.NetService`.
    @ivar over_endpoint: whether a Twisted endpoint made the port: a TLS layer of Twisted's may be below.
    @ivar noted: whether connections and messages are facts, beside refusals, which always are.
    @ivar log: for what services raise, which a peer may be able to cause over and over.
    @ivar admission: the counts.
    @ivar guards: the connections that are open, also those that will be refused in a moment.
    """

    def __init__(
        self,
        *,
        service: str,
        listener: str,
        transport: str,
        factory: IProtocolFactory,
        limits: Limits,
        facts: Facts,
        clock: IReactorTime,
        tls: ssl.SSLContext | None = None,
        proxy: str = "off",
        first: str = "",
        over_endpoint: bool = False,
        noted: bool = True,
    ) -> None:
        self.service = service
        self.listener = listener
        self.transport = transport
        self.factory = factory
        self.limits = limits
        self.facts = facts
        self.book = facts.book(service, listener) if noted else NOWHERE
        self.counts = Counts()
        self.clock = clock
        self.tls = tls
        self.proxy = proxy
        self.first = first
        self.over_endpoint = over_endpoint
        self.noted = noted
        self.log = RareLog(Logger(namespace="netsvc.net.guard"), clock.seconds)
        self.admission = Admission(limits, clock.seconds)
        self.guards: set[Guarded] = set()
        self._empty: list[Deferred[None]] = []

    @property
    def capture(self) -> int:
        """Bytes of each message that are kept, on a connection that begins now."""
        return capture_of(self.factory, self.facts)

    def may_be_proxy(self, address: str, port: int | None) -> bool:
        """Whether a PROXY header from there is believed; one over a UNIX socket comes from this machine."""
        known = parse(address)
        return port is None or (known is not None and known in self.limits.proxies)

    def forget(self, guard: Guarded) -> None:
        """A connection is gone."""
        if guard in self.guards:
            self.guards.remove(guard)
            _add_messages(self.counts, guard)
        if not self.guards:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    def counted(self) -> Counts:
        """What happened until now. A message costs its connection a few additions; the sum is made here."""
        counts = replace(self.counts, refused=dict(self.counts.refused))
        for guard in self.guards:
            _add_messages(counts, guard)
        return counts

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open, at once if none is."""
        if not self.guards:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        return deferred

    def close_idle(self) -> None:
        """Close the connections on which no byte has moved for the idle time; called now and then."""
        timeout = self.limits.idle_timeout
        if timeout == 0:
            return
        now = self.clock.seconds()
        for guard in list(self.guards):
            moved = guard.bytes_in + guard.bytes_out
            if moved != guard.seen:
                guard.seen = moved
                guard.quiet_since = now
            elif now - guard.quiet_since >= timeout:
                guard.time_out_idle()


def capture_of(service: object, facts: Facts) -> int:
    """
    How much of each message is kept.

    @param service: a service's factory, or its datagram protocol.
    @return: a number of bytes.
    """
    return sys.maxsize if IKeptWhole.providedBy(service) else facts.capture


def _add_messages(counts: Counts, guard: Guarded) -> None:
    counts.messages_in += guard.messages_in
    counts.bytes_in += guard.bytes_in
    counts.messages_out += guard.messages_out
    counts.bytes_out += guard.bytes_out
