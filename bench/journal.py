"""
What does it cost to acknowledge only what is on disk?

Datagrams are sent to a receiver that acknowledges what is recorded, to one that acknowledges what is
received and has no journal, and to a program that commits each message by itself, as one would write it
first. With many under way it is counted how many are acknowledged in a second; one after the other, how long
each takes. The files are where temporary files are. The disk decides much of this, so there is, beside it,
how long it takes to sync a page.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.figures import ratios
from bench.report import bound, percentile, say, table
from bench.servers import netsvc, peer

#: Datagrams under way at once, for whose answers any socket has room; acknowledgements to wait for in each
#: round, and where there is one at a time.
WINDOW, MESSAGES, ALONE, ROUNDS = 128, 10_000, 300, 5
SYNCS = 200

_RECORDED, _COMMITTED, _RECEIVED = "netsvc, recorded", "a commit for each", "netsvc, no journal"

#: How much of the time of a commit for each message one of many recorded ones may take, on whatever disk.
MOST = 1.0


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    rates: dict[str, list[float]] = {_RECORDED: [], _COMMITTED: [], _RECEIVED: []}
    middle: dict[str, list[float]] = {name: [] for name in rates}
    late: dict[str, list[float]] = {name: [] for name in rates}
    with tempfile.TemporaryDirectory() as directory:
        say(f"\na sync of a page here: {1000 * _sync_seconds(Path(directory)):.2f} ms")
        with _servers(Path(directory)) as ports:
            for _ in range(ROUNDS):
                for name, port in ports.items():
                    count = MESSAGES if name != _COMMITTED else MESSAGES // 20
                    rates[name].append(count / _seconds(port, count))
                    waits = _waits(port)
                    middle[name].append(1000 * percentile(waits, 50))
                    late[name].append(1000 * percentile(waits, 99))
    table(f"acknowledgements, {WINDOW} datagrams under way", "a second", rates)
    table("datagram to acknowledgement, one at a time, p50", "ms", middle)
    table("datagram to acknowledgement, one at a time, p99", "ms", late)
    return bound(
        "time of a recorded one to that of a commit for each",
        median(ratios(rates[_COMMITTED], rates[_RECORDED])),
        MOST,
    )


@contextmanager
def _servers(directory: Path) -> Iterator[dict[str, int]]:
    """All three, by what they are; gives their ports."""
    with (
        netsvc(f"--journal={directory / 'journal.db'}", "--udp=udp://127.0.0.1:0?ack=recorded") as recorded,
        netsvc("--udp=udp://127.0.0.1:0?ack=received") as received,
        peer("committing", str(directory / "committing.db")) as (_, committing),
    ):
        yield {
            _RECORDED: recorded.port("receiver", "udp"),
            _COMMITTED: committing,
            _RECEIVED: received.port("receiver", "udp"),
        }


def _seconds(port: int, count: int) -> float:
    """How long so many messages take until the last one is acknowledged."""
    with _connected(port) as sock:
        sent = 0
        begin = perf_counter()
        for received in range(count):
            while sent < min(count, received + WINDOW):
                sock.send(b"message %56d" % sent)
                sent += 1
            sock.recv(100)
        return perf_counter() - begin


def _waits(port: int) -> list[float]:
    """How long each of a few messages takes that are sent one after the other, in seconds."""
    waits = []
    with _connected(port) as sock:
        for number in range(ALONE):
            begin = perf_counter()
            sock.send(b"message %56d" % number)
            sock.recv(100)
            waits.append(perf_counter() - begin)
    return waits


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        # An acknowledgement that never comes is an error, not a slow one.
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        yield sock


def _sync_seconds(directory: Path) -> float:
    """How long the disk takes to have a page written, where others leave it alone."""
    times = []
    with (directory / "page").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            begin = perf_counter()
            os.fdatasync(file.fileno())
            times.append(perf_counter() - begin)
    return median(times)
