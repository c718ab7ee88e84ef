"""
A network of a test's own (network_namespaces(7)): addresses that this machine does not have, and nobody else
on it. For this one must be root.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


def _may_unshare() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))):
        return False
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return made.returncode == 0


#: For a test that has a network of its own.
isolated = pytest.mark.skipif(not _may_unshare(), reason="only root can make a network of its own")


class Network:
    """One network, with a loopback interface."""

    def __init__(self, workers: ThreadPoolExecutor) -> None:
        """@param workers: one thread, which is in the network from now on."""
        self._workers = workers
        self.run(enter_new)
        self.ip("link", "set", "lo", "up")

    def run(self, act: Callable[[], Result]) -> Result:
        """Do something within; a socket made there stays there."""
        return self._workers.submit(act).result()

    def ip(self, *arguments: str) -> None:
        """Run ip(8) within."""
        self.run(lambda: subprocess.run(["ip", *arguments], check=True))


def enter_new() -> None:
    """
    Put the calling thread into a new network.

    @raise OSError: the system refuses.
    """
    if _libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def network() -> Iterator[Network]:
    """A network for the time of a with statement."""
    with ThreadPoolExecutor(max_workers=1) as workers:
        yield Network(workers)
