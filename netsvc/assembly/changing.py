"""
From what runs to what a new configuration wants: everything is made first, and then changed all at once.

Making may fail, and then what was made is thrown away and nobody has noticed anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from netsvc.assembly.common import Common
from netsvc.assembly.matching import Matching
from netsvc.assembly.opening import Opening
from netsvc.assembly.planning import Wanted, check_listeners, wanted_by
from netsvc.assembly.running import Running, carried_makeup_of, makeup_of
from netsvc.assembly.serving import Serving
from netsvc.assembly.steps import Keep, Open, Renew, Renewal, Step, quietly, start_all, stop_all
from netsvc.bridges import Bridges
from netsvc.configuration import Configuration, ServiceConfiguration
from netsvc.construct import one_line
from netsvc.net.binding import Binding
from netsvc.net.datagramlistener import DatagramListener
from netsvc.net.listener import SocketListener
from netsvc.net.listening import Listening
from netsvc.net.sockets import second
from netsvc.net.streamlistener import CarriedListener, WebSocketListener
from netsvc.settings import SettingError


@dataclass(frozen=True)
class Plan:
    """
    A configuration, and what it needs, as far as that is known without opening anything.

    @ivar configuration: the configuration.
    @ivar serving: makes what serves; it has read all certificates.
    @ivar wanted: what is to be open.
    """

    configuration: Configuration
    serving: Serving
    wanted: Sequence[Wanted]


def plan_of(read: Callable[[], Configuration], common: Common, former: Serving) -> Plan:
    """
    Find out what is wanted. It reads files and may wait for a name server, so it can be called in a thread.

    @param read: reads the configuration.
    @param former: what serves at present.
    @raise SettingError: something cannot be used.
    """
    configuration = read()
    serving = Serving(configuration, common, former)
    check_listeners(configuration, common, serving)
    wanted = tuple(wanted_by(configuration, common))
    for one in wanted:
        for binding in one.bindings:
            serving.context_of(binding)
    return Plan(configuration, serving, wanted)


class Change:
    """
    What becomes of everything.

    @ivar plan: what is wanted.
    @ivar steps: a step for each listener that there will be, in the order in which they were asked for.
    @ivar dropped: the listeners that are not wanted any more.
    """

    def __init__(self, plan: Plan, common: Common, running: Sequence[Running], bridges: Bridges) -> None:
        """
        Make everything that is needed. Nothing that runs is changed.

        @param running: what runs.
        @param bridges: the services over WebSocket.
        @raise SettingError: something cannot be opened or made; then nothing is left open.
        """
        self.plan = plan
        self.steps: list[Step] = []
        self._common = common
        self._bridges = bridges
        self._running = running
        self._carried: list[Renewal] = []
        # For listeners that go, one that is there on the same port.
        self._heirs: dict[SocketListener, Any] = {}
        self._opening = Opening(plan.configuration, common, plan.serving)
        for service in plan.configuration.services:
            common.log.introduce(service.service.name, service.service.log)
        matching = Matching(running)
        matched = list(zip(plan.wanted, matching.each(plan.wanted), strict=True))
        self._left = matching.left()
        try:
            for wanted, there in matched:
                self._add(wanted, there)
        except BaseException:
            self.undo()
            raise
        moved = [one.former for one in self.steps if isinstance(one, Open) and one.former]
        self.dropped = [*self._left, *moved]

    async def begin(self) -> None:
        """
        Do everything that may fail.

        @raise SettingError: something has failed; all is as before.
        """
        # Endpoints first, which may take their time: until they are open nobody else lets anybody in.
        for step in sorted(self.steps, key=lambda one: one.running.binding.transport != "endpoint"):
            try:
                await step.begin()
            except Exception as error:
                # What is made here may be anybody's.
                self.undo()
                binding = step.running.binding
                raise SettingError(f"{binding.origin} {binding.where}: {one_line(error)}") from error
        # From here on nothing waits, so that no bridge is built meanwhile.
        try:
            self._renew_carried()
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Throw away what was made."""
        for renewal in self._carried:
            quietly(renewal.stop)
        for step in self.steps:
            step.undo()
            if isinstance(step, Open):
                self._forget(step.running.binding.url)

    def commit(self) -> list[Running]:
        """
        Change what runs.

        @return: what runs now.
        """
        configuration, common = self.plan.configuration, self._common
        common.facts.capture = common.log.shown = configuration.timeline.capture
        for step in self.steps:
            step.commit()
        for renewal in self._carried:
            renewal.serve()
        for leaving, heir in self._heirs.items():
            quietly(partial(leaving.leave_to, heir))
        running = self._running = [step.running for step in self.steps]
        for one in self.dropped:
            self._forget(one.binding.url)
        for one in running:
            limits = one.binding.limits
            common.log.allow(one.binding.url, limits.log_rate, limits.refusal_log_rate)
        return running

    def _forget(self, url: str) -> None:
        """The log needs to know nothing of a listener, unless there is another one of that name."""
        if url not in {one.binding.url for one in self._running}:
            self._common.log.forget(url)

    # -- the steps ---------------------------------------------------------------------------------------

    def _add(self, wanted: Wanted, there: Sequence[Running | None]) -> None:
        """The steps for one WHERE."""
        service, any_port = wanted.service, wanted.bindings[0].port == 0
        # Any port is one for all sockets of a WHERE.
        port = next((one.binding.port for one in there if one is not None), 0)
        missing = []
        for binding, one in zip(wanted.bindings, there, strict=True):
            if one is not None:
                found = replace(one, any_port=any_port)
                self.steps.append(self._step(service, replace(binding, port=one.binding.port), found))
            else:
                missing.append(replace(binding, port=port) if binding.port == 0 else binding)
        if missing:
            beside = len(missing) < len(wanted.bindings)
            leaving = self._on_ports_of(missing)
            sockets = [one.opened for one in leaving]
            for running in self._opening.open(service, missing, beside, sockets):
                self.steps.append(Open(replace(running, any_port=any_port), _socket_of(running)))
                self._heirs.update((one, running.listener) for one in leaving if one not in self._heirs)

    def _on_ports_of(self, missing: Sequence[Binding]) -> list[SocketListener]:
        """Listeners that are not wanted any more and have a port of what is missing, on other addresses."""
        ports = {(one.kind, one.port) for one in missing if one.port and one.fd is None}
        return [
            one.listener
            for one in self._left
            if isinstance(one.listener, SocketListener) and (one.binding.kind, one.binding.port) in ports
        ]

    def _step(self, service: ServiceConfiguration, binding: Binding, one: Running) -> Step:
        """The step for a listener whose address is wanted again."""
        if (one.service.service.name, one.binding.url) != (service.service.name, binding.url):
            return self._move(service, binding, one)
        certificates = self.plan.serving.certificates_of(binding)
        makeup = makeup_of(service, binding, self.plan.configuration, certificates)
        after = Running(service, binding, one.any_port, makeup, one.listener)
        return Keep(after) if makeup == one.makeup else Renew(after, self._renewal(after))

    def _move(self, service: ServiceConfiguration, binding: Binding, one: Running) -> Step:
        """Another listener is wanted on the same address: the socket goes on, whoever serves there."""
        if not isinstance(one.listener, SocketListener):
            raise SettingError(
                f"{binding.origin} {binding.where}: {one.service.service.name} has it, and what a Twisted "
                "endpoint has open only a restart gives to another service"
            )
        opened = second(one.listener.opened, binding)
        try:
            return Open(self._opening.listen(service, opened, one.any_port), opened, one)
        except BaseException:
            opened.sock.close()
            raise

    def _renewal(self, after: Running) -> Renewal:
        service, binding, serving = after.service, after.binding, self.plan.serving
        listener: Any = after.listener
        if isinstance(listener, DatagramListener):
            protocol = serving.datagrams(service, binding)
            return Renewal(
                partial(listener.connect, protocol),
                partial(listener.disconnect, protocol),
                partial(listener.renew, protocol, binding.limits),
            )
        if isinstance(listener, WebSocketListener):
            _, carried, http = serving.websocket(service, binding, listener.carried.serving)

            def serve() -> None:
                listener.carried.renew(carried)
                listener.renew(http)

            factories = [http.factory, carried.factory]
            return Renewal(partial(start_all, factories), partial(stop_all, factories), serve)
        listening = serving.listening(service, binding)
        factories = [listening.factory]
        return Renewal(
            partial(start_all, factories), partial(stop_all, factories), partial(listener.renew, listening)
        )

    # -- what is carried by the web service --------------------------------------------------------------

    def _renew_carried(self) -> None:
        """What serves in conversations over WebSocket that begin from now on."""
        services = self.plan.serving.bridgeable()
        for service, url, listener in self._bridges.open():
            name = service.service.name
            wanted = services.get(name)
            if wanted is None or carried_makeup_of(wanted) == carried_makeup_of(service):
                continue
            listening = self.plan.serving.bridged(wanted, url)
            try:
                start_all([listening.factory])
            except Exception as error:
                raise SettingError(f"service {name}: {one_line(error)}") from error
            stop = partial(stop_all, [listening.factory])
            self._carried.append(
                Renewal(lambda: None, stop, partial(self._serve_carried, listener, listening))
            )

    def _serve_carried(self, listener: CarriedListener, listening: Listening) -> None:
        listener.renew(listening)
        limits = listening.limits
        self._common.log.allow(listening.listener, limits.log_rate, limits.refusal_log_rate)


def _socket_of(running: Running) -> Any:
    listener = running.listener
    return listener.opened if isinstance(listener, SocketListener) else None
