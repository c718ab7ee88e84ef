"""
How long do 3,000 connections take that are made one after the other and stay?

Beside a bare accept loop. Measured is until the last one is connected, and until the last one is answered.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from statistics import median
from time import perf_counter

from bench.figures import ratios
from bench.report import bound, table
from bench.servers import netsvc, peer

CONNECTIONS, ROUNDS = 3000, 7

#: Seconds until the last one is connected.
MOST = 1.0


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    names = ("netsvc", "accept loop")
    connected: dict[str, list[float]] = {name: [] for name in names}
    answered: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        with netsvc("--timestamp=127.0.0.1:0") as daemon, peer("bare", "accepting") as (_, accepting):
            for name, port in zip(names, (daemon.port("timestamp"), accepting), strict=True):
                first, last = _connect(port)
                connected[name].append(first)
                answered[name].append(last)
    table(f"{CONNECTIONS} connections, until the last is connected", "s", connected)
    table(f"{CONNECTIONS} connections, until the last is answered", "s", answered)
    table("until the last is connected", "times", {"netsvc / accept loop": ratios(*connected.values())})
    return bound("median until the last is connected", median(connected["netsvc"]), MOST)


def _connect(port: int) -> tuple[float, float]:
    """Seconds until the last of the connections is connected, and until it is answered."""
    with ExitStack() as stack:
        begin = perf_counter()
        for _ in range(CONNECTIONS):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        connected = perf_counter() - begin
        sock.sendall(b"x")
        sock.recv(100)
        return connected, perf_counter() - begin
