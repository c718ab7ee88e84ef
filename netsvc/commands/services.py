"""
``netsvc services``: what is installed, from the declarations and from nothing else: no service is imported.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from netsvc.commands.inert import inert
from netsvc.commands.logged import complain_of_left_out, warnings_to_stderr
from netsvc.commands.printing import show_table
from netsvc.commands.standard_output import write_line
from netsvc.registry import Registry, discover
from netsvc.service import NetService
from netsvc.settings import TABLES, Limits, Networks, Setting, settings_of

_HEAD = ("name", "options", "port", "transports", "from", "does")

#: Options that stand for one side of a service, by the service's name.
_SIDES = {"timestamp": "--tcp", "receiver": "--udp"}

_LIMITS = {one.name: one for one in settings_of(Limits)}

_WIDTH = 100


def options_of(service: NetService) -> list[str]:
    """The options of the command line that start a service."""
    return [f"--{service.name}", *([_SIDES[service.name]] if service.name in _SIDES else [])]


def transports_of(service: NetService) -> list[str]:
    """The sides that a service has, streams first."""
    return sorted(service.transports, reverse=True)


def row_of(registry: Registry, service: NetService) -> tuple[str, ...]:
    """A service as the cells of a table."""
    return (
        service.name,
        " ".join(options_of(service)),
        "" if service.port is None else str(service.port),
        ", ".join(transports_of(service)),
        registry.source(service.name),
        service.summary,
    )


def described(registry: Registry) -> dict[str, Any]:
    """
    Everything, ready for JSON.

    @return: ``services``, ``tables`` (netsvc's own) and ``left_out``.
    """
    return {
        "services": [_service(registry, service) for service in registry.services.values()],
        "tables": {name: _settings(settings_of(table)) for name, table in TABLES.items()},
        "left_out": dict(registry.left_out),
    }


def explained(registry: Registry) -> Iterator[str]:
    """Lines that explain every setting of the services and of netsvc's own tables."""
    for service in registry.services.values():
        yield inert(f"{service.name}: {service.summary}")
        for label, text in zip(_HEAD[1:5], row_of(registry, service)[1:5], strict=True):
            yield inert(f"  {label}: {text or 'none'}")
        for setting in service.settings:
            yield from _explained(setting, setting.default)
        for name, value in service.limits.items():
            yield from _explained(_LIMITS[name], value, " (its own value for [limits])")
        yield ""
    for name, table in TABLES.items():
        settings = settings_of(table)
        if settings:
            yield f"[{name}]"
            for setting in settings:
                yield from _explained(setting, setting.default)
            yield ""


@click.command("services")
@click.option(
    "--verbose", "-v", is_flag=True, help="Explain every setting, those of netsvc's own tables too."
)
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one object of JSON.")
def command(verbose: bool, as_json: bool) -> None:
    """
    Show the installed services: their options, default ports and transports, and where each comes from.

    A plugin that cannot be used is named on standard error.
    """
    warnings_to_stderr()
    registry = discover()
    complain_of_left_out(registry)
    if as_json:
        write_line(json.dumps(described(registry), indent=2 if sys.stdout.isatty() else None))
    elif verbose:
        write_line("\n".join(explained(registry)).rstrip())
    else:
        show_table(_HEAD, [row_of(registry, service) for service in registry.services.values()])


def _explained(setting: Setting, default: Any, note: str = "") -> Iterator[str]:
    yield inert(f"  {setting.name} = {_text(default)}{note}")
    about = f"{setting.unit}: {setting.reason}" if setting.unit else setting.reason
    for text in (setting.expected, about):
        for line in textwrap.wrap(inert(text), _WIDTH - 6, break_on_hyphens=False):
            yield f"      {line}"


def _service(registry: Registry, service: NetService) -> dict[str, Any]:
    return {
        "name": service.name,
        "summary": service.summary,
        "options": options_of(service),
        "port": service.port,
        "transports": transports_of(service),
        "from": registry.source(service.name),
        "module": registry.modules[service.name],
        "settings": _settings(service.settings),
        "limits": {name: _plain(_LIMITS[name].read(value)) for name, value in service.limits.items()},
    }


def _settings(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "type": "networks" if one.type is Networks else one.type.__name__,
            "default": _plain(one.default),
            "unit": one.unit,
            "reason": one.reason,
            "choices": list(one.choices),
            "minimum": one.minimum,
            "maximum": one.maximum,
            "expected": one.expected,
        }
        for one in settings
    ]


def _plain(value: Any) -> Any:
    return value.texts() if isinstance(value, Networks) else value


def _text(value: Any) -> str:
    """A value as the configuration file would have it."""
    return json.dumps(_plain(value), ensure_ascii=False)
