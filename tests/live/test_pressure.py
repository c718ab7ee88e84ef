"""
More than there is room for: clients that never read, and no descriptors left.

What a client costs is bounded, whoever cannot be let in is told so, and those inside notice nothing.
"""

from __future__ import annotations

import resource
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, eventually, running
from tests.live.streams import client_context, encrypted, exchange, unix_stream
from tests.live.timeline import WatchedDaemon, watched

CLIENTS = 20

#: What each of them would send, if it were let.
_MOST = 200 * 1000 * 1000

_BLOCK = bytes(range(256)) * 256

_MIB = 1024 * 1024

#: Descriptors of a daemon that is to run out of them, and its listeners.
_DESCRIPTORS = 130
_LISTENERS = 12


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_clients_that_send_and_never_read_cost_little_and_are_dropped(
    transport: str, tmp_path: Path, certificates: Certificates
) -> None:
    where = {
        "tcp": "tcp://127.0.0.1:0?write_timeout=1",
        "tls": f"tls://127.0.0.1:0?write_timeout=1&certificate={certificates.server_both}",
        "unix": f"unix://{tmp_path}/echo.sock?write_timeout=1",
    }[transport]
    memory = f"--set=timeline.timeline_memory={_MIB}"
    with (
        watched(tmp_path, f"--echo={where}", "--timestamp=127.0.0.1:0", memory) as daemon,
        daemon.connect("timestamp") as other,
    ):
        assert exchange(other, b"x", 28).endswith(b"] x")
        descriptors = daemon.descriptors()
        # Whatever is made at the first connection is there once one has been served.
        with _connect(daemon, transport, certificates) as first:
            assert exchange(first, b"hello", 5) == b"hello"
        before = daemon.memory()
        daemon.forget_peak()

        clients = [_connect(daemon, transport, certificates) for _ in range(CLIENTS)]
        sent = _send_until_dropped(clients)

        assert min(sent) > len(_BLOCK)
        growth = daemon.peak_memory() - before - _MIB
        assert growth / CLIENTS < _MIB, f"{growth} bytes for {CLIENTS} clients"
        daemon.facts(CLIENTS, service="echo", kind="closed", reason="write_timeout")
        eventually(lambda: daemon.descriptors() == descriptors)
        assert exchange(other, b"x", 28).endswith(b"] x")
        assert "Traceback" not in daemon.log()


def test_a_member_that_never_reads_is_dropped_beyond_the_write_budget(tmp_path: Path) -> None:
    where = "--chat=tcp://127.0.0.1:0?write_budget=100000"
    with (
        watched(tmp_path, where) as daemon,
        daemon.connect("chat") as stuck,
        daemon.connect("chat") as speaker,
    ):
        stuck.sendall(b"stuck\n")
        daemon.facts(1, service="chat", kind="received")
        speaker.sendall(b"speaker\n")
        line = b"x" * 8000 + b"\n"
        speaker.settimeout(0)
        unsent = heard = b""
        deadline = time.monotonic() + PATIENCE
        while heard != b"* stuck left\n":
            assert time.monotonic() < deadline, heard
            unsent = unsent or line
            try:
                unsent = unsent[speaker.send(unsent) :]
                heard += speaker.recv(100)
            except BlockingIOError:
                continue
        daemon.facts(1, service="chat", kind="closed", reason="write_budget")


def test_out_of_descriptors_newcomers_are_closed_and_nobody_inside_notices(tmp_path: Path) -> None:
    listeners = ["--echo=tcp://127.0.0.1:0"] * _LISTENERS
    with running(tmp_path, *listeners, "--echo=udp://127.0.0.1:0", preexec_fn=_few_descriptors) as daemon:
        ports = [place["port"] for place in daemon.places if place["transport"] == "tcp"]
        inside = _fill(ports)
        assert len(inside) > _DESCRIPTORS // 2
        for _ in range(50):
            for port in ports:
                assert not _is_let_in(port)
            assert exchange(inside[0], b"hello", 5) == b"hello"
        for sock in inside:
            assert exchange(sock, b"hello", 5) == b"hello"
        with daemon.datagrams("echo") as datagrams:
            datagrams.send(b"hello")
            assert datagrams.recv(100) == b"hello"
        for sock in inside[::2]:
            sock.close()
        for port in ports:
            eventually(partial(_is_let_in, port))
        for sock in inside[1::2]:
            assert exchange(sock, b"hello", 5) == b"hello"
            sock.close()
        daemon.wait_for_line("refused .*descriptors")
        started = next(number for number, line in enumerate(daemon.lines) if "netsvc is ready" in line)
        each_second = Counter(line[: len("2000-01-01T00:00:00")] for line in daemon.lines[started + 1 :])
        assert max(each_second.values()) <= 10, daemon.log()
        assert "Traceback" not in daemon.log()


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))


def _fill(ports: Sequence[int]) -> list[socket.socket]:
    """Connect to one port after the other until one lets nobody in."""
    inside: list[socket.socket] = []
    while True:
        sock = socket.create_connection(("127.0.0.1", ports[len(inside) % len(ports)]), PATIENCE)
        if not _is_served(sock):
            sock.close()
            return inside
        inside.append(sock)


def _is_let_in(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            return _is_served(sock)
    except ConnectionResetError:
        return False


def _is_served(sock: socket.socket) -> bool:
    """Whether an echo answers; otherwise it must have closed the connection."""
    try:
        return exchange(sock, b"hello", 5) == b"hello"
    except ConnectionError:
        return False


def _connect(daemon: WatchedDaemon, transport: str, certificates: Certificates) -> socket.socket:
    if transport == "unix":
        return unix_stream(daemon.path("echo"))
    sock = socket.create_connection(("127.0.0.1", daemon.port("echo", transport)), PATIENCE)
    return encrypted(sock, client_context(certificates.ca)) if transport == "tls" else sock


def _send_until_dropped(clients: Sequence[socket.socket]) -> list[int]:
    """Have all of them send, for as long as they are let, and close them; gives how many bytes each sent."""
    sent = dict.fromkeys(clients, 0)
    deadline = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for client in clients:
            client.setblocking(False)
            selector.register(client, selectors.EVENT_WRITE, client)
        while selector.get_map():
            assert time.monotonic() < deadline, "they were not dropped"
            for key, _ in selector.select(deadline - time.monotonic()):
                client = key.data
                try:
                    sent[client] += client.send(_BLOCK)
                    assert sent[client] < _MOST, "it was never in the way"
                except (BlockingIOError, ssl.SSLWantWriteError):
                    continue
                except (ConnectionError, ssl.SSLError):
                    selector.unregister(client)
                    client.close()
    return list(sent.values())
