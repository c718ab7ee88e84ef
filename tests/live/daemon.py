"""
A real daemon for tests: twistd as its own process, on ports that the system chose.

Everything waits for an event with a deadline: for a line of the log, for the end of the process.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Seconds that anything here may take; far more than it does, so that a busy machine fails no test.
PATIENCE = 30.0

#: twistd of the environment that runs the tests.
TWISTD = str(Path(sys.executable).parent / "twistd")


class Daemon:
    """
    A running ``twistd -n netsvc``.

    @ivar process: the process.
    @ivar lines: the log so far.
    @ivar places: what ``--ready`` wrote, a list of dictionaries.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        twistd: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        program: Sequence[str | Path] = (),
        **options: Any,
    ) -> None:
        """
        @param directory: its working directory; an empty one.
        @param arguments: behind ``netsvc``.
        @param twistd: before ``netsvc``, such as ``--uid``.
        @param environment: added to the present one.
        @param program: stands before the arguments, instead of twistd and ``netsvc``.
        @param options: for Popen, such as ``preexec_fn`` for a limit.
        """
        self._ready = directory / "ready.json"
        begun = program or [TWISTD, "-n", "--pidfile=", *twistd, "netsvc"]
        command = [*begun, *arguments, "--ready", str(self._ready)]
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="surrogateescape",
            **options,
        )
        self.lines: list[str] = []
        self._fresh: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for_line("netsvc is ready")
        except AssertionError:
            self.stop()
            raise
        self.places: list[dict[str, Any]] = json.loads(self._ready.read_text())

    def port(self, service: str, transport: str = "tcp") -> int:
        """The port of a service, the same on all its addresses."""
        found = {p["port"] for p in self.places if (p["service"], p["transport"]) == (service, transport)}
        assert len(found) == 1, (service, transport, self.places)
        return int(found.pop())

    def path(self, service: str, transport: str = "unix") -> str:
        """The path of a service's UNIX socket; ``unix-datagram`` is the other transport that has one."""
        found = [p["address"] for p in self.places if (p["service"], p["transport"]) == (service, transport)]
        assert len(found) == 1, (service, transport, self.places)
        return str(found[0])

    def connect(self, service: str, host: str = "127.0.0.1") -> socket.socket:
        """A TCP connection to a service."""
        return socket.create_connection((host, self.port(service)), PATIENCE)

    @contextmanager
    def datagrams(self, service: str, host: str = "127.0.0.1") -> Iterator[socket.socket]:
        """A UDP socket that talks to a service."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.connect((host, self.port(service, "udp")))
            yield sock

    def wait_for_line(self, pattern: str) -> str:
        """
        The first line of the log, from the beginning on, that has a pattern in it; waits until there is one.

        @raise AssertionError: there was none in time, or the log has ended.
        """
        deadline = time.monotonic() + PATIENCE
        looked_at = 0
        while True:
            for line in self.lines[looked_at:]:
                looked_at += 1
                if re.search(pattern, line):
                    return line
            try:
                line_or_end = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} in: {self.log()}") from None
            if line_or_end is None:
                self._fresh.put(None)
                if looked_at >= len(self.lines):
                    raise AssertionError(f"the log ended without {pattern!r}: {self.log()}")

    def log(self) -> str:
        """The log so far."""
        return "".join(self.lines)

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; gives the exit status, negative for a signal."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> None:
        """End it as an administrator would, and at last by force."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self._reader.join(PATIENCE)
        self.process.stdout.close()

    def memory(self) -> int:
        """Bytes of memory that the process has resident."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """The most bytes of memory that the process had resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let the peak begin anew from what is resident now (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _status(self, key: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{key}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._fresh.put(line)
        self._fresh.put(None)


@contextmanager
def running(directory: Path, *arguments: str, **options: Any) -> Iterator[Daemon]:
    """A daemon for the time of a with statement; the arguments are `Daemon`'s."""
    daemon = Daemon(directory, *arguments, **options)
    try:
        yield daemon
    finally:
        daemon.stop()


def refused(directory: Path, *arguments: str, twistd: Sequence[str] = ("-n",)) -> tuple[int, str, str]:
    """
    Start a daemon that will not start.

    @return: exit status, standard output, standard error.
    """
    command = [TWISTD, "--pidfile=", *twistd, "netsvc", *arguments]
    done = subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stdout, done.stderr


def eventually(holds: Callable[[], bool]) -> None:
    """
    Wait until something holds that tells nobody when it begins to, such as a number of the system's.

    @raise AssertionError: it did not in time.
    """
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.02)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end of the stream."""
    received = bytearray()
    while data := sock.recv(1 << 16):
        received += data
    return bytes(received)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """So many bytes; fewer only at the end of the stream."""
    received = bytearray()
    while len(received) < size and (data := sock.recv(size - len(received))):
        received += data
    return bytes(received)
