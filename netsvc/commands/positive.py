"""Numbers that a user gives: what is not finite, or larger than anything means, is wrong usage."""

from __future__ import annotations

import math
from typing import Any

import click

#: Seconds that anything may be told to take: eleven days.
LONGEST = 1e6


class Positive(click.FloatRange):
    """A number above 0. ``nan`` is neither below nor above anything, and would pass for any number."""

    def __init__(self, most: float = LONGEST, least: float = 0.0) -> None:
        """
        @param most: the largest that is taken.
        @param least: the smallest; 0 itself is not taken.
        """
        super().__init__(min=least, max=most, min_open=not least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that something can take.", param, ctx)
        return number


#: How long something may take.
SECONDS = Positive()
