"""
What shows only in time: `make soak`, or `python -m tests.soak`.

First an hour, or as long as is asked for, of honest and rough clients, with a reload now and then; then
reloads and restarts under all the load that there can be; then rounds of load and `kill -9`. All in a network
namespace of its own, where that may be made. It ends with status 1 where anything differs of what was sent,
answered, recorded and counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.live.restarts import restart_often
from tests.soak import journal, reload
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
    parser.add_argument("--reloads", type=int, default=100, help="under as much load as there can be (100)")
    parser.add_argument("--restarts", type=int, default=100, help="under load, on sockets that stay (100)")
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
    if asked.reloads:
        status |= reload.main([str(asked.reloads)])
    if asked.restarts:
        status |= _restart(asked.restarts)
    if asked.kills:
        status |= journal.main([str(asked.kills), f"--seed={seed}"])
    return status


def _restart(times: int) -> int:
    with tempfile.TemporaryDirectory(prefix="netsvc-soak-") as directory:
        clients = restart_often(Path(directory), times)
    failures = [failure for one in clients for failure in one.failures]
    answered = sum(one.answered for one in clients)
    say(f"{times} restarts: {answered:,} questions answered, {len(failures)} refused or lost")
    for failure in failures:
        say(f"  {failure}")
    return 1 if failures else 0


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
