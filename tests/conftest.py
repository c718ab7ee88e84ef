"""
What all tests have in common: bounded and repeatable examples, a reactor left as it was found, and tests
that say which program they need and are skipped, by name, where it is missing.

``NETSVC_NO_SKIP=1`` turns every skipped test into a failed one: what a run did not try, it did not show.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Generator, Iterator
from typing import Any, cast

import hypothesis
import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet import defer, task

#: Turns of the reactor that the last goodbyes of a test's sockets and processes may take, and the seconds
#: between two of them.
_TURNS, _TURN = 500, 0.01

# No deadline: how long one example takes says more of the machine than of netsvc.
hypothesis.settings.register_profile("here", deadline=None, max_examples=50)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the markers that this file gives a meaning; and let children take Ctrl-C."""
    # A shell starts what it puts into the background with SIGINT ignored, and children would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "program(*names): needs these programs; skipped where one is missing")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a program which this machine does not have."""
    for marker in item.iter_markers("program"):
        for name in marker.args:
            if shutil.which(name) is None:
                pytest.skip(f"the program {name} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped, a test that was is a test that failed."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that skips itself."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("NETSVC_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"


@pytest.fixture(scope="session")
def started_reactor() -> Any:
    """The reactor that pytest-twisted runs, past its first turn, in which it opens what it needs itself."""
    from twisted.internet import reactor

    pytest_twisted.blockon(task.deferLater(cast(Any, reactor), 0))
    return reactor


@pytest.fixture(autouse=True)
def clean_reactor(started_reactor: Any) -> Iterator[None]:
    """
    Fail a test that leaves a timer, a socket or a process behind in the reactor that all tests share.

    What belongs to a fixture of a wider scope is there before this one, and may stay.
    """
    before = _watched(started_reactor)
    yield
    left = _watched(started_reactor) - before
    if left:
        left = pytest_twisted.blockon(defer.ensureDeferred(_settled(started_reactor, before)))
    if left:
        pytest.fail("left behind in the reactor: " + ", ".join(sorted(map(str, left))), pytrace=False)


def _watched(reactor: Any) -> set[object]:
    return {*reactor.getDelayedCalls(), *reactor.getReaders(), *reactor.getWriters()}


async def _settled(reactor: Any, before: set[object]) -> set[object]:
    for _ in range(_TURNS):
        left = _watched(reactor) - before
        if not left:
            break
        await task.deferLater(reactor, _TURN)
    return left
