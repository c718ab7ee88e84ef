"""
From the configuration file and the command line to one frozen value.

Everything that the user gave is first laid into tables, each value with the place that it comes from; a value
of the command line replaces that of the file. Then the tables are read by the definitions in
`netsvc.settings` and in the services' declarations, and by nothing else. Whatever is wrong becomes a
`SettingError`: one line that names the place, the key and what was expected there.

The rules, in one place:

- A service is named by giving it somewhere to listen. Where none is named, `DEFAULT_SERVICES` start.
- An option that names a service replaces all that the file and ``--set`` have for its ``listen``.
- ``--inherited`` gives a socket that systemd passed to whose WHERE names it (``systemd://NAME``), and else to
  the service of its name. A service that has one opens nothing else of its ``listen``: that is for a daemon
  with ports of its own, and is warned of. Where all of that is TLS, a socket that would answer without it is
  refused.
- Limits, the stronger first: the service's own table, its declaration, ``[limits]``, netsvc's defaults. A
  declaration is stronger than ``[limits]`` because it holds what the service cannot do without: discard stays
  silent for ever, however short everybody else's idle time is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from netsvc.given import Given, Path, TextValue, TypedValue, did_you_mean, dotted, short
from netsvc.inheriting import inherited_name, tls_alone
from netsvc.registry import Registry
from netsvc.service import NetService
from netsvc.settings import (
    TABLES,
    TLS,
    Journal,
    Limits,
    Log,
    Net,
    Setting,
    SettingError,
    Timeline,
    settings_of,
)
from netsvc.websettings import Web

#: What starts when nobody names a service.
DEFAULT_SERVICES = ("timestamp", "receiver", "clients", "web")

#: What answers over WebSocket wherever the web service runs, listening or not.
BRIDGED_SERVICES = ("echo", "chat", "canvas")

#: What a ``[service.NAME]`` says of the service that it makes; beside these it has ``arguments``, ``listen``
#: and its own values for ``[limits]``.
SERVICE_SETTINGS = (
    Setting("stream", str, "", reason="dotted name of a callable that returns a Factory, or of a Protocol"),
    Setting("datagram", str, "", reason="dotted name of a callable that returns a DatagramProtocol"),
    Setting("summary", str, "", reason="one line for whoever lists the services"),
    Setting(
        "port",
        int,
        0,
        minimum=0,
        maximum=65_535,
        reason="the default port, which `listen = true` means; 0: there is none",
    ),
)

_LIMITS = settings_of(Limits)
_LIMIT_NAMES = tuple(one.name for one in _LIMITS)
_LISTEN = "a WHERE, a list of them, or true for the default port"


@dataclass(frozen=True)
class Listen:
    """
    One WHERE.

    @ivar where: as it was given; `netsvc.net.where` reads it.
    @ivar origin: what the user would change: ``--timestamp`` or ``/etc/netsvc.toml: timestamp.listen``. For a
        service at its default port it is the service's option.
    @ivar transports: ``stream``, ``datagram`` or both: what the service has, less what was not asked for.
    """

    where: str
    origin: str
    transports: frozenset[str]


@dataclass(frozen=True)
class ServiceConfiguration:
    """
    One service that listens.

    @ivar service: its declaration.
    @ivar listen: where, at least once.
    @ivar settings: every setting of the service.
    @ivar limits: its limits.
    @ivar arguments: further keyword arguments for its callables.
    """

    service: NetService
    listen: tuple[Listen, ...]
    settings: Mapping[str, Any]
    limits: Limits
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """
    Everything that can be set.

    @ivar net: ``[net]``.
    @ivar tls: ``[tls]``.
    @ivar limits: ``[limits]``, without what single services have of their own.
    @ivar timeline: ``[timeline]``.
    @ivar journal: ``[journal]``.
    @ivar log: ``[log]``.
    @ivar web: ``[web]``.
    @ivar services: the services that listen, at least one.
    @ivar bridged: those that listen nowhere and answer over WebSocket all the same.
    @ivar left_out: why a plugin was left out, by the name of its service or module.
    @ivar unused: the origin of each ``listen`` that is not opened, or in part, for ``--inherited``.
    @ivar origins: for each value that was given, as ``tls.certificate``, what the user would change.
    """

    net: Net
    tls: TLS
    limits: Limits
    timeline: Timeline
    journal: Journal
    log: Log
    web: Web
    services: tuple[ServiceConfiguration, ...]
    bridged: tuple[ServiceConfiguration, ...]
    left_out: Mapping[str, str]
    unused: tuple[str, ...]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class CommandLine:
    """
    What the command line says, unread.

    @ivar listen: for each service that is named, its WHEREs in their order.
    @ivar tcp: WHEREs of timestamp on streams alone.
    @ivar udp: WHEREs of receiver on datagrams alone.
    @ivar interface: addresses instead of ``net.interface``; empty leaves that as it is.
    @ivar set: texts ``table.key=value``; of two for one key the last holds.
    @ivar all: every built-in service starts.
    @ivar inherited: names of the sockets that systemd passed, each of which a service is to have; None: they
        are for those that name them, beside whatever else is named.
    @ivar without: names of services that do not.
    @ivar ready: instead of ``net.ready``, as the three that follow are of ``[tls]``; None leaves it.
    @ivar journal: instead of ``journal.file``; None leaves it.
    """

    listen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tcp: tuple[str, ...] = ()
    udp: tuple[str, ...] = ()
    interface: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    all: bool = False
    inherited: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    ready: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    journal: str | None = None


def configuration_of(
    command_line: CommandLine,
    registry: Registry,
    document: Mapping[str, Any] | None = None,
    file: str = "",
) -> Configuration:
    """
    Make the configuration. Pure: nothing is read, opened or imported.

    @param command_line: what the command line says.
    @param registry: the installed services.
    @param document: the configuration file's, from `netsvc.given.read_document`.
    @param file: its name, for errors.
    @raise SettingError: something that was given cannot be used.
    """
    given = Given(file, document or {})
    _add_options(given, command_line)
    services = {**registry.services, **_own_services(given, registry)}
    _refuse_unknown(given, registry)
    limits = given.table(("limits",), Limits)
    listening, unused = _listening(given, services, registry, command_line)
    # Services that do not listen are read too: what is wrong in their tables is wrong today as well.
    configured = [
        _service_configuration(given, service, listening.get(name, ()), limits)
        for name, service in services.items()
    ]
    chosen = tuple(one for one in configured if one.listen)
    if not chosen:
        raise SettingError("no service is left to start; expected at least one that listens")
    return Configuration(
        given.table(("net",), Net),
        given.table(("tls",), TLS),
        limits,
        given.table(("timeline",), Timeline),
        given.table(("journal",), Journal),
        given.table(("log",), Log),
        given.table(("web",), Web),
        chosen,
        tuple(one for one in configured if not one.listen and _is_bridged(one, chosen)),
        registry.left_out,
        unused,
        given.origins(),
    )


def _add_options(given: Given, command_line: CommandLine) -> None:
    """Lay what the command line says over what the file says."""
    for text in command_line.set:
        given.set_text(text)
    for option, table, key, value in (
        ("--ready", "net", "ready", command_line.ready),
        ("--tls-certificate", "tls", "certificate", command_line.tls_certificate),
        ("--tls-key", "tls", "key", command_line.tls_key),
        ("--tls-client-ca", "tls", "client_ca", command_line.tls_client_ca),
        ("--journal", "journal", "file", command_line.journal),
    ):
        if value is not None:
            given.set((table,), key, TextValue(value, option))
    if command_line.interface:
        given.set(("net",), "interface", TypedValue(list(command_line.interface), "--interface"))


# -- services ---------------------------------------------------------------------------------------------


def _own_services(given: Given, registry: Registry) -> dict[str, NetService]:
    """The services that the configuration makes, in tables of the form ``[service.NAME]``."""
    return {path[1]: _own_service(given, path, registry) for path in given.tables if path[0] == "service"}


def _own_service(given: Given, path: Path, registry: Registry) -> NetService:
    name = path[1]
    if name in registry.services:
        raise SettingError(
            f"{given.place(path)}: expected a new name; the installed service's table is [{name}]"
        )
    known = [*(one.name for one in SERVICE_SETTINGS), "arguments", "listen", *_LIMIT_NAMES]
    _refuse_unknown_keys(given, path, known)
    if "listen" not in given.row(path):
        raise SettingError(f"{given.place(path)}.listen: missing; expected {_LISTEN}")
    values = {one.name: given.value(path, one) for one in SERVICE_SETTINGS}
    try:
        return NetService(name, **{**values, "port": values["port"] or None})
    except ValueError as error:
        raise SettingError(f"{given.place(path)}: {error}") from None


def _path_of(given: Given, name: str) -> Path:
    own = ("service", name)
    return own if own in given.tables else (name,)


def _service_configuration(
    given: Given, service: NetService, listen: tuple[Listen, ...], limits: Limits
) -> ServiceConfiguration:
    path = _path_of(given, service.name)
    own_limits = {}
    for one in _LIMITS:
        if one.name in given.row(path):
            own_limits[one.name] = given.value(path, one)
        elif one.name in service.limits:
            own_limits[one.name] = one.read(service.limits[one.name])
    return ServiceConfiguration(
        service,
        listen,
        {one.name: given.value(path, one) for one in service.settings},
        dataclasses.replace(limits, **own_limits),
        _arguments(given, path),
    )


def _is_bridged(one: ServiceConfiguration, chosen: Iterable[ServiceConfiguration]) -> bool:
    web = any(other.service.name == "web" for other in chosen)
    return web and one.service.name in BRIDGED_SERVICES


def _arguments(given: Given, path: Path) -> Mapping[str, Any]:
    # An installed service may have a setting of this name, which is then just a setting.
    value = given.row(path).get("arguments") if path[0] == "service" else None
    if value is None:
        return {}
    if not isinstance(value.value, dict):
        raise SettingError(f"{value.origin}: expected a table of keyword arguments; got {short(value.value)}")
    return value.value


# -- where they listen ------------------------------------------------------------------------------------


def _listening(
    given: Given, services: Mapping[str, NetService], registry: Registry, command_line: CommandLine
) -> tuple[dict[str, tuple[Listen, ...]], tuple[str, ...]]:
    """For each service that is to start, where it listens; and the origins of what is unused."""
    chosen = _commanded(services, registry, command_line)
    written = {}
    for name, service in services.items():
        listen = given.row(_path_of(given, name)).get("listen")
        if listen is not None and name not in chosen:
            written[name] = _listens(service, listen.value, listen.origin)
    inheriting: dict[str, tuple[Listen, ...]] = {}
    if command_line.inherited is not None:
        inheriting = _inheriting(command_line.inherited, chosen, written, services, registry)
    chosen |= {**written, **inheriting}
    unasked = registry.builtin if command_line.all else () if chosen else DEFAULT_SERVICES
    for name in unasked:
        # What is there for the web service alone has no port.
        if name in services and name not in chosen and services[name].port is not None:
            chosen[name] = _listens(services[name], True, f"--{name}")
    for name in command_line.without:
        if name not in services:
            raise _no_service("--without", name, services, registry)
        chosen.pop(name, None)
        inheriting.pop(name, None)
    return chosen, tuple(_unused(written, inheriting))


def _commanded(
    services: Mapping[str, NetService], registry: Registry, command_line: CommandLine
) -> dict[str, tuple[Listen, ...]]:
    """What the options that name services say."""
    chosen: dict[str, tuple[Listen, ...]] = {}
    for name, option, wheres, transports in _options(command_line):
        if name not in services:
            raise _no_service(option, name, services, registry)
        wanted = services[name].transports & transports
        chosen[name] = chosen.get(name, ()) + tuple(Listen(where, option, wanted) for where in wheres)
    return chosen


def _inheriting(
    sockets: Iterable[str],
    commanded: Mapping[str, tuple[Listen, ...]],
    written: Mapping[str, tuple[Listen, ...]],
    services: Mapping[str, NetService],
    registry: Registry,
) -> dict[str, tuple[Listen, ...]]:
    """
    Give out the sockets that systemd passed.

    @param sockets: their names.
    @param commanded: what options say; their services take what they name, and no more.
    @param written: what the file says.
    @return: the services of ``written`` or of a socket's name that have one, with nothing but these.
    """
    if not sockets:
        raise SettingError("--inherited: systemd passed no socket; expected a start by a .socket unit")
    named = {_inherited_name(one) for listens in (*commanded.values(), *written.values()) for one in listens}
    found = {
        name: tuple(one for one in listens if _inherited_name(one) is not None)
        for name, listens in written.items()
    }
    for name in sockets:
        if name in commanded or name in named:
            continue
        if name not in services:
            raise _no_service("--inherited", name, services, registry)
        own = Listen(f"systemd://{name}", "--inherited", services[name].transports)
        found[name] = (own, *found.get(name, ()))
    return {name: listens for name, listens in found.items() if listens}


def _unused(
    written: Mapping[str, tuple[Listen, ...]], inheriting: Mapping[str, tuple[Listen, ...]]
) -> Iterator[str]:
    """
    The origins of what is written and not opened, or in part, because its service has sockets of systemd's.

    @raise SettingError: one of these would answer in plaintext where all that is written is TLS. Whether it
        is for streams does not show here; where it is meant, there is a WHERE to say so.
    """
    for name, listens in inheriting.items():
        own = written.get(name, ())
        if tls_alone(one.where for one in own) and any(one.origin == "--inherited" for one in listens):
            raise SettingError(
                f"{own[0].origin}: it has TLS alone, and the inherited socket {name} would answer without; "
                f"write systemd://{name}?certificate=FILE&key=FILE there, or systemd://{name} for plaintext"
            )
        if not set(own) <= set(listens):
            yield own[0].origin


def _inherited_name(listen: Listen) -> str | None:
    try:
        return inherited_name(listen.where)
    except ValueError as error:
        raise SettingError(f"{listen.origin} {error}") from None


def _options(command_line: CommandLine) -> Iterator[tuple[str, str, tuple[str, ...], frozenset[str]]]:
    """Each option that names a service: the service, the option, its WHEREs and what it is restricted to."""
    for name, wheres in command_line.listen.items():
        if wheres:
            yield name, f"--{name}", wheres, frozenset({"stream", "datagram", "websocket"})
    if command_line.tcp:
        yield "timestamp", "--tcp", command_line.tcp, frozenset({"stream"})
    if command_line.udp:
        yield "receiver", "--udp", command_line.udp, frozenset({"datagram"})


def _listens(service: NetService, value: object, origin: str) -> tuple[Listen, ...]:
    """
    Read a ``listen``.

    @param value: a WHERE, a port number, a list of these, or True for the default port.
    """
    if value is True:
        if service.port is None:
            raise SettingError(f"{origin}: expected a WHERE, because {service.name} has no default port")
        value = service.port
    wheres = [_where(item, origin) for item in (value if isinstance(value, list) else [value])]
    return tuple(Listen(where, origin, service.transports) for where in wheres)


def _where(value: object, origin: str) -> str:
    if isinstance(value, str):
        return value
    # A port as TOML's number says as clearly what is meant. bool is an int to Python, but no port.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 65_536:
        return str(value)
    raise SettingError(f"{origin}: expected {_LISTEN}; got {short(value)}")


# -- what is not known ------------------------------------------------------------------------------------


def _refuse_unknown(given: Given, registry: Registry) -> None:
    for path in given.tables:
        name = path[0]
        if name == "service":
            continue  # refused when its service was made
        if name in TABLES:
            _refuse_unknown_keys(given, path, [one.name for one in settings_of(TABLES[name])])
        elif name in registry.services:
            own = [one.name for one in registry.services[name].settings]
            _refuse_unknown_keys(given, path, [*own, "listen", *_LIMIT_NAMES])
        else:
            why = registry.why_left_out(name)
            unknown = "no such table or service" + _hint(name, [*TABLES, *registry.services])
            raise SettingError(f"{given.place(path)}: {why or unknown}")


def _refuse_unknown_keys(given: Given, path: Path, known: list[str]) -> None:
    for key, value in given.row(path).items():
        if key not in known:
            raise SettingError(f"{value.origin}: no such setting{_hint(key, known)}")


def _no_service(
    option: str, name: str, services: Mapping[str, NetService], registry: Registry
) -> SettingError:
    why = registry.why_left_out(name) or f"no such service{_hint(name, services)}"
    return SettingError(f"{option}: {dotted((name,))}: {why}")


def _hint(word: str, known: Iterable[str]) -> str:
    return did_you_mean(word, known) or f"; expected {', '.join(known) or 'nothing here'}"
