"""
Do two bad clients slow down 500 good ones?

500 connections to timestamp with one message of 64 bytes under way each, without and with one client that
sends all the time and never reads, and one that sends a byte a second. In turns, in one run, on one daemon.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench.figures import ratios
from bench.load import ClosedLoop
from bench.report import bound, percentile, say, table
from bench.servers import netsvc

CONNECTIONS, MESSAGES, ROUNDS = 500, 25_000, 11

#: How much longer the slowest hundredth of the messages may take.
MOST = 1.5


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    alone: list[float] = []
    disturbed: list[float] = []
    with netsvc("--timestamp=127.0.0.1:0") as daemon:
        port = daemon.port("timestamp")
        with ClosedLoop(port, CONNECTIONS) as load:
            load.run(MESSAGES)
            for number in range(ROUNDS):
                # Each is first in every other round, so that neither has the better place.
                for bad in (True, False) if number % 2 else (False, True):
                    if bad:
                        with _bad_clients(port):
                            disturbed.append(1000 * percentile(load.run(MESSAGES), 99))
                    else:
                        alone.append(1000 * percentile(load.run(MESSAGES), 99))
    title = f"p99 of {MESSAGES} messages on {CONNECTIONS} connections"
    table(title, "ms", {"alone": alone, "beside two bad clients": disturbed})
    table("the same, round by round", "times", {"beside / alone": ratios(disturbed, alone)})
    return bound("median of the ratios", median(ratios(disturbed, alone)), MOST)


@contextmanager
def _bad_clients(port: int) -> Iterator[None]:
    """One that sends and never reads, and one that sends a byte a second."""
    over = threading.Event()
    with (
        socket.create_connection(("127.0.0.1", port)) as greedy,
        socket.create_connection(("127.0.0.1", port)) as slow,
    ):
        greedy.settimeout(0.05)
        threads = [
            threading.Thread(target=_send_and_never_read, args=(greedy, over)),
            threading.Thread(target=_send_a_byte_a_second, args=(slow, over)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _send_and_never_read(sock: socket.socket, over: threading.Event) -> None:
    block = bytes(65536)
    while not over.is_set():
        try:
            sock.send(block)
        except TimeoutError:
            continue
        except ConnectionError:
            say("  the client that never reads was dropped")
            return


def _send_a_byte_a_second(sock: socket.socket, over: threading.Event) -> None:
    while True:
        sock.send(b"x")
        if over.wait(1.0):
            return
