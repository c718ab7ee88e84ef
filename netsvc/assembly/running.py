"""What runs: each listener with what was asked for, and from what it was made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from netsvc.configuration import Configuration, ServiceConfiguration
from netsvc.net.binding import Binding
from netsvc.net.listener import Listener
from netsvc.net.tls import digest_of

#: Everything that what serves a listener is made from; it is only ever compared.
Makeup = tuple[Any, ...]

#: Where a listener is, so that no other one can be there: kind, host, port and descriptor, or a description.
Address = tuple[Any, ...]


@dataclass(frozen=True)
class Running:
    """
    One listener.

    @ivar service: the service, as it was configured.
    @ivar binding: what was asked for, with the port that it got.
    @ivar any_port: whether it was asked for on any port.
    @ivar makeup: from what it was made.
    @ivar listener: the listener.
    """

    service: ServiceConfiguration
    binding: Binding
    any_port: bool
    makeup: Makeup
    listener: Listener

    @property
    def address(self) -> Address:
        """Where it is."""
        return address_of(self.binding)

    @property
    def wish(self) -> Address:
        """What was asked for where any port would do."""
        return wish_of(self.service, self.binding)


def address_of(binding: Binding) -> Address:
    """Where a binding is."""
    if binding.transport == "endpoint":
        return ("endpoint", binding.description)
    return (binding.kind, binding.host, binding.port, binding.fd)


def wish_of(service: ServiceConfiguration, binding: Binding) -> Address:
    """What a binding to any port asks for, whichever it gets."""
    return (service.service.name, binding.transport, binding.host, binding.where)


def makeup_of(
    service: ServiceConfiguration, binding: Binding, configuration: Configuration, certificates: bytes
) -> Makeup:
    """
    From what a listener is made.

    Of the files that settings name it is what is in them that counts: those of TLS, and what a setting called
    ``…_file`` names.

    @param configuration: the one that asks for it.
    @param certificates: what is in the files of TLS, see `netsvc.net.tls.content_of`.
    """
    # Neither whose wish it was, nor what can change on an open socket.
    what = replace(binding, origin="", where="", port=None, optional=False, mode=None, backlog=0)
    over_http = binding.transport in ("ws", "wss")
    return (
        what,
        _of_service(service),
        certificates,
        _files_of(binding.settings),
        configuration.web if over_http else None,
        configuration.timeline.capture,
    )


def carried_makeup_of(service: ServiceConfiguration) -> Makeup:
    """From what is made that serves a service where the web service carries its connections."""
    return (_of_service(service), service.settings, service.limits, _files_of(service.settings))


def _of_service(service: ServiceConfiguration) -> tuple[Any, ...]:
    return (vars(service.service), dict(service.arguments))


def _files_of(settings: Any) -> bytes:
    paths = (value for name, value in settings.items() if name.endswith("_file"))
    return digest_of(path for path in paths if isinstance(path, str) and path)
