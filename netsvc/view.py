"""
What there is to see of the running daemon: plain values, made when somebody asks.

The page, the API and the metrics look through this and through nothing else, so that the web room needs to
know none of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from heapq import nlargest
from itertools import chain
from time import time, time_ns
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IProtocolFactory

from netsvc import __version__
from netsvc.bridges import Bridges
from netsvc.facts import Facts, Origin
from netsvc.interfaces import IClientStore, IDaemonView
from netsvc.journal.disk.recording import Recording
from netsvc.journal.timeline import Timeline
from netsvc.journal.watch import Watchers
from netsvc.net.listener import Listener

#: Seconds for which a loss of facts counts as something wrong with the daemon, from when it is first seen.
LOSS_SECONDS = 60.0


@implementer(IDaemonView)
class View:
    """See `IDaemonView`."""

    def __init__(
        self,
        *,
        facts: Facts,
        timeline: Timeline,
        watchers: Watchers,
        clients: IClientStore,
        journal: Recording | None = None,
        listeners: Sequence[Listener],
        bridges: Bridges,
        shared: Callable[[str], Any],
        ready: Callable[[], bool],
        hidden: Callable[[], int],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param facts: the dispatcher.
        @param timeline: the newest facts.
        @param watchers: who watches them.
        @param clients: who is here.
        @param journal: the facts on disk, if they go there.
        @param listeners: what was asked for; it may still grow.
        @param bridges: the services over WebSocket.
        @param shared: gives what a service's listeners share, or raises KeyError.
        @param ready: whether everything is open.
        @param hidden: how many lines the log left out.
        @param seconds: the reactor's time, by which connections are dated.
        """
        self.started = time()
        self.version = __version__
        self.facts = facts
        self.timeline = timeline
        self.watchers = watchers
        self.clients = clients
        self._journal = journal
        self._listeners = listeners
        self._bridges = bridges
        self._shared = shared
        self._ready = ready
        self._hidden = hidden
        self._seconds = seconds
        # For each sink that lost facts: how many when somebody last looked, and when that was first seen.
        self._losses: dict[str, tuple[int, float]] = {}

    def listeners(self) -> list[dict[str, Any]]:
        """See `IDaemonView`."""
        return [_row_of(one) for one in self._all()]

    def connections(self) -> Iterator[dict[str, Any]]:
        """See `IDaemonView`."""
        for listener in self._all():
            for guard in sorted(_guards_of(listener), key=_number):
                if _is_open(guard):
                    yield self._connection(guard)

    def newest_connections(self, limit: int) -> Iterator[dict[str, Any]]:
        """See `IDaemonView`."""
        guards = (guard for listener in self._all() for guard in _guards_of(listener) if _is_open(guard))
        for guard in reversed(nlargest(limit, guards, key=_number)):
            if _is_open(guard):
                yield self._connection(guard)

    def connections_open(self) -> int:
        """See `IDaemonView`."""
        return sum(counts.opened - counts.closed for counts in (one.counted() for one in self._all()))

    def health(self) -> list[str]:
        """See `IDaemonView`."""
        wrong = [] if self._ready() else ["not every listener is open, or the daemon is stopping"]
        now = self._seconds()
        for sink, lost in self.missed().items():
            seen, since = self._losses.get(sink, (0, now))
            if lost != seen:
                since = now
                self._losses[sink] = (lost, since)
            if lost and now - since < LOSS_SECONDS:
                wrong.append(f"{sink} could not take facts: {lost} lost so far")
        if self._journal is not None and self._journal.broken:
            wrong.append(f"nothing is recorded: {self._journal.broken}")
        return wrong

    def ready(self) -> bool:
        """See `IDaemonView`."""
        return self._ready()

    def lines_hidden(self) -> int:
        """See `IDaemonView`."""
        return self._hidden()

    def missed(self) -> dict[str, int]:
        """See `IDaemonView`."""
        missed = dict(self.facts.missed)
        if self._journal is not None:
            missed["journal"] = missed.get("journal", 0) + self._journal.lost
        return missed

    def sink_lag(self) -> dict[str, float]:
        """See `IDaemonView`; all take their facts from the dispatcher, by the batch and at once."""
        lag = {"timeline": self.facts.lag()}
        if self._journal is not None:
            lag["journal"] = max(lag["timeline"], self._journal.lag)
        return lag

    def stream_services(self) -> list[str]:
        """See `IDaemonView`."""
        return list(self._bridges.names)

    def guard_for(self, service: str, listener: str) -> IProtocolFactory:
        """See `IDaemonView`."""
        return self._bridges.factory(service, listener)

    def shared(self, service: str) -> Any:
        """See `IDaemonView`."""
        return self._shared(service)

    def _all(self) -> Iterator[Listener]:
        return chain(self._listeners, self._bridges.listeners)

    def _connection(self, guard: Any) -> dict[str, Any]:
        origin = Origin(*guard.origin)
        opened = time_ns() - int((self._seconds() - guard.opened_at) * 1e9)
        return {
            "connection": origin.connection,
            "service": origin.service,
            "listener": origin.listener,
            "transport": origin.transport,
            "address": origin.address,
            "port": origin.port,
            "local": origin.local,
            "name": self.clients.name_of(origin.address) if origin.address else None,
            "opened": str(opened),
            "bytes_in": guard.bytes_in,
            "bytes_out": guard.bytes_out,
            "messages_in": guard.messages_in,
            "messages_out": guard.messages_out,
        }


def _guards_of(listener: Listener) -> Iterable[Any]:
    return listener.connections()


def _number(guard: Any) -> int:
    return int(guard.number)


def _is_open(guard: Any) -> bool:
    """Who has not reached the service is no connection yet, and who has left is none any more."""
    return bool(guard.opened_at and guard.connected)


def _row_of(listener: Listener) -> dict[str, Any]:
    counts = asdict(listener.counted())
    listening = listener.listening
    return {
        **listener.place().as_json(),
        "max_connections": None if listening is None else listening.limits.max_connections,
        **counts,
        "open": counts["opened"] - counts["closed"],
        "dropped": listener.dropped(),
    }
