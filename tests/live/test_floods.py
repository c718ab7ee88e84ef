"""
Floods and forged datagrams: streams go on being answered, the port lives, nothing bounces, no traceback.

How long a stream waits in a flood is measured by bench/stall.py; here it counts that everybody is answered.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, Daemon, eventually, running
from tests.live.forged import forge, forging
from tests.live.streams import HOSTS, exchange
from tests.live.timeline import WatchedDaemon, watched

SENDERS = 3

#: Empty datagrams from each of them: a second's work or two.
_EACH = 100_000

_SENDER = """
import socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.connect((host, port))
    for _ in range(count):
        try:
            sock.send(b"")
        except OSError:
            # The other side of a loopback has no room; that is what a flood is for.
            continue
"""


@pytest.mark.parametrize("host", HOSTS)
def test_streams_are_answered_during_a_flood_of_empty_datagrams(tmp_path: Path, host: str) -> None:
    with running(tmp_path, "--echo=0", "--timestamp=127.0.0.1:0") as daemon:
        exchanges = 0
        with _flood(host, daemon.port("echo", "udp")) as senders, daemon.connect("timestamp") as stream:
            while any(sender.poll() is None for sender in senders):
                assert exchange(stream, b"x", 28).endswith(b"] x")
                exchanges += 1
        assert exchanges > SENDERS
        assert [sender.returncode for sender in senders] == [0] * SENDERS
        _is_well(daemon, host)


@forging
def test_streams_are_answered_during_a_flood_from_port_0(tmp_path: Path) -> None:
    with running(tmp_path, "--echo=127.0.0.1:0", "--timestamp=127.0.0.1:0") as daemon:
        target = ("127.0.0.1", daemon.port("echo", "udp"))
        flood = threading.Thread(target=forge, args=(("127.0.0.1", 0), target, b"hello", 50_000))
        flood.start()
        with daemon.connect("timestamp") as stream:
            while flood.is_alive():
                assert exchange(stream, b"x", 28).endswith(b"] x")
        flood.join()
        daemon.wait_for_line(r"refused \('127\.0\.0\.1', 0\): source_port")
        _is_well(daemon)


@forging
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (("127.0.0.1", 0), "source_port"),
        (("127.0.0.1", 7), "source_port"),
        (("127.0.0.1", 1023), "source_port"),
        (("224.0.0.1", 4711), "multicast"),
        (("239.255.255.250", 4711), "multicast"),
        (("255.255.255.255", 4711), "broadcast"),
        (("127.255.255.255", 4711), "broadcast"),
    ],
)
def test_nothing_goes_to_a_source_that_no_client_has(
    forgery: WatchedDaemon, source: tuple[str, int], reason: str
) -> None:
    after = forgery.last_fact()
    forge(source, ("127.0.0.1", forgery.port("echo", "udp")), b"hello")
    (refused,) = forgery.facts(1, after, service="echo", kind="refused")
    assert (refused["address"], refused["port"], refused["reason"]) == (*source, reason)
    assert forgery.facts(0, after, service="echo", kind="sent") == []
    _is_well(forgery)


@forging
def test_the_daemon_does_not_answer_itself(forgery: WatchedDaemon) -> None:
    after = forgery.last_fact()
    echo, chargen = forgery.port("echo", "udp"), forgery.port("chargen", "udp")
    forge(("127.0.0.1", chargen), ("127.0.0.1", echo), b"hello")
    forge(("127.0.0.1", echo), ("127.0.0.1", chargen), b"hello")
    for service in ("echo", "chargen"):
        forgery.facts(1, after, service=service, kind="refused", reason="own_listener")
        assert forgery.facts(0, after, service=service, kind="sent") == []
    _is_well(forgery)


@forging
@pytest.mark.parametrize(
    ("one", "other", "limit", "rounds"),
    [
        ("echo", "echo", 10_000, 2000),
        ("echo", "echo", 100, 20),
        ("echo", "daytime", 100, 20),
        ("echo", "time", 100, 20),
        ("daytime", "daytime", 100, 20),
        # Its answers are as long as chance has it, and may end with the budget at once.
        ("chargen", "chargen", 100, 1),
        # It knows its own kind.
        ("echo", "whoami", 100, 1),
    ],
)
def test_two_daemons_wired_to_each_other_fall_silent(
    tmp_path: Path, one: str, other: str, limit: int, rounds: int
) -> None:
    where = f"udp://127.0.0.1:0?loop_limit={limit}"
    with (
        watched(_made(tmp_path / "one"), f"--{one}={where}") as left,
        watched(_made(tmp_path / "other"), f"--{other}={where}") as right,
    ):
        here, there = left.port(one, "udp"), right.port(other, "udp")
        ends = ((left, one, there), (right, other, here))
        loops = 5
        forge(("127.0.0.1", there), ("127.0.0.1", here), b"hello", loops)
        # A datagram that is not answered is the end of its loop.
        eventually(lambda: sum(_unanswered(daemon, peer) for daemon, _, peer in ends) == loops)
        assert left.count(port=there, kind="received") >= loops * rounds, "it was a loop"
        for daemon, service, peer in ends:
            silent_since = daemon.last_fact()
            with daemon.datagrams(service) as client:
                client.send(b"hello")
                # Others are answered; chargen's answer may be empty.
                client.recv(1000)
            assert daemon.facts(0, silent_since, port=peer) == []
            assert "Traceback" not in daemon.log()


@pytest.fixture(scope="module")
def forgery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedDaemon]:
    """A daemon for forged datagrams."""
    options = [f"--{name}=127.0.0.1:0" for name in ("echo", "chargen", "timestamp")]
    with watched(tmp_path_factory.mktemp("forgery"), *options) as daemon:
        yield daemon


@contextmanager
def _flood(host: str, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Senders of empty datagrams, which end by themselves."""
    command = [sys.executable, "-c", _SENDER, host, str(port), str(_EACH)]
    senders = [subprocess.Popen(command) for _ in range(SENDERS)]
    try:
        yield senders
        for sender in senders:
            sender.wait(PATIENCE)
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()


def _unanswered(daemon: WatchedDaemon, peer: int) -> int:
    """How many datagrams a daemon has received from a port and not answered."""
    return daemon.count(port=peer, kind="received") - daemon.count(port=peer, kind="sent")


def _is_well(daemon: Daemon, host: str = "127.0.0.1") -> None:
    """What a flood must leave: a port that answers, and a log of a few lines."""
    with daemon.datagrams("echo", host) as client, daemon.connect("timestamp") as stream:
        client.settimeout(0.1)
        eventually(lambda: _is_echoed(client))
        assert exchange(stream, b"x", 28).endswith(b"] x")
    assert len(daemon.lines) < 100, daemon.log()
    assert "Traceback" not in daemon.log()


def _is_echoed(client: socket.socket) -> bool:
    """Whether a datagram comes back; while the flood's last are still waiting it may find no room."""
    client.send(b"hello")
    try:
        return client.recv(100) == b"hello"
    except TimeoutError:
        return False


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
