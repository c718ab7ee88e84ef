"""
The manual page of the configuration file, netsvc.toml(5), written from the definitions of the settings.

``python -m netsvc.manual`` prints it, for netsvc's own services alone: a page is for every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from netsvc import __version__
from netsvc.annotate import toml_value
from netsvc.configuration import DEFAULT_SERVICES, SERVICE_SETTINGS
from netsvc.registry import Registry, discover
from netsvc.roff import entry, head, heading, inline, listing, page, prose, subheading
from netsvc.service import NetService
from netsvc.settings import TABLES, Limits, Setting, settings_of

#: When the pages' own words were last changed; it is no date of a build, so that a page is always the same.
DATE = "2026-11-20"

_DESCRIPTION = """\
The configuration of the netsvc daemon, in TOML and UTF-8. It is read by --config FILE, for netsvc
check as for the daemon, and holds everything that the command line can say, and more; where both
speak, the command line wins. --set TABLE.KEY=VALUE on the command line is the same as KEY = VALUE
in the table here.

An unknown key, a value of another type or out of its range, and a file that cannot be read are
refused with one line that says what was expected; nothing is started then. On SIGHUP the file is
read again."""

_SERVICES = """\
The table of an installed service has the service's name. The service starts if the table says where
it listens; where no table and no option of the command line does, the default set starts:
{defaults}. Beside the keys below, the table may have any key of [limits], for this service alone."""

_LISTEN = """\
Where the service listens: a WHERE, a list of them, or true for its default port. A WHERE is a port
(8009), a URL (tcp://127.0.0.1:8009, udp://:6667, tls://:2007, unix:///run/netsvc/echo.sock,
systemd://echo for inherited sockets), an endpoint description of Twisted's (tcp:8009), or
HOST:PORT. The query of a URL may hold settings and limits of this listener alone:
tcp://:9999?idle-timeout=60."""

_OWN = """\
[service.NAME] makes a service of any importable Twisted Factory, Protocol or DatagramProtocol,
without a plugin. It has listen, any key of [limits], arguments (a table of keyword arguments for
what is imported), and:"""

_EXAMPLE = """\
[net]
interface = ["192.0.2.1"]

[tls]
certificate = "/etc/netsvc/server.pem"
key = "/etc/netsvc/server.key"

[limits]
idle_timeout = 60

[web]
listen = "tls://192.0.2.1:8443"
token_file = "/run/credentials/netsvc.service/token"

[echo]
listen = ["7007", "tls://192.0.2.1:7008"]
per_address = 20

[journal]
file = "/var/lib/netsvc/journal.db\""""


def settings_page(registry: Registry) -> str:
    """
    Write netsvc.toml(5).

    @param registry: the services; those that are built in have a section.
    """
    return page(_page(registry))


def main() -> None:
    """Print the page."""
    sys.stdout.write(settings_page(discover()))


def _page(registry: Registry) -> Iterator[str]:
    yield from head("netsvc.toml", 5, DATE, f"netsvc {__version__}", "netsvc")
    yield heading("NAME")
    yield inline("netsvc.toml - configuration of the netsvc daemon")
    yield heading("DESCRIPTION")
    yield from prose(_DESCRIPTION)
    for name, table in TABLES.items():
        yield heading(f"[{name}]")
        described = (table.__doc__ or "").partition(":")[2].strip()
        yield from prose(described[:1].upper() + described[1:].replace("``", ""))
        for setting in settings_of(table):
            yield from _setting(setting, setting.default)
    yield heading("SERVICES")
    yield from prose(_SERVICES.format(defaults=", ".join(DEFAULT_SERVICES)))
    yield from entry("listen", _LISTEN)
    for name in sorted(registry.builtin):
        yield from _service(registry.services[name])
    yield heading("[service.NAME]")
    yield from prose(_OWN)
    for setting in SERVICE_SETTINGS:
        yield from _setting(setting, setting.default)
    yield heading("EXAMPLE")
    yield from listing(_EXAMPLE.splitlines())
    yield heading("FILES")
    yield from entry("/etc/netsvc/netsvc.toml", "what netsvc.service and netsvc-activated.service read.")
    yield heading("SEE ALSO")
    yield ".BR netsvc (1),"
    yield ".BR twistd (1)"


def _service(service: NetService) -> Iterator[str]:
    yield subheading(f"[{service.name}]")
    text = f"{service.summary[:1].upper()}{service.summary[1:]}."
    if service.port is not None:
        text += f" Its default port is {service.port}."
    yield from prose(text)
    for setting in service.settings:
        yield from _setting(setting, setting.default)
    for limit in settings_of(Limits):
        if limit.name in service.limits:
            yield from _setting(limit, limit.read(service.limits[limit.name]))


def _setting(setting: Setting, value: Any) -> Iterator[str]:
    reason = f"{setting.unit}: {setting.reason}" if setting.unit else setting.reason
    text = f"{reason[:1].upper()}{reason[1:]}."
    if setting.type is not str or setting.choices:
        text += f"\n\nExpected: {setting.expected}."
    yield from entry(f"{setting.name} = {toml_value(value)}", text)


if __name__ == "__main__":
    main()
