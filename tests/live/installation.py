"""
`make install`, without a package index: what netsvc needs is taken from the environment that runs the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent

#: Seconds that installing may take; far more than it does.
PATIENCE = 300


def make(target: str, **variables: object) -> str:
    """
    Run a target of the Makefile.

    @param variables: of the Makefile.
    @return: what it wrote.
    """
    # -o: the environment that runs this test is not to be made anew by it.
    command = ["make", "-s", "-o", ".venv/ready-to-run", target]
    done = subprocess.run(
        [*command, *(f"{name}={value}" for name, value in variables.items())],
        cwd=TREE,
        env={
            **os.environ,
            "PIP_ARGS": "--no-index --no-deps --no-build-isolation",
            "PYTHON": sys.executable,
            **with_dependencies(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def with_dependencies() -> Mapping[str, str]:
    """The environment in which what was installed finds what it needs; netsvc itself is not there."""
    return {"PYTHONPATH": sysconfig.get_path("purelib")}


class Installed:
    """
    An installation with a prefix of its own.

    @ivar prefix: PREFIX.
    @ivar configuration: SYSCONFDIR.
    """

    def __init__(self, directory: Path) -> None:
        self.prefix = directory / "prefix"
        self.configuration = directory / "etc"
        make("install", PREFIX=self.prefix, SYSCONFDIR=self.configuration)

    @property
    def units(self) -> Path:
        """The directory of the units."""
        return self.prefix / "lib" / "systemd" / "system"

    def files(self) -> set[str]:
        """What there is, below the prefix."""
        return {str(one.relative_to(self.prefix)) for one in self.prefix.rglob("*") if not one.is_dir()}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """One that is not to be changed."""
    return Installed(tmp_path_factory.mktemp("installed"))
