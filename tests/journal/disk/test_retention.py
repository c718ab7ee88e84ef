"""`netsvc.journal.disk.retention`: what leaves, in small steps, and that its space comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsvc.facts import RECEIVED
from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.database import Database
from netsvc.journal.disk.retention import STEP_FACTS, Retention
from tests.journal.disk.rig import ORIGIN

DAY = 86_400
_NANOSECONDS = 1_000_000_000


class Rig:
    """A journal."""

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        self.connection = Database(path, print, size).open()
        self.seq = 0

    def write(self, count: int, day: float = 0.0, length: int = 10) -> None:
        """Write messages of a length, noted on a day."""
        notes = (int(day * DAY * _NANOSECONDS), RECEIVED, ORIGIN, b"x" * length, None) * count
        self.connection.execute("BEGIN")
        self.connection.executemany(INSERT, records_of(self.seq + 1, notes))
        self.connection.execute("COMMIT")
        self.seq += count

    def seqs(self) -> list[int]:
        """What is there."""
        return [seq for (seq,) in self.connection.execute("SELECT seq FROM fact ORDER BY seq")]

    def rest(self, retention: Retention) -> int:
        """Do all that is to be done where nothing is written; gives in how many steps."""
        steps = 1
        while retention.meanwhile(self.connection):
            steps += 1
            assert steps < 10_000
        return steps

    def size(self) -> int:
        """Bytes on disk."""
        return sum(
            one.stat().st_size for one in self.path.parent.glob("journal.db*") if "shm" not in one.name
        )


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal.db")
    yield made
    made.connection.close()


def retention(age: float = 0, count: int = 0, size: int = 0, today: float = 0.0) -> Retention:
    return Retention(age * DAY, count, size, now=lambda: int(today * DAY * _NANOSECONDS))


def test_without_limits_everything_stays(rig: Rig) -> None:
    rig.write(3000)
    assert rig.rest(retention()) == 1
    assert len(rig.seqs()) == 3000


def test_what_is_too_old_leaves(rig: Rig) -> None:
    rig.write(10, day=1)
    rig.write(10, day=2)
    rig.rest(retention(age=1, today=2.5))
    assert rig.seqs() == list(range(11, 21))


def test_what_came_after_something_young_stays_though_its_clock_was_behind(rig: Rig) -> None:
    rig.write(1, day=9)
    rig.write(1, day=1)
    rig.rest(retention(age=5, today=10))
    assert rig.seqs() == [1, 2]


def test_the_oldest_of_too_many_leave(rig: Rig) -> None:
    limited = retention(count=10)
    rig.write(25)
    rig.rest(limited)
    assert rig.seqs() == list(range(16, 26))
    rig.write(3)
    limited.after(rig.connection, 3, 1000)
    assert rig.seqs() == list(range(19, 29))


def test_what_others_remove_is_noticed(rig: Rig) -> None:
    limited = retention(count=10)
    rig.write(10)
    rig.rest(limited)
    other = sqlite3.connect(rig.path)
    with other:
        other.execute("DELETE FROM fact WHERE seq <= 5")
    other.close()
    rig.write(5)
    limited.after(rig.connection, 5, 1000)
    assert rig.seqs() == list(range(6, 16))


def test_it_takes_small_steps_and_says_whether_there_is_more(rig: Rig) -> None:
    limited = retention(count=1)
    rig.write(2 * STEP_FACTS)
    assert limited.after(rig.connection, 1, 1)
    assert len(rig.seqs()) == STEP_FACTS
    assert limited.meanwhile(rig.connection)
    assert len(rig.seqs()) == 1


def test_large_ones_leave_fewer_at_a_time(rig: Rig) -> None:
    limited = retention(count=1)
    rig.write(30, length=60_000)
    assert limited.after(rig.connection, 1, 1)
    assert 20 < len(rig.seqs()) < 30


def test_more_leaves_than_was_written(rig: Rig) -> None:
    limited = retention(count=100)
    rig.write(20_000)
    for _ in range(10):
        before = len(rig.seqs())
        rig.write(1000)
        limited.after(rig.connection, 1000, 300_000)
        assert len(rig.seqs()) < before


def test_the_space_of_what_left_comes_back(rig: Rig) -> None:
    rig.write(3000, length=1000)
    rig.rest(retention())
    before = rig.size()
    rig.rest(retention(count=100))
    assert rig.path.stat().st_size < before / 10


def test_it_stays_within_its_size_while_more_and_more_is_written(tmp_path: Path) -> None:
    size = 2_000_000
    rig = Rig(tmp_path / "journal.db", size)
    limited = retention(size=size)
    for number in range(200):
        length = (10, 100, 5000)[number % 3]
        rig.write(50, length=length)
        limited.after(rig.connection, 50, 50 * (256 + length))
        if number > 50:
            assert rig.size() < size
    assert len(rig.seqs()) > 100
    assert rig.seqs()[-1] == rig.seq
    rig.connection.close()


def test_one_that_cannot_give_space_back_is_not_asked_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    rig = Rig(path)
    rig.connection.execute("PRAGMA journal_mode = DELETE")
    rig.connection.execute("PRAGMA auto_vacuum = NONE")
    rig.connection.execute("VACUUM")
    rig.write(3000)
    assert rig.rest(retention(count=10)) < 20
    assert len(rig.seqs()) == 10
    rig.connection.close()


def test_what_nobody_writes_to_needs_no_room_for_what_comes(rig: Rig) -> None:
    rig.write(20_000, length=100)
    (pages,) = rig.connection.execute("PRAGMA page_count").fetchone()
    (page,) = rig.connection.execute("PRAGMA page_size").fetchone()
    size = pages * page
    alone = Retention.unattended(0, 0, size)
    assert not alone.step(rig.connection, 100, 10_000)
    assert len(rig.seqs()) == 20_000
    # As much as that is too much where a daemon goes on to write.
    assert retention(size=size).step(rig.connection, 100, 1_000_000)
    assert len(rig.seqs()) == 19_900


def test_a_step_is_as_large_as_it_may_be(rig: Rig) -> None:
    rig.write(3000)
    keeping = Retention.unattended(0, 500, 0)
    assert keeping.step(rig.connection, 2000, 1 << 30)
    assert len(rig.seqs()) == 1000
    while keeping.step(rig.connection, 2000, 1 << 30):
        continue
    assert rig.seqs() == list(range(2501, 3001))
    assert rig.connection.execute("PRAGMA freelist_count").fetchone() == (0,)
