"""What all campaigns share: certificates made once, and a report of what was tried."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from netsvc.net.tls import server_context
from netsvc.settings import TLS
from tests.certificates import make_authority
from tests.fuzz.campaign import SEED, Result

_PROPERTY = "fuzz"


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS."""
    made = make_authority(tmp_path_factory.mktemp("certificates"))
    return server_context(TLS(str(made.server_certificate), str(made.server_key)))


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[Result], None]:
    """Takes what a campaign did, for the table at the end."""

    def take(result: Result) -> None:
        # Workers send properties to the process that writes the table.
        record_property(_PROPERTY, [result.inputs, result.seconds])

    return take


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Write the table, where these tests alone were asked for."""
    rows = [
        (test.nodeid.rpartition("::")[2], *value)
        for test in terminalreporter.stats.get("passed", [])
        for name, value in getattr(test, "user_properties", [])
        if name == _PROPERTY
    ]
    if not rows:
        return
    rows.sort()
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    terminalreporter.section(f"made inputs, NETSVC_FUZZ_SEED={SEED}")
    for name, inputs, seconds in rows:
        each = inputs / max(seconds, 1e-9)
        terminalreporter.write_line(f"{inputs:>9,} in {seconds:6.1f} s, {each:>8,.0f} a second: {name}")
