"""Fixtures for tests in a browser: one browser for all, and one daemon for all that need no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.relay import Relay
from tests.live.daemon import Daemon, running

#: Services on one address, at ports that the system chooses.
SERVICES = [
    *("--web=127.0.0.1:0", "--timestamp=127.0.0.1:0", "--receiver=127.0.0.1:0", "--echo=127.0.0.1:0"),
    *("--clients=127.0.0.1:0", "--chat=127.0.0.1:0"),
]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser."""
    started = Chromium(tmp_path_factory.mktemp("browser"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose timeline has what all tests have sent."""
    with running(tmp_path_factory.mktemp("daemon"), *SERVICES) as started:
        yield started


@pytest.fixture(scope="session")
def site(daemon: Daemon) -> str:
    """The URL of its page."""
    return site_of(daemon)


@pytest.fixture
def relay(daemon: Daemon) -> Iterator[Relay]:
    """A way to the page that can be broken."""
    with Relay(daemon.port("web")) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon to which nothing has happened yet."""
    directory = tmp_path / "fresh"
    directory.mkdir()
    with running(directory, *SERVICES) as started:
        yield started


def site_of(daemon: Daemon) -> str:
    """The URL of a daemon's page."""
    return f"http://127.0.0.1:{daemon.port('web')}"
