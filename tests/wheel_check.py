"""
Shows that netsvc works where only its wheel is: built here, installed in a clean environment elsewhere, and
used from an empty directory as a first user would. Run it as ``make wheel-check``.

It is no part of the tests, because it fetches from the package index what the wheel needs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TREE = Path(__file__).parent.parent

#: Seconds that the daemon may take to start, to log a message and to end.
PATIENCE = 60

#: What the time-stamping echo answers to ``hello``.
STAMPED = re.compile(rb"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] hello")


class CheckError(Exception):
    """The wheel does not do what it should; the text says what."""


def say(text: str) -> None:
    """Tell whoever watches how far the check is."""
    sys.stdout.write(f"wheel-check: {text}\n")
    sys.stdout.flush()


def environment() -> dict[str, str]:
    """This process's environment without what would let Python look outside the clean environment."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def run(command: list[str | Path], cwd: Path) -> str:
    """
    Run a command to its end.

    @return: what it wrote.
    @raise CheckError: it failed; with all that it wrote.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CheckError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


class Daemon:
    """A running twistd."""

    def __init__(self, command: list[str | Path], cwd: Path) -> None:
        self._log = cwd / "output"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        """
        Wait until something holds.

        @param what: what is waited for, for the error.
        @raise CheckError: the daemon ended, or `PATIENCE` did, before it held.
        """
        for _ in range(PATIENCE * 20):
            if is_there():
                return
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise CheckError(f"the daemon ended before {what}:\n{self.log()}")
        raise CheckError(f"no {what}; the daemon's log:\n{self.log()}")

    def log(self) -> str:
        """All that it wrote so far."""
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        """
        Tell it to end and wait until it has.

        @raise CheckError: it did not end as a process ends on SIGTERM.
        """
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(PATIENCE)
        if status != -signal.SIGTERM:
            raise CheckError(f"after SIGTERM the daemon ended with status {status}:\n{self.log()}")

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()


@contextmanager
def daemon(command: list[str | Path], cwd: Path) -> Iterator[Daemon]:
    """A daemon that is gone when the block ends, and must end well if the block did."""
    cwd.mkdir()
    started = Daemon(command, cwd)
    try:
        yield started
        started.end()
    finally:
        started.kill()


def answers(port: int) -> bool:
    """
    Whether a time-stamping echo answers on a TCP port of 127.0.0.1; False where nothing listens there.

    @raise CheckError: something answers otherwise.
    """
    try:
        client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    except ConnectionRefusedError:
        return False
    with client:
        client.sendall(b"hello")
        answer = client.recv(1024)
    if not STAMPED.fullmatch(answer):
        raise CheckError(f"the answer to hello was {answer!r}")
    return True


def check_messages(started: Daemon, tcp_port: int, udp_port: int) -> None:
    """Send a running daemon one message over TCP and one over UDP and see what becomes of them."""
    started.wait_for("answer over TCP", lambda: answers(tcp_port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.sendto(b"Hello you there!", ("127.0.0.1", udp_port))
        line = f"Got message from {client.getsockname()!r}: b'Hello you there!'"
        started.wait_for(f"log line {line}", lambda: line in started.log())


def check_free_ports(twistd: Path, cwd: Path) -> None:
    """The daemon on ports that the system chooses, read from the file that says it is ready."""
    ready = cwd / "ready.json"
    options: list[str | Path] = ["--tcp", "0", "--udp", "0", "--ready", ready]
    with daemon([twistd, "-n", "netsvc", *options], cwd) as started:
        started.wait_for("file of --ready", ready.exists)
        listeners: list[dict[str, Any]] = json.loads(ready.read_text())
        ports = {(one["transport"], one["address"]): one["port"] for one in listeners}
        check_messages(started, ports["tcp", "127.0.0.1"], ports["udp", "127.0.0.1"])


def check_usual_ports(twistd: Path, cwd: Path) -> None:
    """The daemon as the README's first session starts it, word for word."""
    with daemon([twistd, "-n", "netsvc", "--tcp", "8009", "--udp", "6667"], cwd) as started:
        check_messages(started, 8009, 6667)


def is_free(kind: socket.SocketKind, port: int) -> bool:
    """Whether nothing else has a port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check(place: Path) -> None:
    """
    Do all of it.

    @param place: an empty directory.
    @raise CheckError: something is not as it should be.
    """
    run([sys.executable, "-m", "build", "--wheel", "--outdir", place, TREE], place)
    (wheel,) = place.glob("*.whl")
    say(f"built {wheel.name}")

    run([sys.executable, "-m", "venv", place / "venv"], place)
    commands = place / "venv" / "bin"
    run([commands / "python", "-m", "pip", "install", "--quiet", "--no-input", wheel], place)
    say("installed it in a clean environment")

    if not re.search(r"^ *netsvc +\S", run([commands / "twistd", "--help"], place), re.MULTILINE):
        raise CheckError("twistd --help does not list netsvc")
    say("twistd --help lists netsvc")

    check_free_ports(commands / "twistd", place / "free")
    say("twistd -n netsvc --tcp 0 --udp 0 answered over TCP, took a UDP message and ended on SIGTERM")

    if is_free(socket.SOCK_STREAM, 8009) and is_free(socket.SOCK_DGRAM, 6667):
        check_usual_ports(commands / "twistd", place / "usual")
        say("twistd -n netsvc --tcp 8009 --udp 6667 did the same")
    else:
        say("ports 8009 and 6667 are in use: the same was not tried with them")


def main() -> None:
    """
    Run the check.

    @raise SystemExit: with what is wrong, where something is.
    """
    with TemporaryDirectory(prefix="netsvc-wheel-") as place:
        try:
            check(Path(place))
        except CheckError as error:
            raise SystemExit(f"wheel-check: {error}") from None


if __name__ == "__main__":
    main()
