"""`netsvc.descriptors`: the process's limit, and limits that fit it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.descriptors import fitting, raise_limit
from netsvc.settings import Limits

# Limits can be lowered for good only: each of these runs in a process of its own.
_RAISE = """
import resource
from netsvc.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.live
@pytest.mark.parametrize("soft", [100, 300])
def test_the_soft_limit_becomes_the_hard_one(soft: int) -> None:
    program = _RAISE.format(soft=soft, hard=300)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["300", "300", "300"]


def test_a_hard_limit_beyond_what_the_system_allows_now_leaves_the_soft_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The system's maximum is everybody's, so it is not lowered for a test: its refusal is made here.
    def refuse(which: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 1024


def test_no_limit_at_all_is_a_large_number(monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda which: (unlimited, unlimited))
    assert raise_limit() > 1_000_000


def test_limits_that_fit_stay_the_same() -> None:
    limits = Limits(max_connections=100)
    assert fitting(limits, 1000) is limits


def test_limits_that_do_not_fit_are_lowered_alone_and_leave_some_descriptors() -> None:
    limits = Limits(max_connections=10_000, per_address=7)
    lowered = fitting(limits, 1024)
    assert 900 < lowered.max_connections < 1024
    assert lowered.per_address == 7


@given(st.integers(1, 1_000_000), st.integers(0, 2**31))
def test_there_is_always_room_for_one_and_never_for_more_than_asked(wanted: int, descriptors: int) -> None:
    given = fitting(Limits(max_connections=wanted), descriptors).max_connections
    assert 1 <= given <= wanted
    assert given == wanted or given < max(2, descriptors)
