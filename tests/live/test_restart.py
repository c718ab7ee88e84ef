"""A restart while somebody else holds the sockets: whoever comes meanwhile waits, nobody is turned away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.live.restarts import restart_often

pytestmark = pytest.mark.live

#: As often as the daemon is started anew; NETSVC_RESTARTS is for more.
RESTARTS = int(os.environ.get("NETSVC_RESTARTS", "8"))


def test_a_restart_turns_nobody_away_and_loses_nothing(tmp_path: Path) -> None:
    clients = restart_often(tmp_path, RESTARTS)
    assert [one.failures for one in clients] == [[]] * len(clients)
