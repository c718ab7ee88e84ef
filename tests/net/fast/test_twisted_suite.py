"""Whatever of Twisted's own tests passes on its reactor for epoll passes on ours."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.net.fast.twisted_suite import PASSED, REACTORS, Run, Trial

pytestmark = pytest.mark.live

TESTS = (
    "twisted.internet",
    "twisted.test.test_tcp",
    "twisted.test.test_udp",
    "twisted.protocols.test",
    "twisted.web.test",
)

#: Tests that are lost and are tried again, each alone. More than these are no noise of a slow machine.
AGAIN = 10

#: Tests that are lost of which a message shows more than the name.
SHOWN = 20

Both = dict[str, Run]


@pytest.fixture
def on_both() -> Iterator[Callable[[Sequence[str]], Both]]:
    """Runs tests on both reactors at the same time, in short-named directories that anybody may enter."""
    with tempfile.TemporaryDirectory(prefix="trial-") as top:
        Path(top).chmod(0o755)
        numbers = itertools.count()

        def directory() -> Path:
            path = Path(top) / str(next(numbers))
            path.mkdir()
            return path

        def run(tests: Sequence[str]) -> Both:
            trials = {reactor: Trial(reactor, directory(), tests) for reactor in REACTORS}
            try:
                return {reactor: trial.result() for reactor, trial in trials.items()}
            finally:
                for trial in trials.values():
                    trial.kill()

        yield run


def lost(both: Both) -> list[str]:
    """The tests that pass on epoll and do not on ours."""
    ours = both["netsvc"].outcomes
    return [t for t, outcome in both["epoll"].outcomes.items() if outcome == PASSED != ours.get(t)]


def accounts(both: Both, tests: Sequence[str]) -> str:
    """What a person reads of tests that are lost."""
    shown = "\n".join(f"\n{test}\n{both['netsvc'].text(test)}" for test in tests[:SHOWN])
    return "\n".join([shown, *tests[SHOWN:]])


def check_ends(both: Both) -> None:
    """Both runs came to their end, with the same tests."""
    for reactor, run in both.items():
        unfinished = [test for test, outcome in run.outcomes.items() if outcome == "unfinished"]
        assert (run.end, unfinished) == ("", []), reactor
    assert set(both["epoll"].outcomes) == set(both["netsvc"].outcomes)


def check_made(both: Both) -> None:
    """Nearly all of them passed on epoll, and many of them on reactors of ours that they made themselves."""
    assert sum(outcome == PASSED for outcome in both["epoll"].outcomes.values()) > 2000
    ours = both["netsvc"]
    built = [t for t, outcome in ours.outcomes.items() if "_EPollReactorTests." in t and outcome == PASSED]
    assert len(built) > 250
    assert ours.made > len(built)
    assert both["epoll"].made == 0


def test_what_passes_on_epoll_passes_on_ours(on_both: Callable[[Sequence[str]], Both]) -> None:
    # One test, so that two workers do not each run it all.
    whole = on_both(TESTS)
    check_ends(whole)
    tests = lost(whole)
    if len(tests) <= AGAIN:
        alone = {test: on_both([test]) for test in tests}
        # One that cannot be run alone stays as it was.
        tests = [t for t, both in alone.items() if t not in both["epoll"].outcomes or t in lost(both)]
    assert not tests, accounts(whole, tests)
    check_made(whole)


def test_a_test_that_fails_is_skipped_or_is_missing_is_lost() -> None:
    theirs = Run({"a": PASSED, "b": PASSED, "c": PASSED, "d": "failure", "e": PASSED})
    ours = Run({"a": PASSED, "b": "failure", "c": "skipped", "d": PASSED}, {"b": "Traceback of b"})
    both = {"epoll": theirs, "netsvc": ours}
    assert lost(both) == ["b", "c", "e"]
    said = " ".join(accounts(both, lost(both)).split())
    assert said == "b failure Traceback of b c skipped e there is no such test"


def test_one_failure_of_a_test_outweighs_what_else_becomes_of_it() -> None:
    run = Run()
    for outcome, text in (("unfinished", ""), (PASSED, ""), ("error", "dirty"), (PASSED, "")):
        run.take({"test": "a", "outcome": outcome, "text": text})
    assert (run.outcomes, run.texts) == ({"a": "error"}, {"a": "dirty"})
