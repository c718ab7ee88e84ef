"""
The stream services as they are reached over WebSocket: a guard, limits, counts and facts as over a socket.

A service over WebSocket has no socket of its own; what carries its connections is the web service's. So each
gets its `Listening` when the first of them comes, which is then shown and counted like any listener.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from netsvc.construct import one_line
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.net.rarelog import RareLog
from netsvc.net.streamlistener import CarriedListener
from netsvc.net.succession import Succession
from netsvc.settings import SettingError

_log = Logger()


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
        self._rare = RareLog(_log, reactor.seconds)
        self._carried: dict[tuple[str, str], CarriedListener] = {}
        self.listeners: list[CarriedListener] = []

    @property
    def names(self) -> Sequence[str]:
        """The services that can be reached."""
        return list(self._services)

    def factory(self, service: str, listener: str) -> GuardFactory:
        """
        What serves a service under a URL; see `IDaemonView.guard_for`.

        @raise KeyError: it cannot be reached.
        @raise SettingError: what serves it cannot be made, or cannot start, and the log says why; the next
            time it is tried again.
        """
        key = (service, listener)
        if key not in self._carried:
            carried = self._begun(service, listener)
            self._carried[key] = carried
            self.listeners.append(carried)
        return self._carried[key].serving.guards

    def open(self) -> list[tuple[Any, str, CarriedListener]]:
        """Those that were asked for: each service, the URL, and the listener."""
        return [(self._services[name], url, one) for (name, url), one in self._carried.items()]

    def change(self, services: Mapping[str, Any], gone: Iterable[str]) -> list[CarriedListener]:
        """
        Other services can be reached from now on.

        @param services: as given at first. For those that are there still `open` has listeners, which are
            renewed by whoever calls this.
        @param gone: the URLs of web listeners that there are no more.
        @return: the listeners that carry nothing from now on.
        """
        self._services = services
        sites = tuple(f"{_site(url)}/" for url in gone)
        over = [key for key in self._carried if key[0] not in services or _site(key[1]).startswith(sites)]
        left = [self._carried.pop(key) for key in over]
        self.listeners[:] = self._carried.values()
        return left

    def stop(self) -> None:
        """The daemon has stopped."""
        for listener in self.listeners:
            listener.stop_accepting()

    def _begun(self, service: str, listener: str) -> CarriedListener:
        declared = self._services[service]
        try:
            carried = CarriedListener(Succession(self._listening(declared, listener)), self._reactor)
            _start(service, carried)
        except SettingError as error:
            # Its table may do only for listeners with settings of their own; it is who asks that finds out.
            self._rare.warn(
                service, "{listener} cannot be served: {line}", listener=listener, line=str(error)
            )
            raise
        return carried


def _start(service: str, carried: CarriedListener) -> None:
    try:
        carried.start()
    except Exception as error:
        # The factory may be anybody's.
        raise SettingError(f"service {service}: {one_line(error)}") from error


def _site(url: str) -> str:
    """Where a URL is, whatever it is reached over; of an endpoint its description."""
    return url.partition("://")[2] or url
