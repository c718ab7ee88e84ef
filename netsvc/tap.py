"""
The one assembler: from settings to the daemon.

It imports everything and nothing imports it. All that can be wrong with what the user asked for comes out
here, before the log, the fork and the drop of privileges, as one line and exit status 1.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from functools import lru_cache
from time import time_ns
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.bridges import Bridges
from netsvc.clientlist.memory import ClientList
from netsvc.configuration import Configuration, Listen, ServiceConfiguration
from netsvc.construct import datagram_protocol, named, stream_factory
from netsvc.daemon import Daemon
from netsvc.descriptors import fitting, raise_limit
from netsvc.facts import Facts
from netsvc.failing import end_in_failure
from netsvc.interfaces import INetService, ListenerAddress
from netsvc.journal.disk.recording import recording_of
from netsvc.journal.disk.schema import JournalError
from netsvc.journal.timeline import Timeline
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import Watchers
from netsvc.net.binding import Binding, bindings_of, check_interface
from netsvc.net.datagram import OwnAddresses
from netsvc.net.factory import GuardFactory
from netsvc.net.listener import (
    DatagramListener,
    EndpointListener,
    Listener,
    StreamListener,
    WebSocketListener,
)
from netsvc.net.listening import Listening
from netsvc.net.machine import this_machine
from netsvc.net.sockets import OpenSocket, close_sockets, open_where
from netsvc.net.tls import server_context
from netsvc.net.where import endpoint_prefixes, parse_where
from netsvc.options import Options
from netsvc.ready import ReadyFile
from netsvc.settings import Limits, SettingError
from netsvc.signals import after_first_signal
from netsvc.trafficlog import TrafficLog
from netsvc.view import View

__all__ = ["Options", "makeService"]

_log = Logger()


def makeService(options: Options) -> IService:
    """
    Make the daemon; see `twisted.application.service.IServiceMaker`.

    @raise SystemExit: with one line for the user; its exit status is 1.
    """
    from twisted.internet import reactor

    try:
        daemon = Assembly(options.configuration(), reactor, _owner(options)).daemon()
    except SettingError as error:
        raise SystemExit(f"netsvc: {error}") from None
    _warn_of_root(_owner(options))
    # Not before, because it is as it begins to run that the reactor takes the signals itself.
    reactor.callWhenRunning(after_first_signal, daemon.abort)
    return daemon


class Assembly:
    """Everything that the daemon is put together from."""

    def __init__(
        self, configuration: Configuration, reactor: Any, owner: tuple[int, int] | None = None
    ) -> None:
        """
        @param configuration: what the user wants.
        @param reactor: the reactor.
        @param owner: the user and group ids that the process will have, -1 for one that stays; None where
            both stay.
        """
        self._owner = owner
        self._configuration = configuration
        self._reactor = reactor
        self._facts = Facts(configuration.timeline.capture, later=reactor.callLater)
        self._timeline = Timeline(
            configuration.timeline.timeline_memory, self._facts.flush, time_ns() // 1000
        )
        self._facts.keep(self._timeline)
        origin = configuration.origins.get("journal.file", "")
        self._journal = recording_of(configuration.journal, self._facts, reactor, origin)
        self._clients = ClientList(reactor)
        self._machine = this_machine()
        self._prefixes = endpoint_prefixes()
        self._own = OwnAddresses()
        self._log_rates: dict[str, float] = {}
        self._refusal_log_rates: dict[str, float] = {}
        self._listeners: list[Listener] = []
        self._opened: list[OpenSocket] = []
        self._left_out: set[str] = set()
        self._descriptors = raise_limit()
        # A context for each set of files: they are read once, and their sessions resume on every address.
        self._tls_context = lru_cache(server_context)
        lines = {one.service.name: one.service.log for one in configuration.services}
        self._log = TrafficLog(reactor, lines, self._log_rates, self._refusal_log_rates)
        self._log.shown = configuration.timeline.capture
        self._daemon: Daemon | None = None
        self._others_of: dict[str, dict[str, Any]] = {}
        self._bridges = Bridges(self._bridgeable(), self._bridged, reactor)
        self._view = View(
            facts=self._facts,
            timeline=self._timeline,
            watchers=Watchers(
                self._facts,
                self._timeline,
                self._clients,
                reactor,
                WatchLimits(watchers=configuration.web.max_watchers),
            ),
            clients=self._clients,
            journal=self._journal,
            listeners=self._listeners,
            bridges=self._bridges,
            shared=self._shared_of,
            ready=lambda: self._daemon is not None and self._daemon.ready,
            hidden=lambda: self._log.hidden,
            seconds=reactor.seconds,
        )

    def daemon(self) -> Daemon:
        """
        Open every listener.

        @raise SettingError: one of them cannot be opened; then none is.
        """
        configuration = self._configuration
        for name, why in configuration.left_out.items():
            _log.error("of what plugins declare, {name} is left out: {why}", name=name, why=why)
        self._facts.tell(self._log, self._log.wants, self._log.room)
        ready = ReadyFile(configuration.net.ready)
        ready.prepare()
        self._check_net()
        try:
            for service in configuration.services:
                self._add_service(service)
        except SettingError:
            close_sockets(self._opened)
            raise
        self._daemon = Daemon(
            self._reactor,
            self._listeners,
            [self._bridges.stop, self._facts.flush, self._log.stop, self._clients.close],
            configuration.net.shutdown_grace,
            ready,
            end_in_failure(self._reactor),
            carried=self._bridges.listeners,
            journal=self._journal,
        )
        return self._daemon

    def planned(self) -> list[tuple[str, Binding]]:
        """
        Find out what `daemon` would open, and whatever is wrong with it that shows before a socket is opened.

        The services' factories are made and thrown away, and certificates are read.

        @return: the service's name with each of its bindings.
        @raise SettingError: the daemon would not start.
        """
        found = []
        self._check_net()
        for service in self._configuration.services:
            others = self._others(service)
            for listen in service.listen:
                for binding in self._bindings(service, listen):
                    self._try(service.service, binding, others)
                    found.append((service.service.name, binding))
        return found

    def _try(self, declared: INetService, binding: Binding, others: Mapping[str, Any]) -> None:
        if binding.kind == "datagram":
            self._datagram_protocol(declared, binding, others)
            return
        if binding.transport in ("ws", "wss"):
            self._websocket(declared, binding, others)
            return
        self._listening(declared, binding, others)
        if binding.transport == "endpoint":
            self._endpoint(binding)

    def _add_service(self, service: ServiceConfiguration) -> None:
        others = self._others(service)
        for listen in service.listen:
            bindings = self._bindings(service, listen)
            if bindings[0].transport == "endpoint":
                for binding in bindings:
                    self._add_endpoint(service.service, binding, others)
            else:
                opened = open_where(bindings, self._left_out)
                self._opened.extend(opened)
                self._hand_over_files(opened)
                for one in opened:
                    self._add_socket(service.service, one, others)

    def _check_net(self) -> None:
        """Refuse what the tables say of every listener by the name of the key that says it."""
        configuration = self._configuration
        for text in configuration.net.interface:
            try:
                check_interface(text, self._machine)
            except ValueError as error:
                raise SettingError(f"{configuration.origins['net.interface']}: {error}") from None
        if self._journal is not None:
            try:
                self._journal.check()
            except JournalError as error:
                raise SettingError(f"{self._journal.origin} {error}") from None
        if configuration.tls.certificate:
            try:
                self._tls_context(configuration.tls)
            except SettingError as error:
                key = str(error).partition(" ")[0]
                origin = configuration.origins.get(f"tls.{key}", configuration.origins["tls.certificate"])
                raise SettingError(f"{origin}: {error}") from None

    def _others(self, service: ServiceConfiguration) -> dict[str, Any]:
        """What a service's callables are passed beside their settings, the same for all of its listeners."""
        declared = service.service
        if declared.name in self._others_of:
            return self._others_of[declared.name]
        others = {
            name: thing
            for name, thing in (
                ("reactor", self._reactor),
                ("clients", self._clients),
                ("timeline", self._timeline),
                ("daemon", self._view),
                ("journal", self._journal),
            )
            if name in declared.needs
        }
        if declared.shared:
            others["shared"] = named(declared.name, declared.shared)()
        others.update(service.arguments)
        self._others_of[declared.name] = others
        return others

    def _shared_of(self, service: str) -> Any:
        """What a service's listeners share, whether they or WebSocket are the first to need it."""
        return self._others(self._bridgeable()[service])["shared"]

    def _bridgeable(self) -> dict[str, ServiceConfiguration]:
        """The services that WebSocket can carry; of the web service that would be itself."""
        configuration = self._configuration
        return {
            one.service.name: one
            for one in (*configuration.services, *configuration.bridged)
            if (one.service.stream or one.service.websocket) and one.service.name != "web"
        }

    def _bridged(self, service: ServiceConfiguration, url: str) -> Listening:
        """What a service's connections over WebSocket share; its settings are those of its table."""
        limits = fitting(service.limits, self._descriptors)
        return self._carried(service.service, url, {**service.settings, **self._others(service)}, limits)

    def _carried(
        self, declared: INetService, url: str, arguments: Mapping[str, Any], limits: Limits
    ) -> Listening:
        """What a service's connections share where HTTP carries them: over WebSocket, or by long polling."""
        factory = stream_factory(declared.name, declared.websocket or declared.stream, arguments)
        scheme = url.partition(":")[0]
        self._log_rates[url] = limits.log_rate
        self._refusal_log_rates[url] = limits.refusal_log_rate
        return Listening(
            service=declared.name,
            listener=url,
            transport=scheme if scheme in ("wss", "http", "https") else "ws",
            factory=factory,
            limits=limits,
            facts=self._facts,
            clock=self._reactor,
            # To a service of messages one of them is whole, however it would end on a stream.
            first="segment" if declared.first and declared.websocket else declared.first,
            noted=declared.noted,
        )

    def _hand_over_files(self, opened: Sequence[OpenSocket]) -> None:
        """Give the files of UNIX sockets to the user that twistd becomes: they are for that user alone."""
        if self._owner is None:
            return
        for one in opened:
            if one.unlink is not None:
                os.chown(one.unlink, *self._owner)

    def _bindings(self, service: ServiceConfiguration, listen: Listen) -> tuple[Binding, ...]:
        try:
            where = parse_where(listen.where, self._prefixes)
        except ValueError as error:
            raise SettingError(f"{listen.origin} {error}") from None
        return bindings_of(
            where,
            service=service.service,
            transports=listen.transports,
            settings=service.settings,
            limits=service.limits,
            net=self._configuration.net,
            tls=self._configuration.tls,
            origin=listen.origin,
            machine=self._machine,
        )

    def _add_socket(self, declared: INetService, opened: OpenSocket, others: Mapping[str, Any]) -> None:
        binding = opened.binding
        if binding.kind == "stream":
            self._listeners.append(self._stream_listener(declared, opened, others))
            return
        protocol = self._datagram_protocol(declared, binding, others)
        self._set_log_rates(binding)
        self._listeners.append(
            DatagramListener(
                opened, protocol, declared.name, binding.limits, self._facts, self._own, self._reactor
            )
        )

    def _stream_listener(
        self, declared: INetService, opened: OpenSocket, others: Mapping[str, Any]
    ) -> StreamListener:
        if opened.binding.transport not in ("ws", "wss"):
            return StreamListener(opened, self._listening(declared, opened.binding, others), self._reactor)
        carried, listening = self._websocket(declared, opened.binding, others)
        carried.factory.doStart()
        return WebSocketListener(opened, listening, carried, self._reactor)

    def _websocket(
        self, declared: INetService, binding: Binding, others: Mapping[str, Any]
    ) -> tuple[Listening, Listening]:
        """What a service's connections over WebSocket share, and what they do as connections of HTTP."""
        # Imported here because it takes long, and most daemons have no such listener.
        from netsvc.web.sole import sole_site

        try:
            carried = self._carried(declared, binding.url, {**binding.settings, **others}, binding.limits)
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None
        site = sole_site(
            GuardFactory(carried),
            path=binding.path,
            origins=binding.origins,
            address=binding.host,
            web=self._configuration.web,
            limits=binding.limits,
            reactor=self._reactor,
        )
        return carried, self._listening_with(declared, binding, site, first="", noted=False)

    def _add_endpoint(self, declared: INetService, binding: Binding, others: Mapping[str, Any]) -> None:
        listening = self._listening(declared, binding, others)
        opening = self._listen(binding, GuardFactory(listening))
        if opening.called and isinstance(opening.result, Failure):
            failure: Failure = opening.result
            opening.addErrback(lambda _: None)
            raise _cannot_listen(binding, failure)
        self._listeners.append(EndpointListener(opening, binding.origin, listening, self._reactor))

    def _listen(self, binding: Binding, factory: GuardFactory) -> Deferred[IListeningPort]:
        try:
            return self._endpoint(binding).listen(factory)
        except SettingError:
            raise
        except Exception as error:
            # An endpoint may be anybody's, and each complains in its own way.
            raise _cannot_listen(binding, Failure(error)) from error

    def _endpoint(self, binding: Binding) -> IStreamServerEndpoint:
        try:
            return serverFromString(self._reactor, binding.description)  # type: ignore[no-any-return]
        except Exception as error:
            # So may be what reads its description.
            raise _cannot_listen(binding, Failure(error)) from error

    def _datagram_protocol(
        self, declared: INetService, binding: Binding, others: Mapping[str, Any]
    ) -> AbstractDatagramProtocol:
        try:
            return datagram_protocol(declared.name, declared.datagram, {**binding.settings, **others})
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    def _stream_factory(
        self, declared: INetService, binding: Binding, others: Mapping[str, Any]
    ) -> IProtocolFactory:
        here = {
            name: thing
            for name, thing in (
                (
                    "listener",
                    ListenerAddress(binding.url, binding.transport, binding.host, binding.port),
                ),
                ("limits", binding.limits),
            )
            if name in declared.needs
        }
        try:
            return stream_factory(declared.name, declared.stream, {**binding.settings, **others, **here})
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    def _set_log_rates(self, binding: Binding) -> None:
        self._log_rates[binding.url] = binding.limits.log_rate
        self._refusal_log_rates[binding.url] = binding.limits.refusal_log_rate

    def _tls(self, binding: Binding) -> ssl.SSLContext | None:
        if binding.tls is None:
            return None
        try:
            return self._tls_context(binding.tls)
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    def _listening(self, declared: INetService, binding: Binding, others: Mapping[str, Any]) -> Listening:
        factory = self._stream_factory(declared, binding, others)
        return self._listening_with(declared, binding, factory, first=declared.first, noted=declared.noted)

    def _listening_with(
        self, declared: INetService, binding: Binding, factory: IProtocolFactory, *, first: str, noted: bool
    ) -> Listening:
        limits = fitting(binding.limits, self._descriptors)
        if limits is not binding.limits:
            _log.warn(
                "{listener}: max_connections is {wanted}, but this process may have {descriptors} "
                "descriptors: it is {given} now",
                listener=binding.url,
                wanted=binding.limits.max_connections,
                descriptors=self._descriptors,
                given=limits.max_connections,
            )
        self._set_log_rates(binding)
        return Listening(
            service=declared.name,
            listener=binding.url,
            transport=binding.transport,
            factory=factory,
            limits=limits,
            facts=self._facts,
            clock=self._reactor,
            tls=self._tls(binding),
            proxy=binding.proxy,
            first=first,
            over_endpoint=binding.transport == "endpoint",
            noted=noted,
        )


def _cannot_listen(binding: Binding, failure: Failure) -> SettingError:
    reason = " ".join(failure.getErrorMessage().split())
    return SettingError(f"{binding.origin} {binding.where}: cannot listen: {reason}")


def _owner(options: Options) -> tuple[int, int] | None:
    """The ids that twistd will change to, from its own ``--uid`` and ``--gid``."""
    parent = getattr(options, "parent", None) or {}
    ids = [parent.get(name) for name in ("uid", "gid")]
    if os.getuid() != 0 or ids == [None, None]:
        return None
    uid, gid = (-1 if one is None else one for one in ids)
    return uid, gid


def _warn_of_root(owner: tuple[int, int] | None) -> None:
    """Running as root is somebody's mistake, unless twistd drops it."""
    if os.getuid() == 0 and (owner is None or owner[0] in (-1, 0)):
        _log.warn(
            "netsvc runs as root and stays root: start it as another user, or give twistd --uid and --gid"
        )
