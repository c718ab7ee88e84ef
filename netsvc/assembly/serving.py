"""From a service and one of its bindings to what serves its clients there, as one configuration has it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.assembly.common import Common
from netsvc.configuration import Configuration, ServiceConfiguration
from netsvc.construct import datagram_protocol, one_line, stream_factory
from netsvc.descriptors import fitting
from netsvc.interfaces import INetService, ListenerAddress
from netsvc.net.binding import Binding
from netsvc.net.listening import Listening
from netsvc.net.succession import Succession
from netsvc.net.tls import content_of, server_context
from netsvc.settings import TLS, Limits, SettingError

_log = Logger()


class Serving:
    """Makes what serves; nothing here opens a socket."""

    def __init__(self, configuration: Configuration, common: Common, former: Serving | None = None) -> None:
        """
        @param configuration: what the user wants.
        @param common: what all listeners have in common.
        @param former: made for the configuration before. Certificates that have not changed since are not
            read again, so that the sessions of its clients can be resumed.
        """
        self._configuration = configuration
        self._common = common
        # A context for each set of files: they are read once, and their sessions resume on every address.
        self._contexts: dict[TLS, tuple[bytes, ssl.SSLContext]] = {}
        self._former_contexts = {} if former is None else former._contexts
        self._arguments_of: dict[str, dict[str, Any]] = {}

    # -- what a service is passed ------------------------------------------------------------------------

    def arguments(self, service: ServiceConfiguration) -> dict[str, Any]:
        """What a service's callables are passed beside their settings, the same for all of its listeners."""
        name = service.service.name
        if name not in self._arguments_of:
            self._arguments_of[name] = {**self._common.needed(service.service), **service.arguments}
        return self._arguments_of[name]

    def shared(self, service: str) -> Any:
        """
        What a service's listeners share, whether they or WebSocket are the first to need it.

        @raise KeyError: it is none of the services that can be reached, or it shares nothing.
        """
        return self.arguments(self.bridgeable()[service])["shared"]

    def bridgeable(self) -> dict[str, ServiceConfiguration]:
        """The services that WebSocket can carry; of the web service that would be itself."""
        configuration = self._configuration
        return {
            one.service.name: one
            for one in (*configuration.services, *configuration.bridged)
            if (one.service.stream or one.service.websocket) and one.service.name != "web"
        }

    # -- what serves -------------------------------------------------------------------------------------

    def listening(self, service: ServiceConfiguration, binding: Binding) -> Listening:
        """
        What the connections of a stream listener share.

        @raise SettingError: it cannot be made.
        """
        declared = service.service
        factory = self._stream_factory(service, binding)
        return self._listening(declared, binding, factory, first=declared.first, noted=declared.noted)

    def websocket(
        self, service: ServiceConfiguration, binding: Binding, former: Succession | None = None
    ) -> tuple[Succession, Listening, Listening]:
        """
        What serves a service's connections over WebSocket.

        @param former: what serves them until now; it is not changed, but given back.
        @return: what serves them, what they share as the service's, and what they share as those of HTTP.
        @raise SettingError: it cannot be made.
        """
        # Imported here because it takes long, and most daemons have no such listener.
        from netsvc.web.sole import sole_site

        arguments = {**binding.settings, **self.arguments(service)}
        try:
            limits = fitting(binding.limits, self._common.descriptors)
            listening = self._carried(service.service, binding.url, arguments, limits)
            carried = former or Succession(listening)
            site = sole_site(
                carried.guards,
                path=binding.path,
                origins=binding.origins,
                address=binding.host,
                web=self._configuration.web,
                limits=binding.limits,
                reactor=self._common.reactor,
            )
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None
        return carried, listening, self._listening(service.service, binding, site, first="", noted=False)

    def bridged(self, service: ServiceConfiguration, url: str) -> Listening:
        """
        What a service's connections over WebSocket share where the web service carries them, or by long
        polling; its settings are those of its table.

        @raise SettingError: it cannot be made.
        """
        limits = fitting(service.limits, self._common.descriptors)
        arguments = {**service.settings, **self.arguments(service)}
        return self._carried(service.service, url, arguments, limits)

    def datagrams(self, service: ServiceConfiguration, binding: Binding) -> AbstractDatagramProtocol:
        """
        The protocol of a datagram listener.

        @raise SettingError: it cannot be made.
        """
        declared = service.service
        try:
            return datagram_protocol(
                declared.name, declared.datagram, {**binding.settings, **self.arguments(service)}
            )
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    def endpoint(self, binding: Binding) -> IStreamServerEndpoint:
        """
        The endpoint of a description.

        @raise SettingError: it cannot be made.
        """
        try:
            return serverFromString(self._common.reactor, binding.description)  # type: ignore[no-any-return]
        except Exception as error:
            # It may be anybody's that reads the description.
            raise _cannot_listen(binding, error) from error

    def listen(self, binding: Binding, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Have an endpoint listen.

        @raise SettingError: it cannot; where it takes its time to say so, the Deferred fails instead.
        """
        endpoint = self.endpoint(binding)
        try:
            opening = endpoint.listen(factory)
        except Exception as error:
            # An endpoint may be anybody's, and each complains in its own way.
            raise _cannot_listen(binding, error) from error
        if opening.called and isinstance(opening.result, Failure):
            reason: Any = opening.result.value
            opening.addErrback(lambda _: None)
            raise _cannot_listen(binding, reason)
        return opening

    def context(self, tls: TLS) -> ssl.SSLContext:
        """
        What to speak TLS with.

        @raise SettingError: as `server_context`.
        """
        if tls not in self._contexts:
            content = content_of(tls)
            before, context = self._former_contexts.get(tls, (b"", None))
            if context is None or before != content:
                context = server_context(tls)
            self._contexts[tls] = content, context
        return self._contexts[tls][1]

    def certificates_of(self, binding: Binding) -> bytes:
        """What was in a binding's files of TLS when `context_of` read them."""
        return b"" if binding.tls is None else self._contexts[binding.tls][0]

    def context_of(self, binding: Binding) -> ssl.SSLContext | None:
        """
        What a binding speaks TLS with, None where it does not.

        @raise SettingError: as `server_context`, with the binding's origin.
        """
        if binding.tls is None:
            return None
        try:
            return self.context(binding.tls)
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    # -- how they are made -------------------------------------------------------------------------------

    def _stream_factory(self, service: ServiceConfiguration, binding: Binding) -> IProtocolFactory:
        declared = service.service
        there = {
            "listener": ListenerAddress(binding.url, binding.transport, binding.host, binding.port),
            "limits": binding.limits,
        }
        here = {name: thing for name, thing in there.items() if name in declared.needs}
        arguments = {**binding.settings, **self.arguments(service), **here}
        try:
            return stream_factory(declared.name, declared.stream, arguments)
        except SettingError as error:
            raise SettingError(f"{binding.origin} {binding.where}: {error}") from None

    def _carried(
        self, declared: INetService, url: str, arguments: Mapping[str, Any], limits: Limits
    ) -> Listening:
        """What a service's connections share where HTTP carries them."""
        factory = stream_factory(declared.name, declared.websocket or declared.stream, arguments)
        scheme = url.partition(":")[0]
        return Listening(
            service=declared.name,
            listener=url,
            transport=scheme if scheme in ("wss", "http", "https") else "ws",
            factory=factory,
            limits=limits,
            facts=self._common.facts,
            clock=self._common.reactor,
            # To a service of messages one of them is whole, however it would end on a stream.
            first="segment" if declared.first and declared.websocket else declared.first,
            noted=declared.noted,
        )

    def _listening(
        self, declared: INetService, binding: Binding, factory: IProtocolFactory, *, first: str, noted: bool
    ) -> Listening:
        return Listening(
            service=declared.name,
            listener=binding.url,
            transport=binding.transport,
            factory=factory,
            limits=self._fitting(binding),
            facts=self._common.facts,
            clock=self._common.reactor,
            tls=self.context_of(binding),
            proxy=binding.proxy,
            first=first,
            over_endpoint=binding.transport == "endpoint",
            noted=noted,
        )

    def _fitting(self, binding: Binding) -> Limits:
        limits = fitting(binding.limits, self._common.descriptors)
        if limits is not binding.limits:
            _log.warn(
                "{listener}: max_connections is {wanted}, but this process may have {descriptors} "
                "descriptors: it is {given} now",
                listener=binding.url,
                wanted=binding.limits.max_connections,
                descriptors=self._common.descriptors,
                given=limits.max_connections,
            )
        return limits


def _cannot_listen(binding: Binding, error: BaseException) -> SettingError:
    return SettingError(f"{binding.origin} {binding.where}: cannot listen: {one_line(error)}")
