"""
How long does a stream client wait while the datagram port is flooded?

One client of timestamp sends a message when it has the answer to the last; measured is the longest time from
one answer to the next, within a few seconds, while others send empty datagrams, datagrams from port 0, and
while the system fails every other read of the datagram socket with ENOBUFS.

Part of such a wait is the machine's: with more programs than cores, everybody waits for a turn. So there is,
beside it, the same flood against a program that only throws datagrams away; and what the bound is for, the
most processor time that netsvc itself took from one answer to the next.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from bench.report import bound, say, table
from bench.servers import PROJECT, cpu_seconds, netsvc, peer
from tests.live.daemon import Daemon

SECONDS, SENDERS, ROUNDS = 2.0, 3, 5

_TAKEN = "netsvc flooded: its own part"

#: Seconds from one answer to the next.
MOST = 0.1

#: The service that is flooded, where it is not echo.
_FAILING = (
    "--set=service.failing.datagram=bench.failing.FailingEcho",
    "--set=service.failing.listen=udp://127.0.0.1:0",
)


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    floods = {"empty": "empty datagrams", "enobufs": "empty datagrams and ENOBUFS"}
    if os.geteuid() == 0:
        floods["port0"] = "datagrams from port 0"
    else:
        say("\nnot measured: datagrams from port 0, which only root can forge")
    worst = 0.0
    for flood, title in floods.items():
        waits = _measure(flood)
        table(f"longest wait for an answer during a flood of {title}", "ms", waits)
        worst = max(worst, *waits[_TAKEN])
    return bound("netsvc's own part in the longest of all, in seconds", worst / 1000, MOST)


def _measure(flood: str) -> dict[str, list[float]]:
    service = "failing" if flood == "enobufs" else "echo"
    options = _FAILING if flood == "enobufs" else ("--echo=udp://127.0.0.1:0",)
    waits: dict[str, list[float]] = {_TAKEN: [], "netsvc flooded": [], "another flooded": [], "no flood": []}
    for _ in range(ROUNDS):
        with netsvc("--timestamp=127.0.0.1:0", *options) as daemon, peer("bare", "sink") as (_, sink):
            with _flood(flood, daemon.port(service, "udp")):
                waited, taken = _longest_wait(daemon)
            waits[_TAKEN].append(1000 * taken)
            waits["netsvc flooded"].append(1000 * waited)
            with _flood(flood, sink):
                waits["another flooded"].append(1000 * _longest_wait(daemon)[0])
            waits["no flood"].append(1000 * _longest_wait(daemon)[0])
            if "Traceback" in daemon.log():
                raise RuntimeError(daemon.log())
    return waits


def _longest_wait(daemon: Daemon) -> tuple[float, float]:
    """
    The longest time from one answer to the next while the measurement lasts.

    @return: it, and the most processor time that the daemon took from one to the next; both in seconds.
    """
    waited = taken = 0.0
    pid = daemon.process.pid
    with daemon.connect("timestamp") as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = last = perf_counter()
        last_taken = cpu_seconds(pid)
        while last - begin < SECONDS:
            sock.sendall(b"x")
            sock.recv(100)
            now, now_taken = perf_counter(), cpu_seconds(pid)
            waited, taken = max(waited, now - last), max(taken, now_taken - last_taken)
            last, last_taken = now, now_taken
    return waited, taken


@contextmanager
def _flood(kind: str, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.flood", kind, str(port)]
    senders = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) for _ in range(SENDERS)]
    try:
        for sender in senders:
            assert sender.stdout is not None
            sender.stdout.readline()
        yield
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()
