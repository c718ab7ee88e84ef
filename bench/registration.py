"""
How long does the 20,001st registration take?

A client connects to clients, sends its name and reads the whole list. Beside it a bare socket program sends
as many bytes to the same client, which reads them in the same way.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from statistics import median
from time import perf_counter

from bench.figures import ratios
from bench.report import bound, say, table
from bench.servers import netsvc, peer

ENTRIES, ROUNDS = 20_000, 41

#: How many times the time of the copy.
MOST = 4.0


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    with netsvc("--clients=127.0.0.1:0") as daemon:
        port = daemon.port("clients")
        for number in range(ENTRIES):
            _ask(port, b"device-%05d" % number, lambda sock: sock.recv(1))
        length = len(_ask(port, b"the 20,001st", _read_all))
        with peer("bare", "copying", str(length)) as (_, copying):
            registered, copied = [], []
            for number in range(ROUNDS):
                registered.append(_milliseconds(port, b"newcomer-%02d" % number))
                copied.append(_milliseconds(copying, b"hello"))
    say(f"\nthe list has {length} bytes")
    table(f"registration beside {ENTRIES} entries", "ms", {"netsvc": registered, "bare copy": copied})
    table("the same, round by round", "times", {"netsvc / bare copy": ratios(registered, copied)})
    return bound("median of the ratios", median(ratios(registered, copied)), MOST)


def _milliseconds(port: int, name: bytes) -> float:
    begin = perf_counter()
    _ask(port, name, _read_all)
    return 1000 * (perf_counter() - begin)


def _ask(port: int, name: bytes, read: Callable[[socket.socket], bytes]) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(name)
        return read(sock)


def _read_all(sock: socket.socket) -> bytes:
    pieces = []
    while piece := sock.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)
