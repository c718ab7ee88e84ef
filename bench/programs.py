"""Real programs that echo, where they are installed: how each is started, and why one cannot be."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.daemon import eventually

#: The port of echo (RFC 862), on which alone inetutils' inetd echoes itself.
_ECHO = 7

#: Connections that ncat lets in, and that inetd allows in a minute: more than the load makes.
_MOST = 1_000_000

_PROGRAMS = {"ncat": "ncat", "socat": "socat", "inetd": "inetutils-inetd"}


def missing(name: str) -> str:
    """Why one cannot be measured here; empty where it can."""
    if _found(name) is None:
        return f"{_PROGRAMS[name]} is not installed"
    if name == "inetd" and (os.geteuid() or _is_taken(_ECHO)):
        return "its echo has port 7, which takes root and must be free"
    return ""


@contextmanager
def started(name: str) -> Iterator[tuple[int, int]]:
    """
    One of them for the time of a with statement.

    @param name: ``ncat``, ``socat`` or ``inetd``.
    @return: its process id and its port on 127.0.0.1.
    """
    with tempfile.TemporaryDirectory() as directory:
        port = _ECHO if name == "inetd" else _free_port()
        process = subprocess.Popen(
            _command(name, port, Path(directory)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Its children, one for each connection, must end with it.
            start_new_session=True,
        )
        try:
            eventually(lambda: _is_taken(port))
            yield process.pid, port
        finally:
            os.killpg(process.pid, 9)
            process.wait()


def _command(name: str, port: int, directory: Path) -> list[str]:
    program = _found(name) or ""
    if name == "ncat":
        return [program, "-lk", "-m", str(_MOST), "-e", "/bin/cat", "127.0.0.1", str(port)]
    if name == "socat":
        return [program, f"TCP-LISTEN:{port},bind=127.0.0.1,fork,nodelay,backlog=4096", "PIPE"]
    table = directory / "inetd.conf"
    table.write_text("127.0.0.1:echo stream tcp nowait root internal\n")
    # -d keeps it in the foreground.
    return [
        program,
        "-d",
        f"--rate={_MOST}",
        f"--pidfile={directory / 'pid'}",
        str(table),
        str(directory / "none"),
    ]


def _found(name: str) -> str | None:
    return shutil.which(_PROGRAMS[name], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_taken(port: int) -> bool:
    # Seen from outside: a connection would be one of the program's.
    listens = f"0100007F:{port:04X} 00000000:0000 0A"
    return listens in Path("/proc/net/tcp").read_text()
