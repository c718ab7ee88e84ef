"""Memory that nobody uses goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from twisted.internet.task import Clock

from netsvc.trim import malloc_trim, trim_from_now_on

#: Every other of many blocks is freed, so that none of what is free lies at the end; each is some pages long.
_HOLES = """
import resource
from netsvc.trim import malloc_trim
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() >> 20
blocks = [bytearray(30_000) for _ in range(2000)]
kept = blocks[::2]
del blocks
before = resident()
malloc_trim()(0)
print(before - resident())
"""


def test_it_is_given_back_once_a_minute() -> None:
    clock = Clock()
    asked: list[int] = []
    trim_from_now_on(clock, asked.append)
    assert asked == []
    clock.pump([59.0, 1.0, 59.0, 1.0])
    assert asked == [0, 0]


@pytest.mark.skipif(malloc_trim() is None, reason="the C library of this machine has no malloc_trim")
def test_what_lies_free_between_what_stays_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLES], check=True, capture_output=True, text=True)
    # Of 60 MB a half is free, and most of it in whole pages.
    assert int(done.stdout) > 20


def test_a_c_library_without_it_is_left_to_do_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    clock = Clock()
    trim_from_now_on(clock, malloc_trim())
    assert clock.getDelayedCalls() == []
