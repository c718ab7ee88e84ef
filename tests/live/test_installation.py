"""`make install` and `make uninstall`: what is put where, that it serves there, and what is taken away."""

from __future__ import annotations

import pickle
import re
import subprocess
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, Daemon, read_exactly
from tests.live.installation import Installed, installed, make, with_dependencies

__all__ = ["installed"]

pytestmark = pytest.mark.live


def run(command: list[str | Path], directory: Path) -> str:
    """What a program writes that ends well."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", **with_dependencies()},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout


def serve(directory: Path, *program: Path) -> None:
    """Start an installed daemon and have it answer."""
    command: list[str | Path] = [*program, "serve", "--echo", "tcp://127.0.0.1:0"]
    daemon = Daemon(directory, program=command, environment=with_dependencies())
    try:
        with daemon.connect("echo") as client:
            client.sendall(b"hello")
            assert read_exactly(client, 5) == b"hello"
    finally:
        daemon.stop()
    assert "netsvc.net.fast.reactor.NetsvcReactor" in daemon.log()


def test_what_is_installed_serves(installed: Installed, tmp_path: Path) -> None:
    version = run([installed.prefix / "bin" / "netsvc", "--version"], tmp_path)
    assert re.match(r"netsvc \d+\.\d+\.\d+", version)
    serve(tmp_path, installed.prefix / "bin" / "netsvc")


def test_it_is_netsvc_of_the_environment_that_was_made(installed: Installed, tmp_path: Path) -> None:
    program = "import netsvc.tap, twisted.plugins.netsvc_plugin as p; print(netsvc.tap.__file__, p.__file__)"
    python = installed.prefix / "lib" / "netsvc" / "bin" / "python"
    for path in run([python, "-c", program], tmp_path).split():
        assert Path(path).is_relative_to(installed.prefix)


def test_what_a_daemon_may_not_write_is_there_already(installed: Installed) -> None:
    (cache,) = installed.prefix.rglob("dropin.cache")
    assert "netsvc_plugin" in pickle.loads(cache.read_bytes())
    (package,) = installed.prefix.glob("lib/netsvc/lib/python*/site-packages/netsvc")
    sources = list(package.rglob("*.py"))
    compiled = {one.name.split(".")[0] for one in package.rglob("__pycache__/*.pyc")}
    assert {one.stem for one in sources} <= compiled


def test_units_manual_and_configuration_have_the_places_of_this_installation(installed: Installed) -> None:
    unit = (installed.units / "netsvc.service").read_text()
    assert f"ExecStart={installed.prefix}/bin/netsvc serve" in unit
    assert f"--config {installed.configuration}/netsvc/netsvc.toml" in unit
    assert "/usr/local/bin" not in unit
    assert (installed.configuration / "netsvc" / "netsvc.toml").is_file()
    names = installed.files()
    assert {
        "bin/netsvc",
        "lib/sysusers.d/netsvc.conf",
        "lib/systemd/system/netsvc-activated.service",
        "lib/systemd/system/netsvc-echo.socket",
        "share/man/man1/netsvc.1",
        "share/man/man5/netsvc.toml.5",
    } <= names


def test_for_another_machine_it_is_put_aside_with_its_final_paths(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    make("install", DESTDIR=aside, PREFIX="/opt/netsvc-of-a-test")
    prefix = aside / "opt" / "netsvc-of-a-test"
    assert (aside / "etc" / "netsvc" / "netsvc.toml").is_file()
    assert (
        (prefix / "bin" / "netsvc").read_text().startswith("#!/opt/netsvc-of-a-test/lib/netsvc/bin/python\n")
    )
    found = subprocess.run(["grep", "-rlF", aside, aside], capture_output=True, text=True, check=False)
    assert found.stdout == "", "nothing knows where it is for now"
    # It serves from there all the same, with the interpreter named.
    work = tmp_path / "work"
    work.mkdir()
    serve(work, prefix / "lib/netsvc/bin/python", prefix / "bin/netsvc")
    make("uninstall", DESTDIR=aside, PREFIX="/opt/netsvc-of-a-test")
    assert [one for one in aside.rglob("*") if not one.is_dir()] == []


def test_what_somebody_changed_or_added_stays(tmp_path: Path) -> None:
    mine = Installed(tmp_path)
    places = {"PREFIX": mine.prefix, "SYSCONFDIR": mine.configuration}
    configuration = mine.configuration / "netsvc" / "netsvc.toml"
    before = mine.files()
    default = configuration.read_text()

    # Unchanged, it is the new one after an upgrade.
    configuration.write_text("# an older one\n")
    (mine.prefix / "share/netsvc/netsvc.toml").write_text("# an older one\n")
    make("install", **places)
    assert configuration.read_text() == default

    configuration.write_text("[echo]\nlisten = 7007\n")
    others = mine.prefix / "bin" / "another-program"
    others.write_text("")
    said = make("install", **places)
    assert f"{configuration} has been changed and stays" in said
    assert configuration.read_text() == "[echo]\nlisten = 7007\n"
    assert mine.files() == {*before, "bin/another-program"}

    said = make("uninstall", **places)
    assert f"{configuration} has been changed and stays" in said
    assert configuration.is_file()
    assert mine.files() == {"bin/another-program"}
    # A second time there is nothing to do.
    make("uninstall", **places)
