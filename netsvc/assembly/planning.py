"""From a configuration to what is to be opened. Nothing is opened here; names may have to be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netsvc.assembly.common import Common
from netsvc.assembly.serving import Serving
from netsvc.configuration import Configuration, Listen, ServiceConfiguration
from netsvc.interfaces import INetService
from netsvc.journal.disk.schema import JournalError
from netsvc.net.binding import Binding, bindings_of, check_interface
from netsvc.net.where import parse_where
from netsvc.settings import SettingError


@dataclass(frozen=True)
class Wanted:
    """
    One WHERE of one service.

    @ivar service: the service.
    @ivar bindings: at least one; all of transport ``endpoint`` or none.
    """

    service: ServiceConfiguration
    bindings: tuple[Binding, ...]


def wanted_by(configuration: Configuration, common: Common) -> Iterator[Wanted]:
    """
    Everything that is to be opened, in the order of the configuration.

    @raise SettingError: something of it cannot be meant.
    """
    for service in configuration.services:
        for listen in service.listen:
            yield Wanted(service, _bindings(configuration, common, service, listen))


def _bindings(
    configuration: Configuration, common: Common, service: ServiceConfiguration, listen: Listen
) -> tuple[Binding, ...]:
    try:
        where = parse_where(listen.where, common.prefixes)
    except ValueError as error:
        raise SettingError(f"{listen.origin} {error}") from None
    return bindings_of(
        where,
        service=service.service,
        transports=listen.transports,
        settings=service.settings,
        limits=service.limits,
        net=configuration.net,
        tls=configuration.tls,
        origin=listen.origin,
        machine=common.machine,
    )


def check(configuration: Configuration, common: Common, serving: Serving) -> None:
    """
    Refuse what the tables say by the name of the key that says it.

    @raise SettingError: it cannot be used.
    """
    check_listeners(configuration, common, serving)
    if common.journal is not None:
        try:
            common.journal.check()
        except JournalError as error:
            raise SettingError(f"{common.journal.origin} {error}") from None


def check_listeners(configuration: Configuration, common: Common, serving: Serving) -> None:
    """
    The same for what they say of every listener.

    @raise SettingError: it cannot be used.
    """
    for text in configuration.net.interface:
        try:
            check_interface(text, common.machine)
        except ValueError as error:
            raise SettingError(f"{configuration.origins['net.interface']}: {error}") from None
    if configuration.tls.certificate:
        try:
            serving.context(configuration.tls)
        except SettingError as error:
            key = str(error).partition(" ")[0]
            origin = configuration.origins.get(f"tls.{key}", configuration.origins["tls.certificate"])
            raise SettingError(f"{origin}: {error}") from None


def planned(
    configuration: Configuration, common: Common, serving: Serving
) -> Iterator[tuple[INetService, Binding]]:
    """
    What would be opened; its factories are made and thrown away, and certificates are read.

    @return: the service with each of its bindings.
    @raise SettingError: something is wrong that shows before a socket is opened.
    """
    check(configuration, common, serving)
    for wanted in wanted_by(configuration, common):
        for binding in wanted.bindings:
            _try(serving, wanted.service, binding)
            yield wanted.service.service, binding


def _try(serving: Serving, service: ServiceConfiguration, binding: Binding) -> None:
    if binding.kind == "datagram":
        serving.datagrams(service, binding)
    elif binding.transport in ("ws", "wss"):
        serving.websocket(service, binding)
    else:
        serving.listening(service, binding)
        if binding.transport == "endpoint":
            serving.endpoint(binding)
