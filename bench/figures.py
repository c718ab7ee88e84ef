"""What was measured, as plain values, and what is made of it: ratios round by round, medians, spreads."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: One server under one load, once: its numbers by the names that `UNITS` has.
Run = Mapping[str, float]

#: The runs of a work: for each server by name one for each round.
Runs = Mapping[str, Sequence[Run]]

#: What the numbers of a run are called, and their unit.
UNITS: Mapping[str, tuple[str, str]] = {
    "cpu": ("processor time for one", "µs"),
    "rate": ("done in a second", ""),
    "p50": ("p50", "µs"),
    "p99": ("p99", "µs"),
    "p999": ("p99.9", "µs"),
    "lost": ("lost", ""),
    "memory": ("memory of one", "bytes"),
}


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """
        Sum numbers up.

        @raise statistics.StatisticsError: there are none.
        """
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def __str__(self) -> str:
        return f"{short(self.median)} [{short(self.least)}–{short(self.most)}]"


@dataclass(frozen=True)
class Bound:
    """
    What must hold between two servers.

    @ivar key: which of a run's numbers, as `UNITS` has them.
    @ivar beside: beside whose netsvc's is held.
    @ivar most: how many times the other's it may be, as the median of the rounds' ratios.
    @ivar aim: how many times it should be; None where there is no more to wish for.
    """

    key: str
    beside: str
    most: float
    aim: float | None = None


@dataclass(frozen=True)
class Verdict:
    """
    Whether a bound holds.

    @ivar work: the name of the work.
    @ivar bound: the bound.
    @ivar measured: the ratios; None where one of the two was not measured.
    """

    work: str
    bound: Bound
    measured: Spread | None

    @property
    def holds(self) -> bool:
        """Whether it was measured and is within the bound."""
        return self.measured is not None and self.measured.median <= self.bound.most

    @property
    def answer(self) -> str:
        """The same for people."""
        if self.measured is None:
            return "not measured"
        return "yes" if self.holds else "NO"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, how many times theirs ours is."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def numbers(runs: Sequence[Run], key: str) -> list[float]:
    """One of the numbers of every run."""
    return [run[key] for run in runs]


def against(runs: Runs, server: str, beside: str, key: str) -> Spread | None:
    """
    How many times the other's one server's number is.

    @return: None where one of the two has no runs.
    """
    if not runs.get(server) or not runs.get(beside):
        return None
    return Spread.of(ratios(numbers(runs[server], key), numbers(runs[beside], key)))


def judged(work: str, bound: Bound, runs: Runs) -> Verdict:
    """Whether a bound holds for the runs of a work."""
    return Verdict(work, bound, against(runs, "netsvc", bound.beside, bound.key))


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The same names, begun so many places later, so that none has always the same one before it."""
    by %= len(names) or 1
    return [*names[by:], *names[:by]]


def short(number: float) -> str:
    """A number in three digits, or in all that stand before the point."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"
