"""The servers that are measured: netsvc as it is by default, and what it is compared with, each a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.live.daemon import Daemon, running

#: asyncio reads into 256 KiB at a time. Whether glibc keeps that room or gives it back to the system and asks
#: for it anew with every message is chance, and the difference is threefold: peers are to show their best.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "67108864"}

#: The directory that `bench` and `tests` are in.
PROJECT = Path(__file__).parents[1]


@contextmanager
def netsvc(*arguments: str) -> Iterator[Daemon]:
    """A netsvc with the given arguments, otherwise as it is by default."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory), *arguments, environment={"PYTHONPATH": path}) as daemon,
    ):
        yield daemon


@contextmanager
def peer(*arguments: str, keep_memory: bool = True) -> Iterator[tuple[int, int]]:
    """
    A server of `bench.peers`.

    @param arguments: its module, and what it takes.
    @param keep_memory: whether the C library keeps what memory it once had from the system.
    @return: its process id and its port on 127.0.0.1.
    """
    module, *rest = arguments
    command = [sys.executable, "-m", f"bench.peers.{module}", *rest]
    with program(command, KEEP_MEMORY if keep_memory else {}) as (pid, told):
        yield pid, int(told)


@contextmanager
def program(command: Sequence[str | Path], environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """
    A program that writes a line once it serves.

    @param command: its command line.
    @param environment: added to the present one.
    @return: its process id and the line.
    """
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    assert process.stdout is not None
    try:
        yield process.pid, process.stdout.readline()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """Processor time that the main thread of a process has taken, to the nanosecond (schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
