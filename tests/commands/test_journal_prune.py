"""The oldest facts leave a journal, and their space is given back."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import time_ns

import click
import pytest

from netsvc.commands.journal.prune import AgeType, alone
from netsvc.facts import NO_DETAIL, RECEIVED, Row
from netsvc.journal.disk.lock import Lock
from netsvc.journal.disk.schema import JournalError
from tests.commands.journalrig import UDP, fact, journal
from tests.commands.programs import netsvc, usage


def numbers(file: Path) -> list[int]:
    """The facts that are in a journal."""
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [seq for (seq,) in connection.execute("SELECT seq FROM fact ORDER BY seq")]


def large(file: Path, facts: int = 2000) -> Path:
    """A journal of some megabytes."""
    contents = random.Random(1)
    return journal(file, (fact(seq, contents.randbytes(seq % 3000)) for seq in range(1, facts + 1)))


def pruned(file: Path, *arguments: str) -> str:
    """Prune it; what was said, without the file's name."""
    status, output, errors = netsvc("journal", "prune", str(file), *arguments)
    assert (status, errors) == (0, "")
    line = output.decode()
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ").rstrip("\n")


def test_the_newest_stay_by_number_and_the_space_is_given_back(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db")
    before = file.stat().st_size
    assert pruned(file, "--count", "7").startswith("1,993 facts removed, 7 left; ")
    assert numbers(file) == list(range(1994, 2001))
    assert file.stat().st_size < before / 20
    assert sorted(os.listdir(tmp_path)) == ["netsvc.db", "netsvc.db.lock"]


def test_it_fits_into_a_size_and_not_much_less(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db")
    size = file.stat().st_size // 2
    pruned(file, "--size", str(size))
    assert size * 0.8 < file.stat().st_size <= size
    left = numbers(file)
    assert left == list(range(left[0], 2001))


def test_the_last_page_too_many_leaves(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, b"x") for seq in range(1, 2001)))
    for _ in range(5):
        size = file.stat().st_size - 1
        pruned(file, "--size", str(size))
        assert size * 0.8 < file.stat().st_size <= size


def test_what_is_older_leaves(tmp_path: Path) -> None:
    minutes_ago = [90, 61, 59, 1]
    rows: Sequence[Row] = [
        (seq, time_ns() - minutes * 60 * 10**9, RECEIVED, UDP, 1, b"x", None, NO_DETAIL)
        for seq, minutes in enumerate(minutes_ago, 1)
    ]
    file = journal(tmp_path / "netsvc.db", rows)
    assert pruned(file, "--age", "1h").startswith("2 facts removed, 2 left; ")
    assert numbers(file) == [3, 4]


def test_the_strictest_of_several_limits_counts(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db", 100)
    pruned(file, "--count", "50", "--size", "1G", "--age", "999999999d")
    assert numbers(file) == list(range(51, 101))


def test_a_journal_within_its_limits_stays_as_it_is(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db", 100)
    size = file.stat().st_size
    assert pruned(file, "--count", "100", "--size", str(size)).startswith("0 facts removed, 100 left; ")
    assert file.stat().st_size == size


def test_what_was_done_is_told_as_json(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db", 100)
    before = file.stat().st_size
    status, output, errors = netsvc("journal", "prune", str(file), "--count", "1", "--json")
    assert (status, errors) == (0, "")
    assert json.loads(output) == {
        "file": str(file),
        "removed": 99,
        "facts": 1,
        "bytes": file.stat().st_size,
        "bytes_before": before,
    }


def test_while_somebody_writes_to_it_nothing_is_done(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", map(fact, range(1, 10)))
    lock = Lock(file)
    status, output, errors = netsvc("journal", "prune", str(file), "--count", "1")
    lock.release()
    assert (status, output) == (1, b"")
    assert errors == (
        f"netsvc: {file}: a daemon writes to it, and removes what [journal] age, count and size say; "
        "set those, or stop it first\n"
    )
    assert len(numbers(file)) == 9


def test_while_it_is_pruned_nobody_can_begin_to_write_to_it(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", [fact(1)])
    with alone(file), pytest.raises(JournalError, match="another netsvc writes to it"):
        Lock(file)
    Lock(file).release()


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    file = large(tmp_path / "netsvc.db")
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(random.Random(1).randbytes(200_000))
    status, _, errors = netsvc("journal", "prune", str(file), "--count", "1")
    assert status == 1
    assert errors.startswith(f"netsvc: {file}: no journal, or a damaged one (")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2_592_000)])
def test_an_age_is_a_number_with_a_unit(text: str, seconds: int) -> None:
    assert AgeType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0s", "30", "d", "1.5h", "-1d", "1w"])
def test_what_is_no_age_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter):
        AgeType().convert(text, None, None)


@pytest.mark.parametrize("arguments", [[], ["--count", "0"], ["--size", "0"], ["--age", "30"]])
def test_what_would_remove_nothing_or_all_is_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    assert usage("journal", "prune", str(tmp_path), *arguments) == 2
