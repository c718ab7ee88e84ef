"""The daemon by another name."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from netsvc.commands.serve import twistd_arguments
from tests.commands.programs import NETSVC, netsvc
from tests.live.daemon import PATIENCE, TWISTD, refused


def test_the_short_form_of_help_is_known_here_too() -> None:
    assert twistd_arguments(("--echo", "0", "-h"))[4:] == ["--echo", "0", "--help"]


def test_options_are_passed_on_as_they_are() -> None:
    assert twistd_arguments(("--echo", "0", "--", "-h")) == [
        *("twistd", "-n", "--pidfile=", "netsvc"),
        *("--echo", "0", "--", "-h"),
    ]


@pytest.mark.live
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_the_daemons(option: str) -> None:
    of_twistd = subprocess.run(
        [TWISTD, "-n", "--pidfile=", "netsvc", option], capture_output=True, timeout=PATIENCE, check=True
    )
    assert netsvc("serve", option) == (0, of_twistd.stdout, "")


@pytest.mark.live
@pytest.mark.parametrize("arguments", [["--nope"], ["stray"], ["--", "stray"], ["--config", "/no/such"]])
def test_what_the_daemon_refuses_is_refused_in_its_words(tmp_path: Path, arguments: list[str]) -> None:
    status, output, errors = refused(tmp_path, *arguments)
    assert netsvc("serve", *arguments) == (status, output.encode(), errors)
    assert status == 1


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_leaves_no_pid_file(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [NETSVC, "serve", "--echo", "127.0.0.1:0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "netsvc is ready" in line:
                break
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(PATIENCE) == -number
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
