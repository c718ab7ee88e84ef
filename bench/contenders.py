"""Who is measured, and how each is started for a work."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench import compiled, programs
from bench.servers import KEEP_MEMORY, netsvc, program
from bench.system import descriptors_raised

#: The Python peers: their module in `bench.peers`.
_PEERS: Mapping[str, str] = {
    "uvloop": "uvloop_protocol",
    "asyncio": "asyncio_protocol",
    "streams": "asyncio_streams",
    "twisted": "twisted_stock",
    "threaded": "threaded",
    "select": "select_server",
    "blocking": "blocking",
}

#: What each is called where people read.
TITLES: Mapping[str, str] = {
    "netsvc": "netsvc",
    "netsvc-full": "netsvc, its timeline full",
    "c": "C, epoll",
    "uvloop": "Protocol on uvloop",
    "asyncio": "Protocol on asyncio",
    "streams": "asyncio streams",
    "twisted": "Twisted as it comes",
    "threaded": "socketserver, threads",
    "select": "select, queues",
    "blocking": "recvfrom loop",
    "ncat": "ncat -e cat",
    "socat": "socat PIPE",
    "inetd": "inetutils-inetd",
}


@dataclass(frozen=True)
class Server:
    """
    A server that runs.

    @ivar pid: of its first process.
    @ivar port: on 127.0.0.1.
    """

    pid: int
    port: int


def missing(name: str) -> str:
    """Why one cannot be measured here; empty where it can."""
    if name == "c" and compiled.epoll() is None:
        return "there is no C compiler"
    if name == "uvloop" and importlib.util.find_spec("uvloop") is None:
        return "uvloop is not installed"
    return programs.missing(name) if name in ("ncat", "socat", "inetd") else ""


@contextmanager
def started(
    name: str,
    kind: str,
    for_netsvc: tuple[str, ...],
    for_peers: tuple[str, ...] = (),
    keep_memory: bool = True,
) -> Iterator[Server]:
    """
    A contender for the time of a with statement.

    @param name: as `TITLES` has it.
    @param kind: of the work, as the peers know it.
    @param for_netsvc: what netsvc is started with; its listener is the only one.
    @param for_peers: what the Python peers are started with, beyond the kind.
    @param keep_memory: whether the peers' C library keeps what memory it once had from the system.
    """
    if name.startswith("netsvc"):
        with netsvc(*for_netsvc) as daemon:
            yield Server(daemon.process.pid, daemon.places[0]["port"])
    elif name in ("ncat", "socat", "inetd"):
        with programs.started(name) as (pid, port):
            yield Server(pid, port)
    else:
        if name == "c":
            command = [str(compiled.epoll()), kind]
        else:
            command = [sys.executable, "-m", f"bench.peers.{_PEERS[name]}", kind, *for_peers]
        # netsvc raises its own limit.
        with descriptors_raised(), program(command, KEEP_MEMORY if keep_memory else {}) as (pid, told):
            yield Server(pid, int(told))
