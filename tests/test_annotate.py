"""The annotated configuration file: it is the definitions, and it is a configuration."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from netsvc.annotate import annotated
from netsvc.configuration import SERVICE_SETTINGS, CommandLine, configuration_of
from netsvc.registry import Registry, discover
from netsvc.service import NetService, Setting
from netsvc.settings import TABLES, Limits, Networks, settings_of

FILE = Path(__file__).parents[1] / "etc" / "netsvc.toml"


@pytest.fixture(scope="module")
def own() -> Registry:
    """netsvc's own services and no others, whatever is installed."""
    found = discover()
    return Registry({name: found.services[name] for name in found.builtin}, found.builtin)


def uncommented(text: str) -> str:
    """The file with every setting set."""
    return re.sub(r"^#(?=[^ \n])", "", text, flags=re.MULTILINE)


def test_the_file_in_the_tree_is_the_one_that_the_definitions_make(own: Registry) -> None:
    assert FILE.read_text(encoding="utf-8") == annotated(own), (
        "run: python -m netsvc.annotate > etc/netsvc.toml"
    )


def test_it_sets_nothing(own: Registry) -> None:
    assert tomllib.loads(annotated(own)) == {}


def test_uncommented_it_is_a_configuration_of_nothing_but_defaults(own: Registry) -> None:
    document = tomllib.loads(uncommented(annotated(own)))
    configuration = configuration_of(CommandLine(), own, document, "it")
    listening = [name for name in own.builtin if own.services[name].port is not None]
    assert [one.service.name for one in configuration.services] == [*listening, "example"]
    everything = configuration_of(CommandLine(all=True), own)
    assert configuration.net == everything.net
    assert configuration.tls == everything.tls
    assert configuration.limits == everything.limits
    assert configuration.timeline == everything.timeline
    for given, default in zip(configuration.services, everything.services, strict=False):
        assert (given.settings, given.limits) == (default.settings, default.limits)
        assert [one.where for one in given.listen] == [one.where for one in default.listen]


def test_every_setting_is_there_with_its_reason(own: Registry) -> None:
    text = annotated(own)
    document = tomllib.loads(uncommented(text))
    prose = " ".join(text.replace("#", " ").split()).lower()
    for name, table in TABLES.items():
        assert list(document[name]) == [one.name for one in settings_of(table)]
    for name, service in own.services.items():
        listen = [] if service.port is None else ["listen"]
        assert list(document[name]) == [*listen, *(one.name for one in service.settings), *service.limits]
    definitions = [*SERVICE_SETTINGS, *(one for table in TABLES.values() for one in settings_of(table))]
    definitions += [one for service in own.services.values() for one in service.settings]
    for one in definitions:
        assert " ".join(one.reason.split()).lower() in prose


def test_no_line_is_longer_than_a_page_is_wide(own: Registry) -> None:
    assert max(map(len, annotated(own).splitlines())) <= 100


def test_a_plugins_service_is_there_too_whatever_its_texts_hold() -> None:
    odd = NetService(
        "odd",
        "two\nlines\x07 [and] = \x7f",
        stream="a.B",
        settings=[
            Setting("text", str, 'a "quoted"\r\n\x00\x7f\\ text \N{PILE OF POO}', reason="#!\n\n[x]\n= 'odd"),
            Setting("texts", list, ["", "'"], reason=""),
        ],
        limits={"deny": ["192.0.2.0/24"], "idle_timeout": 1},
    )
    registry = Registry({"odd": odd})
    document = tomllib.loads(uncommented(annotated(registry)))
    assert document["odd"] == {
        "text": odd.settings[0].default,
        "texts": ["", "'"],
        "idle_timeout": 1.0,
        "deny": ["192.0.2.0/24"],
    }
    document["odd"]["listen"] = "7"
    configured = configuration_of(CommandLine(), registry, document, "it").services[0]
    assert configured.limits.deny == Networks.of("192.0.2.0/24")
    assert configured.limits.trusted == Limits().trusted


def test_the_module_prints_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netsvc.annotate"],
        capture_output=True,
        check=True,
        timeout=60,
        encoding="utf-8",
    )
    assert done.stdout == annotated(discover())
