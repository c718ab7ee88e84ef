"""The log of a real daemon in each of its forms, while peers put whatever they like into it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, TWISTD, Daemon, eventually, read_all, running

pytestmark = pytest.mark.live

#: What would begin a line, act on a terminal, or show an event's fields.
HOSTILE = b"{line}{x!r} %s\r\n<0>\x1b[2J\0\x07\x7f" + "\x85\u2028\u202e é".encode() + b"\xff"

#: How many times it is sent: fewer than log_rate lets through in a second.
TIMES = 20

#: journald's socket is what both outputs are; the shell finds out which that is, and says so as systemd does.
_JOURNAL = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"'

_BEGINNINGS = {
    "text": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[\w.]+#\w+\] "),
    "journal": re.compile(r"<[2-7]>\[[\w.]+\] "),
    "json": re.compile(r'\{"time": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "level": "\w+", "namespace": "'),
}


def receiver(daemon: Daemon, directory: Path) -> str:
    """Datagrams and streams full of it."""
    with daemon.datagrams("receiver") as sock:
        for _ in range(TIMES // 2):
            sock.send(HOSTILE)
    for _ in range(TIMES // 2):
        with daemon.connect("receiver") as sock:
            sock.sendall(HOSTILE)
    return "Got message from"


def client_path(daemon: Daemon, directory: Path) -> str:
    """The path of a UNIX socket, which its owner chooses."""
    for number in range(TIMES):
        # From there, because a path has room for little more than the name.
        with chdir(directory), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(b"%d" % number + HOSTILE.replace(b"\0", b""))
            sock.connect(daemon.path("receiver", "unix-datagram"))
            sock.send(b"hello")
    return "Got message from"


def proxy_header(daemon: Daemon, directory: Path) -> str:
    """A header that is none: the refusal is told."""
    port = next(place["port"] for place in daemon.places if place["service"] == "discard")
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        sock.sendall(b"PROXY " + HOSTILE)
        with suppress(ConnectionResetError):
            read_all(sock)
    return "refused"


@pytest.mark.parametrize("form", ["text", "journal", "json"])
@pytest.mark.parametrize("fill", [receiver, client_path, proxy_header])
def test_every_event_is_one_line_of_printable_characters(
    fill: Callable[[Daemon, Path], str], form: str, tmp_path: Path
) -> None:
    work = tmp_path / "w"
    work.mkdir()
    options = ["--udp=0", "--receiver=tcp://127.0.0.1:0", f"--receiver=unix-datagram://{tmp_path}/receiver"]
    options.append("--discard=tcp://127.0.0.1:0?proxy=required")
    if form == "json":
        options.append("--set=log.format=json")
    twistd = [TWISTD, "-n", "--pidfile=", "netsvc"]
    # The journal is found out by itself.
    program = ["/bin/sh", "-c", _JOURNAL, "sh", *twistd] if form == "journal" else twistd
    with running(work, *options, program=program) as daemon:
        word = fill(daemon, tmp_path)
        times = 1 if fill is proxy_header else TIMES
        eventually(lambda: sum(word in line for line in daemon.lines) >= times)
        daemon.signal(signal.SIGTERM)
        daemon.process.wait(PATIENCE)
        daemon.wait_for_line("Server Shut Down")
    assert sum(word in line for line in daemon.lines) == times
    for line in daemon.lines:
        assert _BEGINNINGS[form].match(line), line
        assert line[:-1].isprintable()
    if form == "json":
        read = [json.loads(line) for line in daemon.lines]
        assert {"time", "level", "namespace", "text"} <= set.intersection(*(set(one) for one in read))


def test_a_log_file_keeps_its_bounds_under_load(tmp_path: Path) -> None:
    settings = ["--set=log.file_size=10000", "--set=log.files=2", "--set=limits.log_rate=100000"]
    logs, ready = tmp_path / "logs", tmp_path / "ready"
    logs.mkdir()
    command = [TWISTD, "-n", "--pidfile=", f"--logfile={logs}/log", "netsvc", f"--ready={ready}"]
    process = subprocess.Popen([*command, "--udp=udp://127.0.0.1:0", *settings], stdin=subprocess.DEVNULL)
    with process, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            eventually(ready.exists)
            sock.connect(("127.0.0.1", json.loads(ready.read_text())[0]["port"]))
            for number in range(500):
                sock.send(b"%d " % number + b"x" * 100)
            eventually(lambda: any(b"499 x" in one.read_bytes() for one in logs.iterdir()))
        finally:
            process.terminate()
    assert sorted(one.name for one in logs.iterdir()) == ["log", "log.1", "log.2"]
    assert sum(one.stat().st_size for one in logs.iterdir()) < 3 * 11_000
