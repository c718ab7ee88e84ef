"""`netsvc.journal.disk.writer`: groups, promises, and a disk that does not take them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from twisted.internet.defer import Deferred

from netsvc.journal.disk import database
from netsvc.journal.disk import writer as module
from netsvc.journal.disk.retention import Retention
from netsvc.journal.disk.writer import Writer
from tests.journal.disk.rig import ORIGIN, FickleDatabase, Heard, batch, contents, note, promised

Start = Callable[..., Writer]


class Rig:
    """A writer with all that belongs to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self.database = FickleDatabase(path, self.said.append)
        self.heard = Heard()
        self.care: module.Care = Retention(0, 0, 0)
        self.writers: list[Writer] = []

    def start(self, delay: float = 0.0, count: int = 1000, size: int = 1 << 20) -> Writer:
        """A writer that runs."""
        started = Writer(self.database, self.database.open(), self.heard, self.care, delay, count, size)
        self.writers.append(started)
        started.start()
        return started


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    made = Rig(tmp_path / "journal.db")
    yield made
    for one in made.writers:
        one.stop()
        one.join(30)
        assert not one.is_alive()


def test_a_promise_is_kept_when_everybody_else_sees_the_message(rig: Rig) -> None:
    seen: list[list[bytes]] = []
    rig.heard.on_settled = lambda: seen.append(contents(rig.path))
    results: list[bool] = []
    rig.start().put(batch(1, b"one", b"two", promises=[promised(results), promised(results)]))
    rig.heard.wait_for("settled")
    assert seen == [[b"one", b"two"]]
    assert results == [True, True]


def test_promises_are_kept_in_their_order(rig: Rig) -> None:
    order: list[int] = []

    def told(_: bool, number: int) -> None:
        order.append(number)

    writer = rig.start()
    for number in range(50):
        promise: Deferred[bool] = Deferred()
        promise.addCallback(told, number)
        writer.put(batch(number + 1, b"%d" % number, promises=[promise]))
    rig.heard.wait(lambda: len(order) == 50)
    assert order == list(range(50))
    assert contents(rig.path) == [b"%d" % number for number in range(50)]


def test_what_is_put_before_the_end_is_written(rig: Rig) -> None:
    writer = rig.start(delay=60.0)
    for number in range(10):
        writer.put(batch(number + 1, b"%d" % number))
    writer.stop()
    rig.heard.wait_for("ended")
    assert len(contents(rig.path)) == 10
    assert (writer.queued, rig.heard.told("lose")) == (0, [])


@pytest.mark.parametrize("limits", [{"count": 3}, {"size": 3 * 256}])
def test_a_group_that_is_large_enough_waits_for_nobody(rig: Rig, limits: dict[str, int]) -> None:
    writer = rig.start(delay=3600.0, **limits)
    writer.put(batch(1, b"x"))
    writer.put(batch(2, b"x", b"x", promises=[Deferred()]))
    rig.heard.wait_for("settled")


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_what_the_disk_does_not_take_is_not_promised_and_written_later(rig: Rig, trouble: str) -> None:
    results: list[bool] = []
    writer = rig.start()
    rig.database.trouble = trouble
    writer.put(batch(1, b"x" * 100_000, promises=[promised(results)]))
    rig.heard.wait_for("failing")
    assert results == [False]
    assert writer.broken
    for number in range(2, 5):
        writer.put(batch(number, b"y" * 100_000))
    rig.heard.wait_for("opened", 5)
    assert len(rig.heard.told("failing")) == 1
    assert contents(rig.path) == []
    rig.database.trouble = ""
    rig.heard.wait_for("working")
    writer.put(batch(5, b"z", promises=[promised(results)]))
    rig.heard.wait_for("settled", 2)
    assert results == [False, True]
    assert contents(rig.path) == [b"x" * 100_000, *[b"y" * 100_000] * 3, b"z"]
    assert rig.heard.told("lose") == []


def test_it_finds_out_that_the_disk_works_again_although_nothing_is_to_be_written(rig: Rig) -> None:
    failures = [sqlite3.OperationalError("disk I/O error")]

    class Care:
        def after(self, connection: sqlite3.Connection, facts: int, size: int) -> bool:
            rig.database.trouble = "read-only"
            raise failures.pop()

        def meanwhile(self, connection: sqlite3.Connection) -> bool:
            return False

    rig.care = Care()
    rig.start().put(batch(1, b"one"))
    rig.heard.wait_for("failing")
    rig.heard.wait_for("opened", 3)
    assert rig.heard.told("working") == []
    rig.database.trouble = ""
    rig.heard.wait_for("working")


def test_what_can_never_be_written_is_lost_at_the_end_and_counted(rig: Rig) -> None:
    results: list[bool] = []
    writer = rig.start()
    rig.database.trouble = "read-only"
    writer.put(batch(1, b"one", promises=[promised(results)]))
    rig.heard.wait_for("failing")
    writer.put(batch(2, b"two", b"three"))
    writer.stop()
    rig.heard.wait_for("ended")
    assert rig.heard.told("lose") == [3]
    assert results == [False]


