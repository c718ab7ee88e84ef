"""What the system tells of a server: processor time, memory, lost datagrams; and on which core it runs."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Of the kernel's clocks of other processes the one that counts the scheduler's nanoseconds (CPUCLOCK_SCHED).
_SCHEDULED = 2
#: The niceness that gives way to nobody.
_FIRST = -20
_TICK = os.sysconf("SC_CLK_TCK")


_ALLOWED = sorted(os.sched_getaffinity(0))

#: The cores for the servers, and for the load and all else; the same where there is but one.
SERVER_CORE, LOAD_CORE = _ALLOWED[0], _ALLOWED[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Whatever is started within it runs on one core and stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def preferred(core: int) -> Iterator[None]:
    """The same, and it comes before whatever else wants to run there, where that is allowed."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with on_core(core):
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _FIRST)
        except PermissionError:
            yield
            return
        try:
            yield
        finally:
            os.setpriority(os.PRIO_PROCESS, 0, before)


def in_real_time(pid: int) -> None:
    """
    Let a process's main thread come before all ordinary ones (SCHED_FIFO), where that is allowed.

    Niceness only gives a larger share: others still run to the end of their slices of some milliseconds, and
    where a message takes 20 µs those slices are all that the slowest hundredth tells of.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


@contextmanager
def descriptors_raised() -> Iterator[None]:
    """Whatever is started within it may have as many descriptors as the system allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        for thread in _listed(f"/proc/{one}/task"):
            try:
                found += map(int, Path(f"/proc/{one}/task/{thread}/children").read_text().split())
            except OSError:
                continue
    return found


def seconds_taken(pid: int) -> float:
    """
    Processor time of a process and its descendants, ended threads too.

    To the nanosecond for what still runs; in ticks for children that have ended.
    """
    return sum(map(_of_one, tree(pid)))


def memory(pid: int) -> int:
    """Bytes of memory of a process and its descendants; of what several share, each has its part (PSS)."""
    return sum(map(_proportional, tree(pid)))


def datagrams(port: int) -> tuple[int, int]:
    """
    What the system has of a UDP port of this machine.

    @return: bytes that wait to be read, and how many datagrams it had no room for.
    """
    waiting = lost = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            waiting += int(fields[4].partition(":")[2], 16)
            lost += int(fields[-1])
    return waiting, lost


def _of_one(pid: int) -> float:
    try:
        running = time.clock_gettime((~pid << 3) | _SCHEDULED)
        # Behind the name, which may have any character in it: cutime and cstime are the 14th and 15th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return running + (int(fields[13]) + int(fields[14])) / _TICK


def _proportional(pid: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
