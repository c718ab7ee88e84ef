"""What all parts of a daemon share."""

from __future__ import annotations

import time

import pytest

from twisted.internet.task import Clock

from netsvc.assembly.common import Common
from netsvc.configuration import CommandLine, configuration_of
from netsvc.facts import RECEIVED
from netsvc.registry import discover
from tests.journal.rows import origin


def test_a_fact_is_behind_the_beginning_although_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time_ns()
    common = Common(configuration_of(CommandLine(), discover(), {}, "netsvc.toml"), Clock())
    monkeypatch.setattr(common.facts, "_clock", lambda: now - 10**12)
    common.facts.emit(RECEIVED, origin(), b"x")
    assert common.timeline.last > common.timeline.gone
