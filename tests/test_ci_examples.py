"""The examples for CI at work, and the page that shows them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE
from tests.ports import free_port

pytestmark = pytest.mark.live

TREE = Path(__file__).parent.parent
EXAMPLES = TREE / "examples" / "ci"
PAGE = TREE / "docs" / "ci.md"

#: The commands that a reader is told to run, by the page and by the job.
TOLD = re.findall(r"^    \$ (.+)$", PAGE.read_text(), re.M)
JOB = re.findall(r"^ +- run: (.+)$", (EXAMPLES / "github-actions.yml").read_text(), re.M)

#: What is done by whoever runs this.
INSTALL = "pip install netsvc pytest pytest-xdist"


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the directory."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "ci"))


def test_the_page_and_the_job_tell_the_same_commands() -> None:
    assert TOLD[0] == JOB[0] == INSTALL
    assert set(JOB) <= set(TOLD)


@pytest.mark.parametrize("command", sorted({*TOLD, *JOB} - {INSTALL}))
def test_a_command_does_what_it_should(examples: Path, command: str) -> None:
    program, *arguments = command.split()
    # Without the plugins of netsvc's own tests, but with those that the reader has installed.
    plugins = ["-p", "netsvc.pytest_plugin", "-p", "xdist"]
    run = [sys.executable, "-m", "pytest", *plugins, *arguments] if program == "pytest" else command.split()
    done = subprocess.run(
        run,
        cwd=examples,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "WEB_PORT": str(free_port()),
            "UDP_PORT": str(free_port()),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("2 passed" if program == "pytest" else "b'kitchen 21.5\\n'") in done.stdout


def test_the_script_fails_where_netsvc_does_not_start(examples: Path) -> None:
    done = subprocess.run(
        ["./check-sensor.sh"],
        cwd=examples,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "WEB_PORT": "no"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.returncode != 0
    assert "WEB" in done.stderr or "--web" in done.stderr


@pytest.mark.parametrize("language", ["python", "sh", "yaml"])
def test_what_the_page_shows_is_what_the_examples_have(language: str) -> None:
    shown = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert shown
    files = [path.read_text() for path in EXAMPLES.iterdir() if path.is_file()]
    for block in shown:
        assert any(block in text for text in files), block
