"""
The pytest plugin: the fixture ``netsvc``, a real daemon on free ports that a test can wait on and ask.

pytest loads this file in every run of everybody who has netsvc installed, so it imports nothing more until
a test uses the fixture; and never Twisted, for the daemon is a process of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from netsvc.testing.daemon import Daemon
    from netsvc.testing.timeline import Netsvc

#: Daemons that one process keeps for tests with different options; the one not used for longest ends first.
MOST_DAEMONS = 4

_MARKER = (
    "netsvc(*options): the netsvc fixture's daemon has these options of `netsvc serve`, instead of "
    "those of the fixture netsvc_options"
)


class Daemons:
    """The daemons of a test run, one for each set of options."""

    def __init__(self) -> None:
        self._running: OrderedDict[tuple[str, ...], Daemon] = OrderedDict()

    def with_options(self, options: Sequence[str]) -> Daemon:
        """
        A daemon that runs with some options.

        @raise netsvc.testing.daemon.DaemonError: it does not start.
        """
        from netsvc.testing.daemon import Daemon

        key = tuple(options)
        daemon = self._running.pop(key, None)
        if daemon is not None and not daemon.alive:
            # A test, or a defect, has ended it.
            daemon.stop()
            daemon = None
        if daemon is None:
            while len(self._running) >= MOST_DAEMONS:
                self._running.popitem(last=False)[1].stop()
            daemon = Daemon(key)
        self._running[key] = daemon
        return daemon

    def stop(self) -> None:
        """End them all."""
        while self._running:
            self._running.popitem()[1].stop()


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def netsvc_daemons() -> Iterator[Daemons]:
    """The daemons of this process's tests."""
    daemons = Daemons()
    yield daemons
    daemons.stop()


@pytest.fixture(scope="session")
def netsvc_options() -> Sequence[str]:
    """Options of `netsvc serve` for the daemon; to be overridden, in a conftest.py or a test's own file."""
    return ()


@pytest.fixture
def netsvc(request: pytest.FixtureRequest, netsvc_daemons: Daemons, netsvc_options: Sequence[str]) -> Netsvc:
    """A netsvc daemon: netsvc.echo.port, netsvc.url, netsvc.wait(contains=…), netsvc.facts()."""
    from netsvc.testing.daemon import DaemonError
    from netsvc.testing.timeline import Netsvc

    marker = request.node.get_closest_marker("netsvc")
    options = netsvc_options if marker is None else marker.args
    try:
        return Netsvc(netsvc_daemons.with_options([str(option) for option in options]))
    except DaemonError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what happened at the daemon in a test that has failed."""
    report = yield
    seen: Any = getattr(item, "funcargs", {}).get("netsvc")
    told = call.excinfo is not None and type(call.excinfo.value).__name__ == "NotSeenError"
    if report.when == "call" and report.failed and hasattr(seen, "report") and not told:
        report.sections.append(("What happened at netsvc", seen.report()))
    return report
