"""What is installed, as the command shows it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from netsvc.commands.services import described, explained, row_of
from netsvc.registry import Registry, discover
from netsvc.service import NetService, Setting
from netsvc.settings import TABLES, Limits, Net, settings_of
from tests.commands.programs import in_terminal, netsvc

SHOUT = NetService(
    name="shout",
    summary="Answers in capitals\x1b[2J",
    stream="shout.ShoutFactory",
    settings=(Setting("times", int, 1, unit="repeats", reason="how often it shouts", minimum=1, maximum=9),),
    limits={"deny": ["192.0.2.0/24"]},
)
REGISTRY = Registry({"shout": SHOUT}, ("shout",), {"netsvc_broken": "no"}, {"shout": "twisted.plugins.x"})


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with one more service, of no distribution, and a plugin that cannot be imported."""
    site = tmp_path_factory.mktemp("site")
    directory = site / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "netsvc_broken.py").write_text("import no_such_module\n")
    (directory / "netsvc_shout.py").write_text(
        "from netsvc.service import NetService\n"
        "shout = NetService('shout', 'Answers in capitals', port=7001, stream='shout.Factory')\n"
    )
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))}


def test_a_service_without_a_default_port_has_none() -> None:
    name, options, port, transports, source, _ = row_of(REGISTRY, SHOUT)
    assert (name, options, port, transports) == ("shout", "--shout", "", "stream")
    assert source.startswith("netsvc ")


def test_everything_of_a_setting_is_explained() -> None:
    lines = list(explained(REGISTRY))
    assert "  times = 1" in lines
    assert "      a whole number of repeats from 1 to 9" in lines
    assert "      repeats: how often it shouts" in lines
    assert '  deny = ["192.0.2.0/24"] (its own value for [limits])' in lines
    assert all(line.isprintable() for line in lines)


def test_every_setting_of_netsvcs_own_tables_is_explained() -> None:
    lines = list(explained(REGISTRY))
    for name, table in TABLES.items():
        for setting in settings_of(table):
            assert f"[{name}]" in lines
            assert any(line.startswith(f"  {setting.name} = ") for line in lines)


def test_json_has_every_setting() -> None:
    found = json.loads(json.dumps(described(REGISTRY)))
    assert found["left_out"] == {"netsvc_broken": "no"}
    (shout,) = found["services"]
    assert shout["port"] is None
    assert shout["limits"] == {"deny": ["192.0.2.0/24"]}
    assert shout["settings"] == [
        {
            "name": "times",
            "type": "int",
            "default": 1,
            "unit": "repeats",
            "reason": "how often it shouts",
            "choices": [],
            "minimum": 1,
            "maximum": 9,
            "expected": "a whole number of repeats from 1 to 9",
        }
    ]
    assert len(found["tables"]["limits"]) == len(settings_of(Limits))
    assert [one["name"] for one in found["tables"]["net"]] == [one.name for one in settings_of(Net)]


@pytest.mark.live
def test_every_installed_service_has_a_row_and_left_out_plugins_are_named(plugins: dict[str, str]) -> None:
    status, output, errors = netsvc("services", environment=plugins)
    assert status == 0
    _, *rows = output.decode().splitlines()
    names = [row.split()[0] for row in rows]
    assert names == [*discover().services, "shout"]
    assert rows[-1].split()[1:5] == ["--shout", "7001", "stream", "twisted.plugins.netsvc_shout"]
    assert rows[0].split()[1:3] == ["--timestamp", "--tcp"]
    assert errors == (
        "netsvc: plugin netsvc_broken is left out: ModuleNotFoundError: No module named 'no_such_module'\n"
    )


@pytest.mark.live
def test_verbose_json_and_a_terminal(plugins: dict[str, str], tmp_path: Path) -> None:
    status, output, _ = netsvc("services", "--json", environment=plugins)
    assert status == 0
    assert "shout" in [one["name"] for one in json.loads(output)["services"]]
    status, output, errors = netsvc("services", "--verbose")
    assert (status, errors) == (0, "")
    assert b"  idle_timeout = 900.0\n" in output
    with in_terminal("services") as terminal:
        status, shown = terminal.end()
    assert status == 0
    assert "───" in shown
