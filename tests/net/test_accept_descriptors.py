"""`netsvc.net.accept` out of descriptors: those inside go on, newcomers are closed and told, it recovers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

# Descriptors cannot run out in the tests' own process without harming others: a process of its own serves.
_SERVER = """
import os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.protocols.wire import Echo
from netsvc.net.accept import AcceptPort

away, logged = [], []

class Talk(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        self.sendLine(b"%d %d" % (len(away), len(logged)))
    def connectionLost(self, reason):
        reactor.stop()

sock = socket.socket(getattr(socket, sys.argv[1]))
sock.bind(sys.argv[2] if sys.argv[1] == "AF_UNIX" else ("127.0.0.1", 0))
sock.listen(1000)
sock.setblocking(False)
globalLogPublisher.addObserver(logged.append)
AcceptPort(sock, Factory.forProtocol(Echo), reactor, away.append).startListening()
logged.clear()
name = sock.getsockname()
print(name if sys.argv[1] == "AF_UNIX" else name[1], flush=True)
stdio.StandardIO(Talk())
reactor.run()
"""


class _Server:
    """A server in a process that has 64 descriptors."""

    def __init__(self, family: socket.AddressFamily, path: Path) -> None:
        self._family = family
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, family.name, str(path / "sock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        name = self._line()
        self._address: Any = name if family == socket.AF_UNIX else ("127.0.0.1", int(name))

    def connect(self) -> socket.socket:
        client = socket.socket(self._family)
        client.settimeout(30)
        client.connect(self._address)
        return client

    def counts(self) -> tuple[int, int]:
        """How many clients were turned away, and how many lines the log has."""
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        away, logged = self._line().split()
        return int(away), int(logged)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(params=["AF_INET", "AF_UNIX"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Server]:
    made = _Server(socket.AddressFamily[request.param], tmp_path)
    yield made
    made.close()


def _is_inside(client: socket.socket) -> bool:
    """Whether a client is answered; one that is turned away finds the connection closed, or reset."""
    try:
        client.sendall(b"x")
        return client.recv(1) == b"x"
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_out_of_descriptors_those_inside_go_on_newcomers_are_closed_and_it_recovers(server: _Server) -> None:
    clients = [server.connect() for _ in range(200)]
    inside = [client for client in clients if _is_inside(client)]
    assert 30 < len(inside) < 64
    turned_away = len(clients) - len(inside)
    assert server.counts() == (turned_away, 0)
    assert all(_is_inside(client) for client in inside)
    for client in clients:
        if client not in inside:
            client.close()
    inside.pop().close()
    for _ in range(1000):
        # The place is free when the server has seen its client go.
        newcomer = server.connect()
        if _is_inside(newcomer):
            break
        newcomer.close()
    else:
        pytest.fail("it never recovered")
    assert all(_is_inside(client) for client in inside)
    newcomer.close()
    for client in inside:
        client.close()
