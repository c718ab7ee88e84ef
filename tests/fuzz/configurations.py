"""
What users write: configuration files, command lines, WHEREs. It can be used, or it is refused in one line.

What can be used is followed up to the services' factories and what would have to be opened; nothing is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from functools import cache
from typing import Any, NamedTuple

from netsvc.configuration import Configuration
from netsvc.construct import datagram_protocol, named, stream_factory
from netsvc.interfaces import INetService
from netsvc.net.admission import Admission
from netsvc.net.binding import bindings_of
from netsvc.net.machine import Inherited, Machine
from netsvc.net.replies import Replies
from netsvc.net.source import screen_of
from netsvc.net.where import endpoint_prefixes, parse_where
from netsvc.options import Options
from netsvc.service import NetService
from netsvc.settings import TABLES, TLS, Limits, Net, Setting, SettingError, defaults, settings_of
from tests.fuzz.campaign import one_line
from tests.fuzz.corpora import WHERES
from tests.fuzz.inputs import Inputs
from tests.fuzz.plays import registry

_FAMILIES = {"INET": 2, "INET6": 10, "UNIX": 1}


def _resolve(name: str) -> list[str]:
    """The addresses of a name, as a machine with a small world would have them."""
    # What the real one does with a name that no name server could be asked for.
    try:
        name.encode("idna")
    except UnicodeError:
        raise OSError("it is no valid host name") from None
    known = {
        "localhost": ["127.0.0.1", "::1"],
        "bench-7": ["127.0.1.1"],
        "odd": ["fe80::1%eth0", "no address"],
    }
    if name.lower() in known:
        return known[name.lower()]
    if len(name) % 3 == 0:
        raise OSError(-2, "Name or service not known")
    return ["198.51.100.7", "2001:db8::7"] if len(name) % 3 == 1 else []


def _inherited(name: str) -> list[Inherited]:
    tcp = Inherited(3, "stream", _family("INET"), "127.0.0.1", 8009)
    found = {
        "echo": [tcp],
        "both": [tcp, Inherited(4, "datagram", _family("INET6"), "::1", 6667)],
        "path": [Inherited(5, "stream", _family("UNIX"), "@netsvc", None)],
    }
    if name not in found:
        raise ValueError(f"no inherited socket is named {name}; there is {', '.join(found)}")
    return found[name]


def _family(name: str) -> Any:
    return _FAMILIES[name]


_MACHINE = Machine("bench-7", _resolve, _inherited)


@cache
def _prefixes() -> frozenset[str]:
    return endpoint_prefixes()


# -- WHEREs -----------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """
    A WHERE of a service.

    @ivar where: the text.
    @ivar service: the service's name.
    @ivar transports: the sides that the option allows.
    @ivar interface: ``net.interface``.
    @ivar certificate: ``tls.certificate``.
    """

    where: str
    service: str
    transports: tuple[str, ...]
    interface: tuple[str, ...]
    certificate: str


_INTERFACES = (
    "::",
    "0.0.0.0",
    "127.0.0.1",
    "localhost",
    "::ffff:192.0.2.1",
    "fe80::1%eth0",
    "",
    "odd",
    "a b",
)
_SIDES = (("stream", "datagram"), ("stream", "datagram"), ("stream",), ("datagram",))


def make_where(chance: Inputs) -> Asked:
    """A WHERE, broken or not."""
    where = chance.broken_text(chance.one_of(WHERES), WHERES)
    interfaces = [chance.broken_text(chance.one_of(_INTERFACES), WHERES) for _ in range(chance.below(3))]
    return Asked(
        where,
        chance.one_of(tuple(registry().services)),
        chance.one_of(_SIDES),
        tuple(interfaces) if chance.rarely() else (),
        "server.pem" if chance.often() else "",
    )


def check_where(asked: Asked) -> None:
    """It is refused in one line; or it says something to open, and says the same again as it is shown."""
    service = registry().services[asked.service]
    try:
        where = parse_where(asked.where, _prefixes())
    except ValueError as error:
        one_line(str(error))
        return
    again = parse_where(str(where), _prefixes())
    assert again == where, f"shown as {where}, which means {again}"
    try:
        bindings = bindings_of(
            where,
            service=service,
            transports=frozenset(asked.transports),
            settings=defaults(service.settings),
            limits=Limits(),
            net=Net(interface=list(asked.interface)),
            tls=TLS(asked.certificate),
            origin="--test",
            machine=_MACHINE,
        )
    except SettingError as error:
        one_line(str(error))
        return
    _check_bindings(service, bindings)


def _check_bindings(service: INetService, bindings: Any) -> None:
    assert bindings, "nothing to open, and no word about it"
    for binding in bindings:
        one_line(binding.url)
        assert binding.port is None or 0 <= binding.port <= 65_535
        assert set(binding.settings) == {one.name for one in service.settings}
        json.dumps({"listener": binding.url, "address": binding.host})
        _take_limits(binding.limits)
        name, make = service.stream, stream_factory
        if binding.kind == "datagram":
            name, make = service.datagram, datagram_protocol  # type: ignore[assignment]
        arguments = dict(binding.settings)
        if service.shared:
            arguments["shared"] = named(service.name, service.shared)()
        if "clients" in service.needs:
            arguments["clients"] = None
        try:
            make(service.name, name, arguments)
        except SettingError as error:
            one_line(str(error))


def _take_limits(limits: Limits) -> None:
    """Whatever limits are allowed, those who keep them can."""
    Admission(limits, lambda: 0.0).enter("192.0.2.1")
    Replies(limits)
    screen = screen_of(limits)
    assert screen is None or screen("192.0.2.1") in (None, "allow", "deny")


# -- configuration files ----------------------------------------------------------------------------------


class Written(NamedTuple):
    """
    A configuration file and a command line.

    @ivar file: what is in the file; None for no file.
    @ivar arguments: the command line without it.
    """

    file: bytes | None
    arguments: tuple[str, ...]


_OWN = Setting("listen", str, "8009")
_VALUES = (
    "true",
    "false",
    "0",
    "-1",
    "3",
    "65535",
    "1e6",
    "0.05",
    "nan",
    "inf",
    "-0.0",
    "9" * 400,
    '""',
    '"hello"',
    '"a\\u0000b"',
    '"\\u001b[2J\\n"',
    '"chunk"',
    '"line"',
    '"\u202e"',
    "[]",
    '["127.0.0.1", "::"]',
    '["192.0.2.0/24", "2001:db8::/32"]',
    "[1, true]",
    "[[[[]]]]",
    "{size = 3}",
    "{a = {b = [1, 2]}}",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "'''a\nb'''",
    "0xffff",
    "[" * 2000,
)


def _tables() -> dict[str, tuple[Setting, ...]]:
    limits = settings_of(Limits)
    tables = {name: settings_of(table) for name, table in TABLES.items()}
    for name, service in registry().services.items():
        tables[name] = (_OWN, _OWN, *service.settings, *limits[:8])
    own = (Setting("stream", str, ""), Setting("datagram", str, ""), Setting("port", int, 0), _OWN)
    tables["service.shout"] = (*own, Setting("arguments", str, ""), Setting("summary", str, ""))
    tables["service"] = own
    tables["web"] = ()
    return tables


@cache
def _keys() -> tuple[tuple[str, Setting], ...]:
    return tuple((name, setting) for name, settings in _tables().items() for setting in settings)


def _toml(value: object) -> str:
    return json.dumps(value) if not isinstance(value, float) else repr(value)


def _value(chance: Inputs, setting: Setting) -> str:
    if setting is _OWN:
        return chance.one_of(
            ("true", "8009", _toml(chance.one_of(WHERES)), '["8010", 8011]', chance.one_of(_VALUES))
        )
    if not chance.often():
        return chance.one_of(_VALUES)
    if setting.choices:
        return _toml(chance.one_of(setting.choices))
    if setting.name in ("stream", "datagram"):
        return '"netsvc.services.echo.EchoFactory"'
    return _toml(setting.default if isinstance(setting.default, str | int | float | list) else [])


@cache
def _files() -> tuple[str, ...]:
    """Whole files, for pieces of them."""
    with open("etc/netsvc.toml", encoding="utf-8") as file:
        text = file.read()
    return (text, "[timestamp]\nlisten = true\n", "[limits]\nidle_timeout = 60\n", *_VALUES)


def make_file(chance: Inputs) -> Written:
    """A file with a few tables, broken or not."""
    tables: dict[str, list[str]] = {}
    for _ in range(1 + chance.below(6)):
        name, setting = chance.one_of(_keys())
        line = f"{setting.name} = {_value(chance, setting)}"
        tables.setdefault(name, ["listen = 7001"] if name == "service.shout" else []).append(line)
    text = "".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in tables.items())
    if chance.rarely():
        text = chance.broken_text(text, _files())
    data = text.encode("utf-8", "surrogatepass")
    if chance.rarely():
        data = chance.broken(data, (b"\xff", b"\0", data))
    return Written(data, _arguments(chance, 2) if chance.rarely() else ())


# -- command lines ----------------------------------------------------------------------------------------


def make_arguments(chance: Inputs) -> Written:
    """A command line, broken or not, with no file."""
    return Written(None, _arguments(chance, 5))


def _arguments(chance: Inputs, most: int) -> tuple[str, ...]:
    arguments: list[str] = []
    for _ in range(chance.below(most + 1)):
        arguments += _option(chance)
    if chance.rarely() and arguments:
        at = chance.below(len(arguments))
        arguments[at] = chance.broken_text(arguments[at], WHERES)
    # What the system hands a program: no NUL, and bytes that are not UTF-8 as surrogates.
    return tuple(one.encode("utf-8", "replace").decode().replace("\0", "") for one in arguments)


def _option(chance: Inputs) -> list[str]:
    kind = chance.random()
    if kind < 0.4:
        return [f"--{chance.one_of((*registry().services, 'tcp', 'udp'))}", _where(chance)]
    if kind < 0.65:
        name, setting = chance.one_of(_keys())
        value = chance.one_of(_VALUES) if chance.rarely() else _value(chance, setting).strip('"')
        return ["--set", f"{name}.{setting.name}={value}"]
    if kind < 0.75:
        return ["--without", chance.one_of((*registry().services, "nobody", "\x1b[2J"))]
    if kind < 0.85:
        return ["--interface", chance.one_of(_INTERFACES)]
    return chance.one_of(
        (
            ["--all"],
            ["--ready", "ready.json"],
            ["--tls-certificate=server.pem"],
            ["--tls-key", "server.key"],
            ["--tls-client-ca", ""],
            ["--config"],
            ["--version"],
            ["--shout", "1"],
            ["--ti", "1"],
            ["-x"],
            ["--"],
            ["8009"],
            [""],
        )
    )


def _where(chance: Inputs) -> str:
    where = chance.one_of(WHERES)
    return where if chance.often() else chance.broken_text(where, WHERES)


def check_written(written: Written, path: str) -> None:
    """
    It becomes a configuration, or is refused in one line.

    @param path: where the file is to be.
    """
    arguments = list(written.arguments)
    if written.file is not None:
        with open(path, "wb") as file:
            file.write(written.file)
        arguments += ["--config", path]
    elif "--config" in arguments:
        arguments += [os.path.dirname(path)]
    options = Options(registry())
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            options.parseOptions(arguments)
        configuration = options.configuration()
    except SystemExit as ended:
        if ended.code != 0:
            one_line(str(ended.code))
        return
    except SettingError as error:
        one_line(str(error))
        return
    _follow(configuration)


def _follow(configuration: Configuration) -> None:
    """What would have to be opened; netsvc's own services also as far as their factories."""
    for one in configuration.services:
        for listen in one.listen:
            try:
                bindings = bindings_of(
                    parse_where(listen.where, _prefixes()),
                    service=one.service,
                    transports=listen.transports,
                    settings=one.settings,
                    limits=one.limits,
                    net=configuration.net,
                    tls=configuration.tls,
                    origin=listen.origin,
                    machine=_MACHINE,
                )
            except (ValueError, SettingError) as error:
                one_line(str(error))
                continue
            if _is_ours(one.service):
                _check_bindings(one.service, bindings)


def _is_ours(service: NetService) -> bool:
    # What a made configuration names could be anything that can be called.
    return registry().services.get(service.name) is service
