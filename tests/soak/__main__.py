"""
What shows only in time: `make soak`, or `python -m tests.soak`.

First an hour, or as long as is asked for, of honest and rough clients and of reloads; then rounds of load and
`kill -9`. All of it in a network namespace of its own, where that may be made. It ends with status 1 where
anything differs of what was sent, answered, recorded and counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.soak import journal
from tests.soak.journal import say
from tests.soak.mixed import Mixed

_INSIDE = "NETSVC_SOAK_INSIDE"


def main(arguments: list[str]) -> int:
    """
    Run everything.

    @param arguments: the command line.
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="of mixed load (60)")
    parser.add_argument("--kills", type=int, default=200, help="rounds of load and kill -9 (200)")
    parser.add_argument("--seed", type=int, default=None, help="the same random numbers again")
    asked = parser.parse_args(arguments)
    if _INSIDE not in os.environ and _can_unshare():
        return _inside(arguments)
    seed = Random().randrange(1 << 32) if asked.seed is None else asked.seed
    directory = Path(tempfile.mkdtemp(prefix="netsvc-soak-"))
    say(f"{asked.minutes:g} minutes of mixed load, seed {seed}, in {directory}")
    mixed = Mixed(directory, Random(seed))
    mixed.run(60 * asked.minutes)
    for line in (*mixed.report, f"{len(mixed.differences)} differences", *mixed.differences):
        say(f"  {line}")
    status = 1 if mixed.differences else 0
    if asked.kills:
        status |= journal.main([str(asked.kills), f"--seed={seed}"])
    return status


def _can_unshare() -> bool:
    done = subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def _inside(arguments: list[str]) -> int:
    """The same, in a network namespace of its own."""
    command = 'ip link set lo up && exec "$0" -m tests.soak "$@"'
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", command, sys.executable, *arguments],
        env={**os.environ, _INSIDE: "1"},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
