"""How long the state machines are tried."""

from __future__ import annotations

import hypothesis

from tests.fuzz.campaign import INPUTS

#: Of made inputs there are so many to one run of a machine: a few runs in `make test`, many in `make fuzz`.
_TO_ONE = 500

#: Steps of one run.
_STEPS = 40


def examples(share: float = 1.0) -> hypothesis.settings:
    """
    The settings of one machine.

    @param share: how many runs, beside the others.
    """
    return hypothesis.settings(
        max_examples=max(5, round(INPUTS / _TO_ONE * share)),
        stateful_step_count=_STEPS,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
