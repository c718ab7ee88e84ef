"""
Rounds of load and `kill -9`: `python -m tests.soak.journal`, 200 of them unless told otherwise.

It ends with status 1 at the first message that was acknowledged and is not in the journal, once, whole and in
order; the journal is left for a look at it then.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.live.acknowledged import Load
from tests.live.crashes import RECEIVERS, crash_once


def main(arguments: list[str]) -> int:
    """
    Run the rounds.

    @param arguments: the command line.
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak.journal")
    parser.add_argument("rounds", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="the same moments again, more or less")
    asked = parser.parse_args(arguments)
    seed = Random().randrange(1 << 32) if asked.seed is None else asked.seed
    directory = Path(tempfile.mkdtemp(prefix="netsvc-soak-"))
    say(f"{asked.rounds} rounds, seed {seed}, in {directory}; receivers: {' '.join(RECEIVERS)}")
    load = Load(Random(seed))
    for number in range(1, asked.rounds + 1):
        crash_once(directory, load)
        try:
            there = load.assert_recorded(directory / "journal.db")
        except AssertionError as failure:
            say(f"round {number}: {failure}")
            return 1
        say(f"round {number}: {load.acknowledged} acknowledged, 0 lost, 0 torn; {there} recorded")
    return 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
