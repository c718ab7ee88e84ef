"""
From what a user wrote to what has to be opened: one `Binding` for each socket.

The service says which sides it has (streams, datagrams), the settings say which interfaces are the default
ones, the machine says which addresses a name has; nothing is opened here, so that a configuration can be
checked without starting anything.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from netsvc.interfaces import INetService
from netsvc.net.addresses import parse
from netsvc.net.description import arguments_of
from netsvc.net.machine import Inherited, Machine
from netsvc.net.query import Own, read_query
from netsvc.net.where import EndpointWhere, HostWhere, PortWhere, URLWhere, Where, host_name
from netsvc.settings import TLS, Limits, Net, SettingError

#: The longest path of a UNIX socket, in bytes: sun_path without the NUL at its end (unix(7)).
LONGEST_PATH = 107

_SIDES: Mapping[str, str] = {
    "tcp": "stream",
    "tls": "stream",
    "unix": "stream",
    "ws": "stream",
    "wss": "stream",
    "udp": "datagram",
    "unix-datagram": "datagram",
}
_OVER_TLS = ("tls", "wss")
_SCHEMES_OF_SIDE = {"stream": "tcp://, tls:// or unix://", "datagram": "udp:// or unix-datagram://"}


@dataclass(frozen=True)
class Binding:
    """
    One socket to open, or one endpoint to listen on.

    @ivar kind: ``stream`` or ``datagram``.
    @ivar transport: ``tcp``, ``tls``, ``ws``, ``wss``, ``udp``, ``unix``, ``unix-datagram``, or ``endpoint``.
    @ivar host: an IP address, the path of a UNIX socket, or ``""`` for an endpoint.
    @ivar port: 0 lets the system choose; None for UNIX sockets and endpoints.
    @ivar family: AF_INET, AF_INET6, AF_UNIX, or AF_UNSPEC for an endpoint.
    @ivar settings: the service's settings for this listener, every one.
    @ivar limits: the listener's own limits.
    @ivar origin: the option, or the key in the configuration, that asked for it.
    @ivar where: the WHERE that stood there.
    @ivar mode: the permissions of a UNIX socket; None elsewhere.
    @ivar backlog: connections that may wait to be accepted; 0 for datagrams.
    @ivar proxy: ``off``, ``optional`` or ``required``: a PROXY header, before TLS. On an endpoint it comes
        after what the endpoint does itself, so inside the TLS of ``haproxy:ssl:``.
    @ivar tls: what to speak TLS with, on ``tls`` and ``wss``; None elsewhere.
    @ivar optional: it is left out where the machine lacks this address, if another one remains.
    @ivar description: what to give to `serverFromString`, for an endpoint; ``""`` elsewhere.
    @ivar fd: the descriptor of an inherited socket, which is bound already; None elsewhere.
    @ivar path: of ``ws`` and ``wss`` the resource, ``""`` for every one; ``""`` elsewhere.
    @ivar origins: of ``ws`` and ``wss`` whose pages may connect.
    """

    kind: str
    transport: str
    host: str
    port: int | None
    family: socket.AddressFamily
    # A dictionary has no hash, and two bindings that differ in nothing else are rare enough.
    settings: Mapping[str, Any] = field(hash=False)
    limits: Limits
    origin: str
    where: str
    mode: int | None = None
    backlog: int = 0
    proxy: str = "off"
    tls: TLS | None = None
    optional: bool = False
    description: str = ""
    fd: int | None = None
    path: str = ""
    origins: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """
        The name of the listener in facts and in the log, such as ``tcp://[::1]:8009``.

        Of an endpoint it is the description, as it was written.
        """
        if self.transport == "endpoint":
            return self.where
        if self.family == socket.AF_UNIX:
            return str(URLWhere(self.transport, "", None, self.host))
        return str(URLWhere(self.transport, self.host, self.port, self.path))


class _Interface(NamedTuple):
    """An IP address to listen on; optional is one that the machine may lack."""

    address: str
    optional: bool


@dataclass(frozen=True)
class _Asked:
    """Everything but the WHERE."""

    service: INetService
    transports: frozenset[str]
    own: Own
    net: Net
    tls: TLS
    origin: str
    where: str
    machine: Machine

    def sides(self) -> list[str]:
        """What the service has and the option allows."""
        return [side for side in ("stream", "datagram") if self.has(side) and side in self.transports]

    def has(self, side: str) -> bool:
        return bool(self.service.stream if side == "stream" else self.service.datagram)

    def require_websocket(self) -> None:
        """@raise ValueError: there is nothing to serve over WebSocket."""
        if not (self.service.stream or self.service.websocket):
            expected = _SCHEMES_OF_SIDE["datagram"]
            raise ValueError(f"{self.service.name} has no stream side; expected {expected}")
        if not self.transports & {"stream", "websocket"}:
            raise ValueError(f"{self.origin} is for datagram sockets alone; use --{self.service.name}")

    def require(self, side: str) -> None:
        """@raise ValueError: there is nothing to listen with on that side."""
        if not self.has(side):
            if not (self.service.stream or self.service.datagram):
                raise ValueError(f"{self.service.name} is for WebSocket alone; expected ws:// or wss://")
            other = _SCHEMES_OF_SIDE["datagram" if side == "stream" else "stream"]
            raise ValueError(f"{self.service.name} has no {side} side; expected {other}")
        if side not in self.transports:
            only = " or ".join(sorted(self.transports))
            raise ValueError(f"{self.origin} is for {only} sockets alone; use --{self.service.name}")


def bindings_of(
    where: Where,
    *,
    service: INetService,
    transports: frozenset[str],
    settings: Mapping[str, Any],
    limits: Limits,
    net: Net,
    tls: TLS,
    origin: str,
    machine: Machine,
) -> tuple[Binding, ...]:
    """
    Find out what one WHERE of one service asks to open.

    Names are resolved by ``machine``, which may wait; nothing else leaves this process.

    @param transports: the sides that the option allows, of ``stream`` and ``datagram``.
    @param settings: the service's settings, every one.
    @param limits: the service's limits.
    @param net: which interfaces are the default ones.
    @param tls: what a ``tls://`` without a query uses.
    @param origin: the option, or the key in the configuration, for error messages.
    @return: at least one, no socket twice; all of transport ``endpoint`` or none.
    @raise SettingError: it cannot be; the text is one line with origin, WHERE, and what was expected.
    """
    asked = _Asked(service, transports, Own(settings, limits), net, tls, origin, str(where), machine)
    try:
        return _without_repeats(_bindings(where, asked))
    except ValueError as error:
        raise SettingError(f"{origin} {where}: {error}") from None


def _without_repeats(bindings: Iterable[Binding]) -> tuple[Binding, ...]:
    return tuple({(one.kind, one.host, one.port, one.fd): one for one in bindings}.values())


def _bindings(where: Where, asked: _Asked) -> list[Binding]:
    match where:
        case PortWhere(port):
            return _plain(_default_interfaces(asked.net, asked.machine), port, asked)
        case HostWhere(host, port):
            return _plain(_interfaces_of(host, asked.machine), port, asked)
        case EndpointWhere(description, prefix):
            return [_endpoint(description, prefix, asked)]
        case URLWhere(scheme="systemd"):
            return _inherited(where, asked)
        case _:
            return _url(where, asked)


def _plain(interfaces: Iterable[_Interface], port: int, asked: _Asked) -> list[Binding]:
    sides = asked.sides()
    if not sides:
        # The message is that of whichever side the option is for.
        asked.require("stream" if "stream" in asked.transports else "datagram")
    transports = [{"stream": "tcp", "datagram": "udp"}[side] for side in sides]
    return [
        _ip(interface, port, transport, asked.own, asked)
        for transport in transports
        for interface in interfaces
    ]


def _url(where: URLWhere, asked: _Asked) -> list[Binding]:
    if where.scheme in ("ws", "wss"):
        asked.require_websocket()
    else:
        asked.require(_SIDES[where.scheme])
    own = read_query(where, asked.service.settings, asked.own, asked.tls)
    if where.port is None:
        return [_unix(where.path, where.scheme, own, asked)]
    if where.host:
        interfaces = _interfaces_of(where.host, asked.machine)
    else:
        interfaces = _default_interfaces(asked.net, asked.machine)
    bindings = [_ip(interface, where.port, where.scheme, own, asked) for interface in interfaces]
    if where.scheme in ("ws", "wss"):
        return [replace(binding, path=where.path, origins=own.origin) for binding in bindings]
    return bindings


def _ip(interface: _Interface, port: int, transport: str, own: Own, asked: _Asked) -> Binding:
    family = socket.AF_INET6 if ":" in interface.address else socket.AF_INET
    binding = _binding(transport, interface.address, port, family, own, asked)
    return replace(binding, optional=interface.optional)


def _unix(path: str, transport: str, own: Own, asked: _Asked) -> Binding:
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ValueError(f"the path has {length} bytes; a UNIX socket's has at most {LONGEST_PATH}")
    return replace(_binding(transport, path, None, socket.AF_UNIX, own, asked), mode=own.mode)


def _binding(
    transport: str, host: str, port: int | None, family: socket.AddressFamily, own: Own, asked: _Asked
) -> Binding:
    kind = _SIDES[transport]
    return Binding(
        kind=kind,
        transport=transport,
        host=host,
        port=port,
        family=family,
        settings=own.settings,
        limits=own.limits,
        origin=asked.origin,
        where=asked.where,
        backlog=own.backlog if kind == "stream" else 0,
        proxy=own.proxy,
        tls=own.tls if transport in _OVER_TLS else None,
    )


def _endpoint(description: str, prefix: str, asked: _Asked) -> Binding:
    asked.require("stream")
    if prefix == "unix":
        return _unix_endpoint(description, asked)
    proxy = "off"
    if prefix == "haproxy":
        # Twisted's own parser of the header answers before it has come, with the balancer's address.
        description, proxy = description.removeprefix("haproxy:"), "required"
        if description.startswith("haproxy:"):
            raise ValueError("one PROXY header is all that is read; expected one haproxy:")
    return Binding(
        kind="stream",
        transport="endpoint",
        host="",
        port=None,
        family=socket.AF_UNSPEC,
        settings=asked.own.settings,
        limits=asked.own.limits,
        origin=asked.origin,
        where=asked.where,
        proxy=proxy,
        description=description,
    )


def _unix_endpoint(description: str, asked: _Asked) -> Binding:
    """
    A ``unix:`` description, with a socket of ours.

    Twisted's own notes in its lock the process before the fork, so that a second daemon takes the socket from
    one that runs in the background. It makes the file for everybody unless told otherwise.
    """
    named = arguments_of(description, "unix", "address")
    if unknown := set(named) - {"unix", "address", "mode", "backlog", "lockfile"}:
        raise ValueError(f"expected unix:PATH, mode= or backlog=; got {', '.join(sorted(unknown))}")
    if not named.get("address"):
        raise ValueError("it has no path; expected unix:PATH")
    try:
        mode, backlog = int(named.get("mode", "666"), 8), int(named.get("backlog", asked.own.backlog))
    except ValueError:
        raise ValueError("expected an octal mode such as 600, and a whole number as backlog") from None
    path = os.path.abspath(named["address"])
    return _unix(path, "unix", replace(asked.own, mode=mode, backlog=backlog), asked)


def _inherited(where: URLWhere, asked: _Asked) -> list[Binding]:
    own = read_query(where, asked.service.settings, asked.own, asked.tls)
    return [_adopted(one, own, asked) for one in asked.machine.inherited(where.host)]


def _adopted(inherited: Inherited, own: Own, asked: _Asked) -> Binding:
    asked.require(inherited.kind)
    unix = inherited.family == socket.AF_UNIX
    if inherited.kind == "datagram":
        transport = "unix-datagram" if unix else "udp"
        if own.proxy != "off":
            raise ValueError("datagrams have no PROXY header; proxy is for streams")
        if own.tls:
            raise ValueError("TLS is for streams; one of these sockets is for datagrams")
    elif own.tls:
        if unix:
            raise ValueError("TLS is for TCP; one of these sockets is a UNIX socket")
        transport = "tls"
    else:
        transport = "unix" if unix else "tcp"
    binding = _binding(transport, inherited.host, inherited.port, inherited.family, own, asked)
    return replace(binding, fd=inherited.fd)


def _default_interfaces(net: Net, machine: Machine) -> list[_Interface]:
    if not net.interface:
        return [_Interface(address, optional=True) for address in loopback_interfaces(machine)]
    found = [one for text in net.interface for one in _interface(text, machine)]
    # A wildcard has every address of its family already, and :: has those of both.
    given = {one.address for one in found}
    if "::" in given:
        return [_Interface("::", optional=False)]
    if "0.0.0.0" in given:
        return [one for one in found if ":" in one.address or one.address == "0.0.0.0"]
    return found


def _interface(text: str, machine: Machine) -> list[_Interface]:
    try:
        # The scope of an IPv6 address may be anything, and it stands in the listener's name.
        if not text.isprintable():
            raise ValueError("it holds a character that cannot be printed")
        # A WHERE has an IPv6 address in brackets, so people write it so here too.
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        return _interfaces_of(bare if parse(bare) else host_name(bare), machine)
    except ValueError as error:
        raise ValueError(f"interface {text!r}: {error}") from None


def check_interface(text: str, machine: Machine) -> None:
    """
    See that one can listen on an interface that was given for every listener.

    @raise ValueError: it is no address of this machine, or no address at all.
    """
    for interface in _interface(text, machine):
        family = socket.AF_INET6 if ":" in interface.address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                # getaddrinfo knows how a link-local address goes together with its scope.
                sock.bind(socket.getaddrinfo(interface.address, 0, family, socket.SOCK_DGRAM)[0][4])
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(f"interface {text!r}: no address of this machine ({reason})") from None


def loopback_interfaces(machine: Machine) -> list[str]:
    """
    The addresses that netsvc listens on where nobody said otherwise.

    @return: 127.0.0.1, ::1, and the loopback addresses that the machine's own name has (127.0.1.1 on
        Debian), for a program on this machine may well connect to its name.
    """
    return list(dict.fromkeys(["127.0.0.1", "::1", *_own_loopback(machine)]))


def _own_loopback(machine: Machine) -> list[str]:
    try:
        found = machine.resolve(machine.name)
    except OSError:
        # Many machines' names are known to nobody.
        return []
    return [str(address) for address in map(parse, found) if address and address.is_loopback]


def _interfaces_of(host: str, machine: Machine) -> list[_Interface]:
    literal = parse(host)
    if literal:
        return [_Interface(str(literal), optional=False)]
    found = map(parse, _resolved(host, machine.resolve))
    # A name such as localhost has ::1 also where the machine has no IPv6.
    interfaces = [_Interface(str(one), optional=one.is_loopback) for one in found if one]
    if not interfaces:
        raise ValueError(f"{host} has no IP address")
    return interfaces


def _resolved(host: str, resolve: Callable[[str], Iterable[str]]) -> list[str]:
    try:
        return list(resolve(host))
    except OSError as error:
        hint = f"; for a URL write {host}://" if host in _SIDES else ""
        raise ValueError(f"no address of {host} is known ({error.strerror or error}){hint}") from None
