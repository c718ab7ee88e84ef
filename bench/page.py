"""The page of the documentation that has the figures of one run, and what is kept of a run for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import tables
from bench.compiled import CACHE
from bench.figures import Verdict, judged
from bench.works import GROUPS, WORKS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance-figures.md"
PLOT = DOCS / "performance.svg"

_KEPT = CACHE / "figures.json"

_HEAD = """# Figures

Made by `make bench ARGS=--write`; what they mean is in [Performance](performance.md).

{date}; {machine}.

All in one run: the servers on one core, the load on the other, in turn, {rounds} rounds (fewer where it says
how something grows). A number is the median of the rounds, in brackets the least and the most. A ratio is
made in each round; the median of the ratios is shown. Processor time is the server's, with all its threads
and children and the system's part, divided by what it did. What is done in a second, and the percentiles, are
of a load that sends when it has its answer; only `rate` and `udp` send at fixed times.

![Processor time by server, and how it grows](performance.svg)
"""


@dataclass
class Measured:
    """
    What one run found.

    @ivar date: when.
    @ivar machine: on what.
    @ivar rounds: how many rounds.
    @ivar works: for each work its runs, by server.
    """

    date: str
    machine: str
    rounds: int
    works: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)

    def verdicts(self) -> list[Verdict]:
        """Whether the bounds of the works that were measured hold."""
        return [
            judged(name, bound, runs) for name, runs in self.works.items() for bound in WORKS[name].bounds
        ]

    def keep(self) -> None:
        """Write it down, for a page that is made later."""
        CACHE.mkdir(parents=True, exist_ok=True)
        _KEPT.write_text(json.dumps(asdict(self)))


def kept() -> Measured:
    """
    The last run.

    @raise OSError: there was none.
    """
    return Measured(**json.loads(_KEPT.read_text()))


def write(measured: Measured) -> None:
    """Write the page."""
    PAGE.write_text("\n".join(_parts(measured)))


def _parts(measured: Measured) -> Iterable[str]:
    works = measured.works
    yield _HEAD.format(**{name: getattr(measured, name) for name in ("date", "machine", "rounds")})
    if verdicts := measured.verdicts():
        yield f"## What must hold\n\n{tables.markdown(tables.verdicts(verdicts))}\n"
    if any(name.startswith("timestamp") for name in works):
        yield "## Processor time of a message\n\ntimestamp; µs; size of the message, number of connections.\n"
        yield tables.markdown(tables.grid(works)) + "\n"
    for group, title in (
        ("growth-connections", "How the processor time of a message grows with the connections"),
        ("growth-clients", "How the processor time of a cycle grows with the client list"),
    ):
        if any(works.get(name) for name in GROUPS[group]):
            yield f"## {title}\n\nµs.\n\n{tables.markdown(tables.growth(works, group))}\n"
    yield "## Work by work"
    for name, runs in works.items():
        if runs:
            yield f"\n### {name}: {WORKS[name].title}\n\n{tables.markdown(tables.of_work(WORKS[name], runs))}"
            if lost := tables.lost(runs):
                yield f"\n{lost}."
    yield ""
