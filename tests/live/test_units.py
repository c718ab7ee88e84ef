"""The systemd units: systemd's own tools find nothing wrong with them; they say what declarations say."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from netsvc.registry import discover
from netsvc.settings import Net
from tests.live.installation import Installed, installed

__all__ = ["installed"]

UNITS = Path(__file__).parent.parent.parent / "etc" / "systemd"
SERVICES = ["netsvc.service", "netsvc-activated.service"]
SOCKETS = sorted(one.name for one in UNITS.glob("*.socket"))

#: By how much a unit may be exposed, as `systemd-analyze security` counts, in tenths.
EXPOSED = {"netsvc.service": 11, "netsvc-activated.service": 4}


def analyze(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit status of systemd-analyze and what it wrote."""
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def settings(unit: str) -> dict[str, list[str]]:
    """Each setting of a unit with its values, in their order."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.program("systemd-analyze", "man")
def test_systemd_finds_nothing_wrong_with_a_unit(installed: Installed) -> None:
    units = sorted(installed.units.iterdir())
    assert [one.name for one in units] == sorted((*SERVICES, *SOCKETS))
    # It looks for the programs and for the manual pages too.
    manual = {"MANPATH": str(installed.prefix / "share" / "man")}
    assert analyze("verify", *units, environment=manual) == (0, "")


@pytest.mark.program("systemd-analyze")
@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_exposed_to_little(unit: str) -> None:
    threshold = f"--threshold={EXPOSED[unit]}"
    status, text = analyze("security", "--offline=yes", threshold, UNITS / unit)
    assert status == 0, text


@pytest.mark.program("systemd-analyze")
def test_a_service_that_is_exposed_to_more_is_found(tmp_path: Path) -> None:
    unit = tmp_path / "netsvc.service"
    unit.write_text((UNITS / "netsvc.service").read_text().replace("PrivateUsers=yes\n", ""))
    threshold = f"--threshold={EXPOSED['netsvc.service']}"
    status, text = analyze("security", "--offline=yes", threshold, unit)
    assert status == 1, text


def test_both_services_differ_in_their_network_alone() -> None:
    first, second = map(settings, SERVICES)
    apart = {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert apart == {
        "Description",
        "Conflicts",
        "Wants",
        "After",
        "ExecStart",
        "PrivateNetwork",
        "RestrictAddressFamilies",
        "RuntimeDirectory",
        "WantedBy",
    }
    assert second["PrivateNetwork"] == ["yes"]
    assert second["RestrictAddressFamilies"] == ["AF_UNIX"]


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_is_supervised_and_bounded(unit: str) -> None:
    found = settings(unit)
    assert found["Type"] == ["notify"]
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert float(found["TimeoutStopSec"][0]) > Net().shutdown_grace
    assert found["LoadCredential"] == ["token:/etc/netsvc/token"]
    assert {"WatchdogSec", "MemoryMax", "TasksMax", "LimitNOFILE", "SystemCallFilter"} <= found.keys()
    assert not {"MemoryDenyWriteExecute", "ProcSubset"} & found.keys()


def test_every_service_with_a_port_has_a_socket_at_it() -> None:
    declared = {one.name: one for one in discover().services.values() if one.port is not None}
    assert [f"netsvc-{name}.socket" for name in sorted(declared)] == SOCKETS
    for name, service in declared.items():
        found = settings(f"netsvc-{name}.socket")
        assert found["FileDescriptorName"] == [name]
        assert found["Service"] == ["netsvc-activated.service"]
        places = [f"127.0.0.1:{service.port}", f"[::1]:{service.port}"]
        assert found.get("ListenStream", []) == (places if "stream" in service.transports else [])
        assert found.get("ListenDatagram", []) == (places if "datagram" in service.transports else [])
        assert re.search(rf"Description=netsvc {name}: \S", (UNITS / f"netsvc-{name}.socket").read_text())
