"""
A daemon for tests: a process of its own on ports that the system chose, which ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What runs unless the options say otherwise: every service that needs no settings.
SERVICES = (
    "timestamp",
    "receiver",
    "clients",
    "echo",
    "greeting",
    "discard",
    "daytime",
    "chargen",
    "time",
    "whoami",
    "chat",
)

#: Where each of them listens: on a port that the system chooses, one number for all of its transports.
WHERE = "127.0.0.1:0"

#: Options that are another name of a service's.
_SHORT = {"tcp": "timestamp", "udp": "receiver"}

#: Seconds that a daemon may take to open its listeners, on a machine that has much else to do.
_START = 60.0

#: Seconds that it may take to end, before it is killed.
_STOP = 5.0

#: Seconds between two looks at whether it is ready.
_LOOK = 0.01

#: Lines of its log that an error shows.
_LINES = 20


class DaemonError(Exception):
    """There is no daemon, or none any more; the text says why, as its log does."""


def arguments_of(options: Sequence[str]) -> list[str]:
    """
    The whole command line of a daemon for tests.

    @param options: what is wanted beside or instead of `SERVICES`: a service that they name listens where
        they say, and nowhere else.
    """
    named = {found[1] for option in options if (found := re.match(r"--([a-z0-9_-]+)(?:=|\Z)", option))}
    taken = {_SHORT.get(name, name) for name in named} | _without(options)
    defaults = [f"--{name}={WHERE}" for name in SERVICES if name not in taken]
    # The first web listener is the one that tests ask.
    return [f"--web={WHERE}", *defaults, *options]


def _without(options: Sequence[str]) -> set[str]:
    """The services that a ``--without`` takes away."""
    words = " ".join(options)
    return set(re.findall(r"--without[= ]([a-z0-9_-]+)", words))


class Daemon:
    """
    A running daemon.

    @ivar places: its listeners, as ``--ready`` tells of them: service, listener, transport, address, port.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        """
        Start it, and wait until every listener is open.

        @param options: see `arguments_of`.
        @raise DaemonError: it does not start.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="netsvc-")
        directory = Path(self._directory.name)
        self._log = directory / "log"
        ready = directory / "ready.json"
        command = [
            sys.executable,
            "-m",
            "netsvc.testing.tethered",
            *arguments_of(options),
            f"--ready={ready}",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
                # Ctrl-C is for pytest, which ends the daemon when it has ended the tests.
                start_new_session=True,
            )
        try:
            self.places: list[dict[str, Any]] = self._wait_for(ready)
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="backslashreplace") if self._log.exists() else ""

    def ended(self) -> DaemonError:
        """What to raise when it does not answer."""
        status = self._process.poll()
        what = "does not answer" if status is None else f"has ended with status {status}"
        last = "\n".join(self.log().splitlines()[-_LINES:])
        return DaemonError(f"the daemon {what}; the end of its log:\n{last}")

    def stop(self) -> None:
        """End it, and take away what it has left."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def _wait_for(self, ready: Path) -> list[dict[str, Any]]:
        deadline = time.monotonic() + _START
        while not ready.exists():
            if not self.alive:
                raise DaemonError(f"the daemon did not start:\n{self.log().strip()}")
            if time.monotonic() > deadline:
                raise DaemonError(f"the daemon was not ready in {_START:g} seconds:\n{self.log().strip()}")
            time.sleep(_LOOK)
        places: list[dict[str, Any]] = json.loads(ready.read_text())
        return places


def _environment() -> Mapping[str, str]:
    """The present one, and a path on which the daemon finds what the tests can import: plugins, factories."""
    path = os.pathsep.join(os.path.abspath(one) for one in sys.path)
    return {**os.environ, "PYTHONPATH": path}
