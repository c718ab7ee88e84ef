"""The daemon runs on our reactor where nobody chooses one, and on any other that somebody chooses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, eventually, read_exactly, running
from tests.live.streams import Dial

pytestmark = pytest.mark.live

#: For each choice, None for none, the class that twistd then names in its log.
CHOICES = {
    None: "NetsvcReactor",
    "netsvc": "NetsvcReactor",
    "epoll": "EPollReactor",
    "poll": "PollReactor",
    "select": "SelectReactor",
    "asyncio": "AsyncioSelectorReactor",
}

#: More than is read at once.
_MUCH = bytes(range(256)) * 400


@pytest.mark.parametrize("choice", CHOICES)
def test_echo_serves_every_transport_on_the_reactor_that_was_chosen(
    tmp_path: Path, certificates: Certificates, choice: str | None
) -> None:
    options = [
        *("--echo=0", "--echo=tls://:0", f"--echo=unix://{tmp_path}/echo.sock"),
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
    ]
    chosen = [f"--reactor={choice}"] if choice else []
    with running(tmp_path, *options, twistd=chosen) as daemon:
        daemon.wait_for_line(rf"reactor class: [\w.]+\.{CHOICES[choice]}\.")
        dial = Dial(daemon, certificates.ca)
        for transport in ("tcp", "tls", "unix"):
            with dial("echo", transport) as sock:
                for message in (b"hello", _MUCH, b"again"):
                    sock.sendall(message)
                    assert read_exactly(sock, len(message)) == message
        with daemon.datagrams("echo") as sock:
            sock.send(b"hello")
            assert sock.recv(100) == b"hello"
        daemon.stop()
        assert daemon.process.returncode == -signal.SIGTERM
        assert "Traceback" not in daemon.log()


#: Tells, when its standard input ends, which reactor the process runs on.
_TELL = """
import pathlib, sys, threading
def tell():
    sys.stdin.read()
    pathlib.Path("told").write_text(type(sys.modules["twisted.internet.reactor"]).__name__)
threading.Thread(target=tell, daemon=True).start()
"""

_TWIST = """
from twisted.application.twist._twist import Twist
Twist.main(["twist", "netsvc", *sys.argv[1:]])
"""

_EMBEDDING = """
{first}
from netsvc.tap import Options, makeService
options = Options()
options.parseOptions(sys.argv[1:])
service = makeService(options)
from twisted.internet import reactor
service.privilegedStartService()
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.run()
"""


@contextmanager
def _program(text: str, directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program that serves echo, and the port; its arguments are netsvc's."""
    ready = directory / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "-c", _TELL + text, "--echo=0", f"--ready={ready}"],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: ready.exists() or process.poll() is not None)
        assert process.poll() is None
        yield process, json.loads(ready.read_text())[0]["port"]
    finally:
        process.terminate()
        process.wait(PATIENCE)
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.parametrize(
    ("text", "reactor"),
    [
        (_TWIST, "NetsvcReactor"),
        (
            _EMBEDDING.format(first="from twisted.internet.selectreactor import install; install()"),
            "SelectReactor",
        ),
        (_EMBEDDING.format(first=""), "NetsvcReactor"),
        (_EMBEDDING.format(first="from twisted.internet import reactor"), "EPollReactor"),
    ],
    ids=["twist", "embedded, select", "embedded, no choice", "embedded, Twisted's default"],
)
def test_who_else_runs_netsvc(tmp_path: Path, text: str, reactor: str) -> None:
    with _program(text, tmp_path) as (process, port):
        assert process.stdin is not None
        process.stdin.close()
        told = tmp_path / "told"
        eventually(lambda: told.exists() and told.read_text() != "")
        assert told.read_text() == reactor
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