def test_a_fact_that_the_database_does_not_take_costs_no_other(rig: Rig) -> None:
    results: list[bool] = []
    odd = (*ORIGIN[:5], "\ud800", None)
    notes = (*note(b"one"), *note(b"odd", odd), *note(b"three"))
    writer = rig.start(delay=0.1)
    writer.put(module.Batch(1, notes, 1000, [promised(results)]))
    writer.put(batch(4, b"four", promises=[promised(results)]))
    rig.heard.wait_for("lose")
    # Which of the three the promise was about is not known.
    assert (results, rig.heard.told("lose"), rig.heard.told("failing")) == ([False, True], [1], [])
    assert contents(rig.path) == [b"one", b"three", b"four"]


def test_a_seq_that_is_taken_is_no_promise(rig: Rig) -> None:
    results: list[bool] = []
    writer = rig.start()
    writer.put(batch(1, b"one", promises=[promised(results)]))
    rig.heard.wait_for("settled")
    writer.put(batch(1, b"another", promises=[promised(results)]))
    rig.heard.wait_for("settled", 2)
    assert results == [True, False]
    assert contents(rig.path) == [b"one"]


def test_a_database_found_damaged_is_replaced_and_nothing_in_the_queue_is_lost(rig: Rig) -> None:
    writer = rig.start()
    writer.put(batch(1, b"before", promises=[Deferred()]))
    rig.heard.wait_for("settled")
    writer.stop()
    writer.join(30)
    data = bytearray(rig.path.read_bytes())
    data[4096 * 4 :] = bytes(len(data) - 4096 * 4)
    rig.path.write_bytes(data)
    again = rig.start()
    again.put(batch(2, b"after"))
    rig.heard.wait(lambda: again.queued == 0)
    assert len(rig.said) == 1
    assert contents(rig.path) == [b"after"]
    assert bytes(data) == next(rig.path.parent.glob("journal.db.damaged-*")).read_bytes()


@pytest.mark.parametrize("gone", ["log deleted", "moved"])
def test_nothing_is_lost_with_a_name_while_somebody_reads(rig: Rig, gone: str) -> None:
    results: list[bool] = []
    writer = rig.start()
    for number in range(20):
        writer.put(batch(number + 1, b"before", promises=[promised(results)]))
    rig.heard.wait(lambda: len(results) == 20)
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as reader:
        assert reader.execute("SELECT count(*) FROM fact").fetchone() == (20,)
        old = rig.path
        if gone == "moved":
            old = rig.path.rename(rig.path.with_name("old.db"))
        else:
            Path(f"{rig.path}-wal").unlink()
        writer.put(batch(21, b"after", promises=[promised(results)]))
        rig.heard.wait(lambda: len(results) == 21)
    assert (all(results), rig.heard.told("failing")) == (True, [])
    writer.stop()
    writer.join(30)
    assert contents(old)[:20] == [b"before"] * 20
    assert contents(rig.path)[-1] == b"after"


def test_a_log_that_only_the_writer_has_is_kept_until_it_is_copied(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
    results: list[bool] = []
    writer = rig.start()
    writer.put(batch(1, b"one", promises=[promised(results)]))
    rig.heard.wait_for("settled")
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as reader:
        # What it looks at may not be overwritten.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM fact").fetchone()
        writer.put(batch(2, b"two", promises=[promised(results)]))
        rig.heard.wait_for("settled", 2)
        Path(f"{rig.path}-wal").unlink()
        writer.put(batch(3, b"three", promises=[promised(results)]))
        rig.heard.wait_for("failing")
        rig.heard.wait_for("settled", 3)
        reader.execute("ROLLBACK")
        rig.heard.wait_for("working")
    assert results == [True, True, False]
    assert contents(rig.path) == [b"one", b"two", b"three"]


def test_what_is_put_while_nothing_can_be_written_is_not_promised(rig: Rig) -> None:
    writer = rig.start()
    rig.database.trouble = "read-only"
    assert writer.put(batch(1, b"one"))
    rig.heard.wait_for("failing")
    results: list[bool] = []
    assert not writer.put(batch(2, b"two", promises=[promised(results)]))
    rig.database.trouble = ""
    rig.heard.wait_for("working")
    writer.stop()
    writer.join(30)
    assert results == []
    assert contents(rig.path) == [b"one", b"two"]


def test_a_defect_does_not_end_it_in_silence(rig: Rig) -> None:
    class Care:
        def after(self, connection: sqlite3.Connection, facts: int, size: int) -> bool:
            raise RuntimeError("it is wrong")

        def meanwhile(self, connection: sqlite3.Connection) -> bool:
            return False

    rig.care = Care()
    writer = rig.start()
    writer.put(batch(1, b"one"))
    rig.heard.wait_for("ended")
    assert rig.heard.told("failing") == ["defect in the journal: it is wrong"]
    assert writer.broken
