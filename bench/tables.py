"""The tables of the comparison: their cells as text, for the terminal and for a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.contenders import TITLES
from bench.figures import UNITS, Runs, Spread, Verdict, against, numbers, short
from bench.works import GROUPS, WORKS, Work

#: Lines of cells, the first is the head.
Table = list[list[str]]

_GRID = (("16", "16 B"), ("", "64 B"), ("1k", "1 KiB"), ("16k", "16 KiB"))


def of_work(work: Work, runs: Runs) -> Table:
    """Everything about one work: a line for each server."""
    known = next(iter(runs.values()))[0]
    key = "memory" if "memory" in known else "cpu"
    rest = [name for name in ("rate", "p50", "p99", "p999") if name in known]
    title, unit = UNITS[key]
    table = [["server", f"{title} {work.one}, {unit}", "netsvc / this", *map(_head, rest)]]
    for server, own in runs.items():
        times = against(runs, "netsvc", server, key)
        table.append(
            [
                TITLES[server],
                str(Spread.of(numbers(own, key))),
                "" if times is None or server == "netsvc" else str(times),
                *(short(Spread.of(numbers(own, name)).median) for name in rest),
            ]
        )
    return table


def lost(runs: Runs) -> str:
    """A sentence about what was lost in a work; empty where nothing was."""
    found = {
        TITLES[server]: sum(numbers(own, "lost")) for server, own in runs.items() if own and "lost" in own[0]
    }
    return ", ".join(f"{server} has lost {count:,.0f}" for server, count in found.items() if count)


def verdicts(all_verdicts: Iterable[Verdict]) -> Table:
    """What must hold, and whether it does."""
    table = [["work", "netsvc's", "beside", "no more than", "aim", "measured", "held"]]
    for one in all_verdicts:
        bound = one.bound
        table.append(
            [
                f"{one.work}: {WORKS[one.work].title}",
                f"{UNITS[bound.key][0]} {WORKS[one.work].one}"
                if bound.key in ("cpu", "memory")
                else UNITS[bound.key][0],
                TITLES[bound.beside],
                f"{bound.most:g}",
                "" if bound.aim is None else f"{bound.aim:g}",
                "" if one.measured is None else str(one.measured),
                one.answer,
            ]
        )
    return table


def grid(works: Mapping[str, Runs]) -> Table:
    """Processor time of a message by size and number of connections: a line for each server."""
    columns = [
        (f"{size}, {connections:,}", f"timestamp-{connections}{name and '-'}{name}")
        for name, size in _GRID
        for connections in (1, 64, 1000)
    ]
    return _medians(works, columns)


def growth(works: Mapping[str, Runs], group: str) -> Table:
    """Processor time by a number that grows: a line for each server that was measured with the largest."""
    return _medians(
        works, [(f"{int(name.rpartition('-')[2]):,}", name) for name in GROUPS[group]], every=True
    )


def _medians(works: Mapping[str, Runs], columns: Sequence[tuple[str, str]], every: bool = False) -> Table:
    columns = [(head, name) for head, name in columns if works.get(name)]
    servers = list(dict.fromkeys(server for _, name in columns for server in works[name]))
    if every:
        servers = [one for one in servers if all(one in works[name] for _, name in columns)]
    table = [["server", *(head for head, _ in columns)]]
    for server in servers:
        cells = [works[name].get(server) for _, name in columns]
        table.append(
            [TITLES[server], *(short(Spread.of(numbers(own, "cpu")).median) if own else "" for own in cells)]
        )
    return table


def aligned(table: Table) -> str:
    """A table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """A table for a page."""
    head, *rows = table
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _head(key: str) -> str:
    title, unit = UNITS[key]
    return f"{title}, {unit}" if unit else title
