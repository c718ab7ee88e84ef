"""
Explores the targets, one after the other, keeps what reaches new code, and says what fails.

    python -m tests.fuzz.guided [--seconds SECONDS] [TARGET…]
    python -m tests.fuzz.guided --repeat TARGET FILE
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import literal
from tests.fuzz.guided.corpus import CORPUS, keep, name_of
from tests.fuzz.guided.least import least
from tests.fuzz.guided.seeds import dictionary, seeds
from tests.fuzz.guided.targets import TARGETS, attempt

_TREE = Path(__file__).parents[3]

#: Where inputs are that are not kept in the tree, for the next time; and what failed.
_WORK = _TREE / "build" / "fuzz"

#: Bytes of an input: longer ones are slower and reach little more. Seconds, MiB: what one may cost.
_LIMITS = ("-max_len=3000", "-timeout=30", "-rss_limit_mb=2048")

_RUNS = re.compile(r"stat::number_of_executed_units: +([0-9]+)")


def main() -> int:
    """
    See the top of the file.

    @return: the exit status: 1 where something failed.
    """
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    arguments.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    arguments.add_argument("--repeat", nargs=2, metavar=("TARGET", "FILE"), help="give a target one file")
    arguments.add_argument("target", nargs="*", help=", ".join(TARGETS))
    given = arguments.parse_args()
    if given.repeat:
        target, file = given.repeat
        attempt(target, Path(file).read_bytes())
        return 0
    if unknown := set(given.target) - set(TARGETS):
        arguments.error(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    return max(_explore(target, given.seconds) for target in given.target or TARGETS)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _explore(target: str, seconds: int) -> int:
    work, log = _WORK / target, _WORK / f"{target}.log"
    work.mkdir(parents=True, exist_ok=True)
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (work / name_of(seed)).write_bytes(seed)
    options = [*_LIMITS, f"-max_total_time={seconds}", "-print_final_stats=1"]
    if words := dictionary(target):
        (_WORK / f"{target}.dict").write_text(words)
        options.append(f"-dict={_WORK / target}.dict")
    options += [f"-artifact_prefix={_WORK}/{target}-", str(work), str(CORPUS / target)]
    began = time.time()
    with open(log, "wb") as output:
        status = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided.explore", target, *options],
            cwd=_TREE,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    failed = [
        file
        for kind in ("crash", "timeout", "oom")
        for file in sorted(_WORK.glob(f"{target}-{kind}-*"))
        if file.stat().st_mtime >= began
    ]
    for file in failed:
        _tell(target, file)
    if status and not failed:
        _say(f"{target}: exploring ended with status {status}; see {log}")
    kept, size = keep(target, [file.read_bytes() for file in work.iterdir()])
    runs = _RUNS.search(log.read_text(errors="replace"))
    _say(f"{target}: {runs[1] if runs else 'some'} inputs; {kept} are kept, {size:,} bytes")
    return 1 if status else 0


def _tell(target: str, file: Path) -> None:
    """Say what failed and how to see it again, with as little of it as fails."""
    data = file.read_bytes()
    if "-crash-" in file.name:
        data = least(lambda shorter: attempt(target, shorter), data)
        file.write_bytes(data)
    shown = file.relative_to(_TREE)
    _say(f"{target} fails on {shown}, which is\n{literal(data)}\nTo see it again:")
    _say(f"    .venv/bin/python -m tests.fuzz.guided --repeat {target} {shown}")


if __name__ == "__main__":
    sys.exit(main())
