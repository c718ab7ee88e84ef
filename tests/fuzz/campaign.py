"""
Runs made inputs through one target: makes each, hands it to a check, and says which one it was that failed.

An input is a plain value (bytes, text, tuples of such), so that one that failed can be pasted into a test.
``NETSVC_FUZZ_INPUTS`` is how many inputs all targets get together, ``NETSVC_FUZZ_SEED`` where chance begins.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from zope.interface import implementer

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher

from tests.fuzz.inputs import Inputs

_Input = TypeVar("_Input")

#: Bytes that a failure shows as they are.
_LONG = 64

#: What `make test` runs; `make fuzz` runs a million.
INPUTS = int(os.environ.get("NETSVC_FUZZ_INPUTS", "20000"))

#: The same each time, so that a failure of today is one of tomorrow too.
SEED = int(os.environ.get("NETSVC_FUZZ_SEED", "1862"))


class BrokenError(AssertionError):
    """An input did what no input may do."""


def one_line(text: str) -> None:
    """
    Whatever is told to a person is one line, and nothing in it acts on a terminal.

    @raise BrokenError: this is not.
    """
    if not (text and text.isprintable()):
        raise BrokenError(f"not one line: {text!r}")


@dataclass(frozen=True)
class Result:
    """
    What a campaign did.

    @ivar inputs: how many inputs were tried.
    @ivar seconds: of the processor that it took, whoever else used it meanwhile.
    """

    inputs: int
    seconds: float


def run(
    target: str,
    share: float,
    make: Callable[[Inputs], _Input],
    check: Callable[[_Input], None],
    simpler: Callable[[_Input], Iterable[_Input]] = lambda made: (),
    inputs: int | None = None,
    seed: int = SEED,
) -> Result:
    """
    Try a target's share of the inputs.

    @param target: its name, for the message.
    @param share: percent of all inputs.
    @param make: makes one.
    @param check: tries it; raises what it will where something is wrong. What it has logged as an error, or
        what nobody could catch, is wrong as well.
    @param simpler: gives inputs like one but with less in them, to find out what of it makes it fail.
    @param inputs: all inputs of all targets.
    @param seed: where chance begins.
    @raise BrokenError: an input failed; the text has it as a Python literal.
    """
    chance = Inputs(f"{seed} {target}")
    count = math.ceil((INPUTS if inputs is None else inputs) * share / 100)
    began = time.process_time()
    with watching() as faults:
        for number in range(count):
            made = make(chance)
            if _fault(check, made, faults) is not None:
                least, error = _least(made, check, simpler, faults)
                raise BrokenError(
                    f"target {target}, NETSVC_FUZZ_SEED={seed}, input {number} of {count}; "
                    f"the least that fails is\n{literal(least)}\n"
                    f"{type(error).__name__}: {error}"
                ) from error
    return Result(count, time.process_time() - began)


def _fault(check: Callable[[_Input], None], made: _Input, faults: list[str]) -> Exception | None:
    try:
        check(made)
        if faults:
            raise BrokenError(" and ".join(faults))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        faults.clear()
        return error
    return None


def _least(
    made: _Input,
    check: Callable[[_Input], None],
    simpler: Callable[[_Input], Iterable[_Input]],
    faults: list[str],
) -> tuple[_Input, Exception | None]:
    """The first of an input's simpler forms that fails too, and so on until none does; and how it fails."""
    for one in simpler(made):
        if _fault(check, one, faults) is not None:
            return _least(one, check, simpler, faults)
    return made, _fault(check, made, faults)


def literal(value: object) -> str:
    """A value as Python code; bytes and texts that repeat themselves stand there once."""
    if isinstance(value, list):
        return "[" + ", ".join(literal(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bytes | str) and len(value) > _LONG:
        for size in range(1, _LONG):
            if value[size:] == value[:-size]:
                return f"({value[:size]!r} * {len(value) // size + 1})[:{len(value)}]"
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        if fields:
            inside = ", ".join(f"{name}={literal(one)}" for name, one in zip(fields, value, strict=True))
            return f"{type(value).__name__}({inside})"
        inside = ", ".join(literal(one) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


@implementer(ILogObserver)
class _Observer:
    """Collects what no input may cause: errors in the log, and lines that act on whoever reads the log."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        level = event.get("log_level")
        text = formatEvent(event)
        if failure is not None:
            self._faults.append(f"the log got a failure: {text}\n{failure.getTraceback()}")
        elif level in (LogLevel.error, LogLevel.critical):
            self._faults.append(f"the log got an error: {text}")
        elif not text.isprintable() or text.startswith("Unable to format"):
            self._faults.append(f"the log got the line {text!r}")


@contextmanager
def watching() -> Iterator[list[str]]:
    """Give the list of what goes wrong where nobody catches it, as long as the with statement lasts."""
    faults: list[str] = []
    observer = _Observer(faults)
    before = sys.unraisablehook

    def unraisable(lost: Any) -> None:
        faults.append(f"an exception that nobody could catch: {lost.exc_value!r} in {lost.object!r}")

    sys.unraisablehook = unraisable
    globalLogPublisher.addObserver(observer)
    try:
        yield faults
    finally:
        globalLogPublisher.removeObserver(observer)
        sys.unraisablehook = before
