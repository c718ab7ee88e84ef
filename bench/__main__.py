"""Run every measurement: `python -m bench`, or some of them: `python -m bench fairness stall`."""

from __future__ import annotations

import sys
from importlib import import_module

from bench.report import machine, say

ALL = ("fairness", "connects", "registration", "stall", "message")


def main(names: list[str]) -> int:
    """
    @param names: which; none is all.
    @return: the exit status: 0, 1 where a bound does not hold, 2 where there is no such measurement.
    """
    unknown = set(names) - set(ALL)
    if unknown:
        say(f"no such measurement: {', '.join(sorted(unknown))}; there is {', '.join(ALL)}")
        return 2
    say(machine())
    held = [import_module(f"bench.{name}").main() for name in names or ALL]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
