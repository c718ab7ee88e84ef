"""
The stream services as they are reached over WebSocket: a guard, limits, counts and facts as over a socket.

A service over WebSocket has no socket of its own; what carries its connections is the web service's. So each
gets its `Listening` when the first of them comes, which is then shown and counted like any listener.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netsvc.net.factory import GuardFactory
from netsvc.net.listener import CarriedListener
from netsvc.net.listening import Listening


class Bridges:
    """
    What serves each service under each URL.

    @ivar listeners: those that were asked for, in that order.
    """

    def __init__(
        self, services: Mapping[str, Any], listening: Callable[[Any, str], Listening], reactor: Any
    ) -> None:
        """
        @param services: what can be reached, by name.
        @param listening: makes what the connections of one of them share, under a listener's URL.
        @param reactor: an `IReactorTime`.
        """
        self._services = services
        self._listening = listening
        self._reactor = reactor
        self._factories: dict[tuple[str, str], GuardFactory] = {}
        self.listeners: list[CarriedListener] = []

    @property
    def names(self) -> Sequence[str]:
        """The services that can be reached."""
        return list(self._services)

    def factory(self, service: str, listener: str) -> GuardFactory:
        """
        What serves a service under a URL; see `IDaemonView.guard_for`.

        @raise KeyError: it cannot be reached.
        """
        key = (service, listener)
        if key not in self._factories:
            listening = self._listening(self._services[service], listener)
            carried = CarriedListener(listening, self._reactor)
            carried.start()
            self.listeners.append(carried)
            factory = self._factories[key] = GuardFactory(listening)
            factory.doStart()
        return self._factories[key]

    def stop(self) -> None:
        """The daemon has stopped."""
        for listener in self.listeners:
            listener.stop_accepting()
        for factory in self._factories.values():
            factory.doStop()
