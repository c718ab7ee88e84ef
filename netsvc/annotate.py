"""
The annotated configuration file, written from the definitions of the settings.

``python -m netsvc.annotate`` prints it for the services that are installed; ``etc/netsvc.toml`` is what it
prints where there are netsvc's own alone. Every setting is there with its default, commented out: a line
that begins with ``#`` and a blank is prose, one that begins with ``#`` alone is TOML.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from netsvc.configuration import DEFAULT_SERVICES, SERVICE_SETTINGS
from netsvc.registry import Registry, discover
from netsvc.service import NetService
from netsvc.settings import TABLES, Limits, Networks, Setting, settings_of

_WIDTH = 100

_HEAD = """\
netsvc's configuration: every setting, with its default. To change one, remove the # before it and before \
the name of its table. Use it with: netsvc serve --config FILE

The command line wins over this file. --set TABLE.KEY=VALUE is the same as KEY = VALUE here, and a service's \
option, such as --echo WHERE, replaces its listen here."""

_SERVICES = """\
The services. Each starts if its table says where it listens; where no service does, here or on the command \
line, the default set starts: {defaults}.

listen is a WHERE, a list of them, or true for the default port. A WHERE is a port, a URL, an endpoint \
description of Twisted's, or HOST:PORT.

Each table can have any key of [limits] for the service alone. The values for [limits] that are shown with a \
service are its own and stronger than those of [limits]."""

_OWN = """\
A service made of any importable Factory, Protocol or DatagramProtocol, without a plugin. arguments are \
handed to it as keyword arguments."""

_OWN_EXAMPLE = {
    "stream": "twisted.protocols.wire.Echo",
    "summary": "Twisted's own echo",
    "port": 50_007,
}


def annotated(registry: Registry) -> str:
    """
    Write the whole file.

    @param registry: the services that it has tables for.
    @return: TOML. It sets nothing; with each ``#`` removed that no blank follows, it sets every default and
        starts every service.
    """
    defaults = ", ".join(DEFAULT_SERVICES)
    blocks = [
        "\n".join(_prose(_HEAD)),
        *("\n".join(_table(name, table)) for name, table in TABLES.items()),
        "\n".join(_prose(_SERVICES.format(defaults=defaults))),
        *("\n".join(_service(service)) for service in registry.services.values()),
        "\n".join(_own_service()),
    ]
    return "\n\n".join(blocks) + "\n"


def toml_value(value: Any) -> str:
    """A setting's value as TOML writes it; `netsvc.settings.Setting.read` takes what TOML reads of it."""
    if isinstance(value, Networks):
        value = value.texts()
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, str):
        # A JSON string is a basic string of TOML, but for DEL, which JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def main() -> None:
    """Print the file for what is installed here."""
    sys.stdout.write(annotated(discover()))


def _table(name: str, table: type) -> Iterator[str]:
    described, _, rest = (table.__doc__ or "").strip().partition("\n")
    yield from _prose(f"{described} {rest}".replace("``", ""))
    yield f"#[{name}]"
    for setting in settings_of(table):
        yield from _setting(setting, setting.default)


def _service(service: NetService) -> Iterator[str]:
    if service.stream or service.datagram:
        where = f"On {' and '.join(sorted(service.transports, reverse=True))} sockets"
    else:
        where = "Over WebSocket alone"
    yield from _prose(f"{service.name}: {service.summary}. {where}.")
    yield f"#[{service.name}]"
    if service.port is not None:
        yield ""
        yield from _prose(f"Where it listens; true is port {service.port}.")
        yield "#listen = true"
    for setting in service.settings:
        yield from _setting(setting, setting.default)
    for limit in settings_of(Limits):
        if limit.name in service.limits:
            yield from _setting(limit, limit.read(service.limits[limit.name]))


def _own_service() -> Iterator[str]:
    yield from _prose(_OWN)
    yield "#[service.example]"
    for setting in SERVICE_SETTINGS:
        yield from _setting(setting, _OWN_EXAMPLE.get(setting.name, setting.default))
    yield ""
    yield "#arguments = {}"
    yield "#listen = true"


def _setting(setting: Setting, value: Any) -> Iterator[str]:
    yield ""
    yield from _prose(_capital(f"{setting.unit}: {setting.reason}" if setting.unit else setting.reason))
    if setting.type is not str or setting.choices:
        yield from _prose(_capital(setting.expected))
    yield f"#{setting.name} = {toml_value(value)}"


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _prose(text: str) -> Iterator[str]:
    """Paragraphs, with an empty comment between each two."""
    # Another's declaration may have a character that TOML does not allow in a comment.
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield "#"
        for line in textwrap.wrap(" ".join(paragraph.split()), _WIDTH - 2, break_on_hyphens=False):
            yield f"# {line}"


if __name__ == "__main__":
    main()
