"""
The inputs that are kept in the tree: few and short, and together they reach what any did.

Those whose name begins with ``found-`` once failed, and stay whatever else is kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import autobahn

import twisted

from tests.fuzz.guided.targets import attempt

_TREE = Path(__file__).parents[3]

#: Where they are, in a directory for each target.
CORPUS = _TREE / "tests" / "fuzz" / "corpus"

#: Bytes that are kept for one target: all targets have some seconds together in `make test`.
MOST = 24_000

_FOUND = "found-"

#: What is counted: netsvc, and what reads HTTP and frames for it.
_COUNTED = (
    str(_TREE / "netsvc"),
    str(Path(autobahn.__file__).parent / "websocket"),
    str(Path(twisted.__file__).parent / "web"),
)

#: A place in the code that was reached, from which line, and how often, to a power of two.
Arc = tuple[CodeType, int, int, int]


def kept(target: str) -> list[Path]:
    """A target's files, in the order of their names."""
    return sorted((CORPUS / target).glob("*"))


def name_of(data: bytes) -> str:
    """What an input is called."""
    return hashlib.sha256(data).hexdigest()[:12]


def reached(target: str, data: bytes) -> set[Arc]:
    """
    Where a target comes with an input; nowhere where it fails.

    Only code that counts is looked at, so that nothing else takes longer.
    """
    arcs: Counter[tuple[CodeType, int, int]] = Counter()
    before: dict[FrameType, int] = {}

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            arcs[frame.f_code, before.get(frame, 0), frame.f_lineno] += 1
            before[frame] = frame.f_lineno
        elif event == "return":
            before.pop(frame, None)
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(_COUNTED) else None

    sys.settrace(call)
    try:
        attempt(target, data)
    except Exception:  # noqa: BLE001 - whoever explores has been told of it
        return set()
    finally:
        sys.settrace(None)
    return {(*arc, count.bit_length()) for arc, count in arcs.items()}


def fewest(
    target: str, others: Collection[bytes], now: Collection[bytes] = (), most: int = MOST
) -> list[bytes]:
    """
    Inputs that each reach something new: of those that are kept now, and then of others, the shortest first.

    @param now: those that are kept; where all would be too much, they count no more than the others.
    @param most: bytes that they may have together.
    """
    # What is done only once in a process shall count for none of them.
    attempt(target, b"")
    arcs = {data: reached(target, data) for data in {*now, *others}}
    first = set(now)
    chosen = _fresh(arcs, sorted(arcs, key=lambda one: (one not in first, len(one), one)))
    if sum(map(len, chosen)) <= most:
        return chosen
    chosen = _fresh(arcs, sorted(arcs, key=lambda one: (len(one), one)))
    sizes = accumulate(map(len, chosen))
    return [data for data, size in zip(chosen, sizes, strict=True) if size <= most]


def _fresh(arcs: Mapping[bytes, set[Arc]], order: Iterable[bytes]) -> list[bytes]:
    known: set[Arc] = set()
    chosen = []
    for data in order:
        if not arcs[data] <= known:
            known |= arcs[data]
            chosen.append(data)
    return chosen


def keep(target: str, others: Collection[bytes]) -> tuple[int, int]:
    """
    Keep what reaches most, of what is kept now and of other inputs.

    @return: how many inputs are kept, and their bytes.
    """
    files = kept(target)
    chosen = fewest(target, others, [file.read_bytes() for file in files])
    for file in files:
        if not file.name.startswith(_FOUND):
            file.unlink()
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    found = {file.read_bytes() for file in kept(target)}
    for data in chosen:
        if data not in found:
            (CORPUS / target / name_of(data)).write_bytes(data)
    return len(chosen), sum(map(len, chosen))
