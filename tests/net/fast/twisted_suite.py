"""
Twisted's own tests on a reactor, each one's outcome by its name.

A program, because the tests want a process and its reactor for themselves: the reactor, the file for what
becomes known, and the tests. `trial --reactor` would not do: most of Twisted's tests of reactors make the
reactors that are on a list, whatever is installed.

The reactor under test is on that list under the name of Twisted's own. By that name Twisted leaves out what
no reactor on epoll can do, and by it two runs have the same tests.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from twisted.internet import epollreactor
from twisted.internet.main import installReactor
from twisted.python.failure import Failure
from twisted.trial.reporter import Reporter

from netsvc.net.fast.reactor import NetsvcReactor

TREE = Path(__file__).parent.parent.parent.parent

#: Seconds that all tests together may take; far more than they do, and less than a test of ours may hang.
PATIENCE = 80.0

PASSED = "passed"

_MADE: list[None] = []


class EPollReactor(NetsvcReactor):
    """Ours, under the name of Twisted's, and counted."""

    def __init__(self) -> None:
        """Count it."""
        super().__init__()  # type: ignore[no-untyped-call]
        _MADE.append(None)


#: The reactors that can be chosen: each with its place in the tests' list.
REACTORS: dict[str, tuple[type[Any], str]] = {
    "epoll": (epollreactor.EPollReactor, "twisted.internet.epollreactor.EPollReactor"),
    "netsvc": (EPollReactor, "__main__.EPollReactor"),
}


@dataclass
class Run:
    """
    What became of the tests on one reactor.

    @ivar outcomes: for each test `PASSED` or what else, "unfinished" for one that the process ended in.
    @ivar texts: for each that did not pass what there is to read.
    @ivar made: how many reactors of ours were made.
    @ivar end: how the process ended, empty when it came to its own end.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    made: int = 0
    end: str = ""

    def text(self, test: str) -> str:
        """What a person reads of a test."""
        return f"{self.outcomes.get(test, 'there is no such test')}\n{self.texts.get(test, '')}".strip()

    def take(self, said: dict[str, Any]) -> None:
        """Take a line of what the process wrote."""
        if "made" in said:
            self.made = said["made"]
            return
        test, outcome = said["test"], said["outcome"]
        if self.outcomes.get(test, "unfinished") in ("unfinished", PASSED):
            self.outcomes[test] = outcome
        if said["text"]:
            self.texts[test] = self.texts.get(test, "") + said["text"]


class Trial:
    """A run that has begun."""

    def __init__(self, reactor: str, directory: Path, tests: Sequence[str]) -> None:
        """
        @param reactor: of `REACTORS`.
        @param directory: an empty one, its path short enough for names of UNIX sockets in it.
        @param tests: names of packages, modules or single tests.
        """
        self._known, self._output = directory / "known", directory / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.net.fast.twisted_suite", reactor, str(self._known), *tests],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(TREE)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._deadline = time.monotonic() + PATIENCE

    def result(self) -> Run:
        """Wait for its end."""
        run = Run()
        try:
            status = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            run.end = "it hung"
        else:
            run.end = f"exit status {status}: {self._output.read_text(errors='replace')}" if status else ""
        if self._known.exists():
            # The last line may be a part of one, where the process was killed.
            for line in self._known.read_text().split("\n")[:-1]:
                run.take(json.loads(line))
        return run

    def kill(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()


class Outcomes(Reporter):
    """Writes what becomes of each test as it becomes known, a JSON object in a line."""

    known: TextIO

    def _write(self, test: Any, outcome: str, text: object = "") -> None:
        print(
            json.dumps({"test": test.id(), "outcome": outcome, "text": str(text)}),
            file=self.known,
            flush=True,
        )

    def _write_failure(self, test: Any, outcome: str, error: Any) -> None:
        failure = error if isinstance(error, Failure) else Failure(error[1], error[0], error[2])
        self._write(test, outcome, failure.getTraceback())

    def startTest(self, test: Any) -> None:
        """See `twisted.trial.itrial.IReporter`, as for the others."""
        super().startTest(test)  # type: ignore[no-untyped-call]
        self._write(test, "unfinished")

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)  # type: ignore[no-untyped-call]
        self._write(test, PASSED)

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)  # type: ignore[no-untyped-call]
        self._write_failure(test, "error", error)

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)  # type: ignore[no-untyped-call]
        self._write_failure(test, "failure", fail)

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)  # type: ignore[no-untyped-call]
        self._write(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, error: Any, todo: Any = None) -> None:
        super().addExpectedFailure(test, error, todo)  # type: ignore[no-untyped-call]
        self._write(test, "failed as expected", error)

    def addUnexpectedSuccess(self, test: Any, todo: Any = None) -> None:
        super().addUnexpectedSuccess(test, todo)  # type: ignore[no-untyped-call]
        self._write(test, "passed, unexpected")

    def done(self) -> None:
        """Nobody reads a summary."""


def main(reactor: str, file: str, *tests: str) -> None:
    """
    Run tests.

    @param reactor: of `REACTORS`.
    @param file: where what becomes known is written.
    @param tests: names of packages, modules or single tests.
    """
    made, name = REACTORS[reactor]
    installReactor(made())
    # They make the real reactor when they are imported, if there is none.
    from twisted.internet.test.reactormixins import ReactorBuilder
    from twisted.trial.runner import TestLoader, TrialRunner

    ReactorBuilder._reactors = [name]
    with Path(file).open("w") as Outcomes.known:
        TrialRunner(Outcomes, stream=io.StringIO()).run(TestLoader().loadByNames(list(tests), recurse=True))
        print(json.dumps({"made": len(_MADE)}), file=Outcomes.known)


if __name__ == "__main__":
    main(*sys.argv[1:])
