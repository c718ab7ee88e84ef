"""What a daemon has one of for as long as it runs, whatever becomes of its configuration."""

from __future__ import annotations

from time import time_ns
from typing import Any

from netsvc.clientlist.memory import ClientList
from netsvc.configuration import Configuration
from netsvc.construct import named
from netsvc.descriptors import raise_limit
from netsvc.facts import Facts
from netsvc.interfaces import IDaemonView, INetService
from netsvc.journal.disk.recording import recording_of
from netsvc.journal.timeline import Timeline
from netsvc.net.datagram import OwnAddresses
from netsvc.net.machine import this_machine
from netsvc.net.where import endpoint_prefixes
from netsvc.trafficlog import TrafficLog


class Common:
    """
    What all listeners have in common.

    @ivar reactor: the reactor.
    @ivar owner: the user and group ids that the process will have, -1 for one that stays; None where both
        stay.
    @ivar facts: the dispatcher.
    @ivar timeline: the newest facts.
    @ivar journal: the facts on disk, if they go there.
    @ivar clients: who is here.
    @ivar machine: answers what has to be asked of the machine.
    @ivar prefixes: of the endpoint descriptions that are installed.
    @ivar own: where this daemon receives datagrams.
    @ivar descriptors: how many this process may have.
    @ivar left_out: addresses of which the log was told that the machine lacks them.
    @ivar log: the lines for traffic.
    @ivar view: what there is to see of the daemon; set when it is made, before any service is.
    """

    view: IDaemonView

    def __init__(
        self, configuration: Configuration, reactor: Any, owner: tuple[int, int] | None = None
    ) -> None:
        """
        @param configuration: the first one.
        @param owner: see above.
        """
        self.reactor = reactor
        self.owner = owner
        self.facts = Facts(configuration.timeline.capture, later=reactor.callLater)
        began = time_ns() // 1000
        self.timeline = Timeline(configuration.timeline.timeline_memory, self.facts.flush, began)
        # Also where the clock is set back before anything happens.
        self.facts.begin_after(began)
        self.facts.keep(self.timeline)
        origin = configuration.origins.get("journal.file", "")
        self.journal = recording_of(
            configuration.journal, self.facts, reactor, origin, self.timeline.begin_after
        )
        self.clients = ClientList(reactor)
        self.machine = this_machine()
        self.prefixes = endpoint_prefixes()
        self.own = OwnAddresses()
        self.descriptors = raise_limit()
        self.left_out: set[str] = set()
        self.log = TrafficLog(reactor)
        self.log.shown = configuration.timeline.capture
        self._shared: dict[str, Any] = {}

    def needed(self, declared: INetService) -> dict[str, Any]:
        """What a service's callables ask for by name, and what all of its listeners share."""
        there = {
            "reactor": self.reactor,
            "clients": self.clients,
            "timeline": self.timeline,
            "daemon": self.view,
            "journal": self.journal,
        }
        needed = {name: thing for name, thing in there.items() if name in declared.needs}
        if declared.shared:
            needed["shared"] = self._shared_by(declared)
        return needed

    def _shared_by(self, declared: INetService) -> Any:
        """One for each service, whether its sockets or WebSocket are the first to need it."""
        if declared.name not in self._shared:
            self._shared[declared.name] = named(declared.name, declared.shared)()
        return self._shared[declared.name]
