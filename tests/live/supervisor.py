"""A service supervisor for tests: it listens on a NOTIFY_SOCKET, as systemd does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.live.daemon import PATIENCE


class Supervisor:
    """What it hears is what the daemon says, a message at a time."""

    def __init__(self, directory: Path, watchdog: float = 0.0) -> None:
        """
        @param directory: for the socket.
        @param watchdog: seconds within which it wants to hear WATCHDOG=1; 0 never.
        """
        self._path = str(directory / "notify")
        self._watchdog = watchdog
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self._path)
        self.heard: list[list[str]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """For the daemon. There is no WATCHDOG_PID, because that is not known before there is a process."""
        found = {"NOTIFY_SOCKET": self._path}
        if self._watchdog:
            found["WATCHDOG_USEC"] = str(round(self._watchdog * 1e6))
        return found

    def wait_for(self, line: str) -> list[str]:
        """
        The first message from now on with a line in it; what comes before is in `heard`.

        @raise AssertionError: it did not come in time.
        """
        while True:
            message = self.next(PATIENCE)
            assert message is not None, f"no {line} behind {self.heard}"
            if line in message:
                return message

    def next(self, seconds: float) -> list[str] | None:
        """The next message; None where none comes for so long."""
        self._sock.settimeout(seconds)
        try:
            message = self._sock.recv(4096).decode().split("\n")
        except TimeoutError:
            return None
        self.heard.append(message)
        return message

    def drain(self) -> list[list[str]]:
        """What was said and not yet heard."""
        self._sock.setblocking(False)
        found = []
        while True:
            try:
                found.append(self._sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                self.heard += found
                return found

    def close(self) -> None:
        """Listen no more."""
        self._sock.close()
        os.unlink(self._path)
