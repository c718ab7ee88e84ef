"""The inputs that exploring has kept: none of them does what no input may do; and how they are chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.guided import corpus
from tests.fuzz.guided.least import least
from tests.fuzz.guided.reading import Reading, pieces_at, single
from tests.fuzz.guided.seeds import dictionary, seeds
from tests.fuzz.guided.targets import TARGETS, attempt

#: Bytes that all of them together may have in the tree.
_MOST = 300_000


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_that_was_kept_fails(target: str) -> None:
    files = corpus.kept(target)
    assert files, "nothing was kept"
    for file in files:
        try:
            attempt(target, file.read_bytes())
        except Exception as error:
            error.add_note(f"to see it again: .venv/bin/python -m tests.fuzz.guided --repeat {target} {file}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_exploring_begins_with_inputs_that_do_not_fail(target: str) -> None:
    assert dictionary(target).isascii()
    for data in [b"", b"\xff" * 50, *seeds(target)]:
        attempt(target, data)


def test_the_corpus_is_of_the_targets_and_small() -> None:
    files = [file for file in corpus.CORPUS.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} == set(TARGETS)
    assert sum(file.stat().st_size for file in files) < _MOST


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of the test's own."""
    monkeypatch.setattr(corpus, "CORPUS", tmp_path)
    return tmp_path


def test_of_inputs_that_reach_the_same_the_shortest_is_kept(elsewhere: Path) -> None:
    long, short, other = b"service=someone", b"service=one", b"kind=none"
    assert corpus.fewest("query", [long, other, short]) == [other, short]
    assert corpus.keep("query", [long]) == (1, len(long))
    # What is kept is not replaced by what reaches no more.
    assert corpus.keep("query", [short]) == (1, len(long))
    assert [file.read_bytes() for file in corpus.kept("query")] == [long]
    assert corpus.keep("query", [short, other]) == (2, len(long) + len(other))


def test_what_was_found_once_stays(elsewhere: Path) -> None:
    corpus.keep("query", [b"service=one"])
    (elsewhere / "query" / "found-other").write_bytes(b"service=two")
    corpus.keep("query", [b"kind=sent"])
    assert {file.read_bytes() for file in corpus.kept("query")} >= {b"kind=sent", b"service=two"}


def test_no_more_is_kept_than_was_asked_for() -> None:
    assert sum(map(len, corpus.fewest("proxy", seeds("proxy")))) > 50
    assert 0 < sum(map(len, corpus.fewest("proxy", seeds("proxy"), [b"PROXY " * 20], most=50))) <= 50


def test_an_input_that_fails_loses_what_it_does_not_need() -> None:
    def check(data: bytes) -> None:
        if data.count(b"a") > 1 and b"z" in data:
            raise ValueError

    assert least(check, b"the quick brown cat had a lazy afternoon") == b"aaz"
    assert least(check, b"zebra") == b"zebra"


def test_an_input_means_something_however_short_it_is() -> None:
    given = Reading(b"\x05\x03abc")
    assert given.one_of("abc") == "c"
    assert given.piece() == b"abc"
    assert not given
    assert (given.byte(), given.piece(), given.places(), given.rest()) == (0, b"", [], b"")
    assert Reading(b"\xf0x").piece() == b"x" * 4097


def test_a_piece_is_never_empty() -> None:
    assert pieces_at(b"abc", [0, 1, 1, 3, 4]) == [b"a", b"bc"]
    assert pieces_at(b"", [7]) == single(b"") == []
    assert single(b"ab") == [b"a", b"b"]


def test_a_file_can_be_given_to_a_target_again(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"PROXY UNKNOWN\r\n")
    command = [sys.executable, "-m", "tests.fuzz.guided", "--repeat", "proxy", str(file)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
