"""Whether a journal is whole, and what is in it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from netsvc.commands.journal.file import is_written_to
from netsvc.journal.disk.lock import Lock
from netsvc.journal.disk.schema import SCHEMA
from tests.commands.journalrig import BEGAN, fact, journal
from tests.commands.programs import netsvc


def checked(file: Path) -> tuple[int, dict[str, Any]]:
    """The exit status, and what is known."""
    status, output, errors = netsvc("journal", "check", str(file), "--json")
    assert errors == ""
    known: dict[str, Any] = json.loads(output)
    return status, known


def damaged(file: Path) -> Path:
    """A journal with many facts whose pages, but for the first few, hold nonsense."""
    journal(file, (fact(seq, bytes(2000)) for seq in range(1, 1000)))
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2)
        opened.write(random.Random(1).randbytes(200_000))
    return file


def test_a_journal_that_is_whole_is_described(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", [fact(2), fact(5), fact(90)])
    assert netsvc("journal", "check", str(file), environment={"TZ": "UTC"}) == (
        0,
        (
            f"{file}: whole\n"
            f"schema  version {SCHEMA.version}\n"
            "facts   3\n"
            "first   2026-11-20 12:27:48.000000  seq 2\n"
            "last    2026-11-20 12:29:16.000000  seq 90\n"
            f"size    {file.stat().st_size / 1000:.1f} kB, 0 bytes of it free; log 0 bytes\n"
            "writer  none\n"
        ).encode(),
        "",
    )


def test_the_same_is_told_as_json(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", [fact(2), fact(5), fact(90)])
    assert checked(file) == (
        0,
        {
            "file": str(file),
            "whole": True,
            "problems": [],
            "version": SCHEMA.version,
            "facts": 3,
            "first": {"seq": 2, "time": str(BEGAN + 2 * 10**9)},
            "last": {"seq": 90, "time": str(BEGAN + 90 * 10**9)},
            "free": 0,
            "bytes": file.stat().st_size,
            "log": 0,
            "written_to": False,
        },
    )


def test_an_empty_journal_is_whole(tmp_path: Path) -> None:
    status, known = checked(journal(tmp_path / "netsvc.db", []))
    assert (status, known["whole"], known["facts"], known["first"]) == (0, True, 0, None)
    assert b"first   none\n" in netsvc("journal", "check", str(tmp_path / "netsvc.db"))[1]


def test_a_damaged_journal_is_a_failure_that_says_where(tmp_path: Path) -> None:
    file = damaged(tmp_path / "netsvc.db")
    status, output, errors = netsvc("journal", "check", str(file))
    assert status == 1
    assert output.startswith(f"{file}: damaged\n".encode())
    lines = errors.splitlines()
    assert 1 <= len(lines) <= 10
    assert all(line.startswith(f"netsvc: {file}: ") for line in lines)
    status, known = checked(file)
    assert (status, known["whole"], known["problems"] != []) == (1, False, True)


def test_a_journal_that_is_cut_short_is_one_line(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", (fact(seq, bytes(2000)) for seq in range(1, 1000)))
    os.truncate(file, file.stat().st_size // 2)
    why = "no journal, or a damaged one (database disk image is malformed)"
    assert netsvc("journal", "check", str(file), "--json") == (1, b"", f"netsvc: {file}: {why}\n")


def test_who_has_it_open_is_known_from_the_lock(tmp_path: Path) -> None:
    file = journal(tmp_path / "netsvc.db", [fact(1)])
    link = tmp_path / "link.db"
    link.symlink_to(file)
    assert not is_written_to(link)
    lock = Lock(file)
    assert is_written_to(link)
    lock.release()
    assert not is_written_to(link)
