"""What a measurement prints: the machine, tables of medians with their spread, and whether a bound holds."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence


def say(text: str) -> None:
    """Print a text, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def machine() -> str:
    """What the figures were measured on."""
    import twisted

    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, Linux {platform.release()}, {platform.machine()}, "
        f"CPython {platform.python_version()}, Twisted {twisted.__version__}; load {os.getloadavg()[0]:.2f}"
    )


def table(title: str, unit: str, rounds: Mapping[str, Sequence[float]]) -> None:
    """
    Print one line for each thing that was measured.

    @param title: what was measured.
    @param unit: of the numbers.
    @param rounds: for each thing its number in every round.
    """
    count = len(next(iter(rounds.values())))
    say(f"\n{title} ({unit}; {count} rounds)")
    width = max(map(len, rounds))
    say(f"  {'':{width}}  {'median':>9}  {'least':>9}  {'most':>9}")
    for name, numbers in rounds.items():
        middle = statistics.median(numbers)
        say(f"  {name:{width}}  {middle:9.3f}  {min(numbers):9.3f}  {max(numbers):9.3f}")


def bound(what: str, number: float, most: float) -> bool:
    """Print whether a number is within its bound; gives that."""
    holds = number <= most
    say(f"  {what}: {number:.3f}, at most {most:g}: {'holds' if holds else 'DOES NOT HOLD'}")
    return holds


def percentile(numbers: Sequence[float], percent: float) -> float:
    """The number that so many percent of the numbers do not exceed."""
    return sorted(numbers)[max(0, round(len(numbers) * percent / 100) - 1)]
