"""`netsvc.counters`: one listener's numbers."""

from __future__ import annotations

import json
from dataclasses import asdict

from netsvc.counters import Counts


def test_refusals_are_counted_by_their_reason() -> None:
    counts = Counts()
    counts.refuse("deny")
    counts.refuse("receive_buffer", 41)
    counts.refuse("deny")
    assert counts.refused == {"deny": 2, "receive_buffer": 41}


def test_they_are_plain_numbers() -> None:
    assert json.loads(json.dumps(asdict(Counts(opened=1, refused={"deny": 2}))))["refused"] == {"deny": 2}
