"""Run every measurement: `python -m bench`, or some of them: `python -m bench timestamp-64 stall`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from datetime import date
from importlib import import_module, util

from bench import page, tables
from bench.report import machine, say
from bench.rounds import compare, compare_memory
from bench.system import LOAD_CORE, on_core
from bench.works import GROUPS, WORKS, Work

#: The measurements that have a module of their own.
OTHERS = ("fairness", "connects", "registration", "stall", "message", "journal", "questions", "watched")

_KNOWN = (*WORKS, *GROUPS, *OTHERS, "page")

#: What a smoke run has: few rounds, short ones, and only those servers that a bound is about.
QUICK_ROUNDS, QUICK_SECONDS = 2, 0.1


def main(arguments: list[str]) -> int:
    """
    Measure what was asked for.

    @param arguments: the command line.
    @return: the exit status: 0, 1 where a bound does not hold.
    @raise SystemExit: with 2, the command line makes no sense.
    """
    parser = _parser()
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(_KNOWN):
        parser.error(f"there is no {', '.join(sorted(unknown))}; --help lists what there is")
    if asked.names == ["page"]:
        _write(page.kept())
        return 0
    names = asked.names or (["bounds"] if asked.quick else ["peers", *OTHERS])
    names = [one for name in names for one in GROUPS.get(name, (name,))]
    say(machine())
    measured = page.Measured(
        date.today().isoformat(), machine(), QUICK_ROUNDS if asked.quick else asked.rounds
    )
    held = True
    for name in dict.fromkeys(names):
        if name in WORKS:
            with on_core(LOAD_CORE):
                _compare(name, _quick(WORKS[name]) if asked.quick else WORKS[name], measured)
        else:
            held &= import_module(f"bench.{name}").main()
    verdicts = measured.verdicts()
    if verdicts:
        say(f"\nwhat must hold\n{tables.aligned(tables.verdicts(verdicts))}")
    if measured.works:
        measured.keep()
    if asked.write:
        _write(measured)
    return 0 if held and all(verdict.holds for verdict in verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        epilog=f"NAME: {', '.join(_KNOWN)}. `page` writes the page of the last run. More in bench/README.md.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all, unless told")
    parser.add_argument("--rounds", type=int, default=9, help="9 unless told")
    parser.add_argument("--quick", action="store_true", help="what must hold, in two short rounds")
    parser.add_argument("--write", action="store_true", help="write docs/performance-figures.md and its plot")
    return parser


def _compare(name: str, work: Work, measured: page.Measured) -> None:
    rounds = min(measured.rounds, work.most_rounds or measured.rounds)
    say(f"\n{name}: {work.title} ({rounds} rounds)")
    runs = compare_memory(work, rounds) if name == "idle" else compare(work, rounds)
    measured.works[name] = {server: list(map(dict, own)) for server, own in runs.items()}
    if runs:
        say(tables.aligned(tables.of_work(work, runs)))
    if lost := tables.lost(runs):
        say(f"  {lost}")


def _quick(work: Work) -> Work:
    beside = [bound.beside for bound in work.bounds] or list(work.contenders)
    contenders = tuple(one for one in work.contenders if one == "netsvc" or one in beside)
    return dataclasses.replace(work, contenders=contenders, seconds=QUICK_SECONDS)


def _write(measured: page.Measured) -> None:
    page.write(measured)
    say(f"\nwrote {page.PAGE}")
    if util.find_spec("matplotlib") is None:
        say("no plot: matplotlib is not installed")
        return
    import_module("bench.plot").draw(measured, page.PLOT)
    say(f"wrote {page.PLOT}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
