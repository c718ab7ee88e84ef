"""The servers that are measured: netsvc as it is by default, and what it is compared with, each a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.daemon import Daemon, running

#: asyncio reads into 256 KiB at a time. Whether glibc keeps that room or gives it back to the system and asks
#: for it anew with every message is chance, and the difference is threefold: peers are to show their best.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "67108864"}

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
def peer(*arguments: str) -> Iterator[tuple[int, int]]:
    """
    A server of `bench.peers`.

    @param arguments: which one, and what it takes.
    @return: its process id and its port on 127.0.0.1.
    """
    command = [sys.executable, "-m", "bench.peers", *arguments]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, env={**os.environ, **_KEEP_MEMORY}
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def cpu_seconds(pid: int) -> float:
    """Processor time that the main thread of a process has taken, to the nanosecond (schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
