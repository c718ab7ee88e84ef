"""`netsvc.journal.disk.recording`: facts go in, and who promised something is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IDelayedCall

from netsvc.facts import RECEIVED, Facts
from netsvc.interfaces import IFactArchive, IJournal
from netsvc.journal.disk.recording import Recording, recording_of
from netsvc.journal.disk.schema import JournalError
from netsvc.settings import Journal
from tests.journal.disk.rig import ORIGIN, Loop, contents, watch


class Rig:
    """A journal, and a dispatcher that it takes facts from."""

    def __init__(self, path: Path, queue: int = 1 << 20) -> None:
        self.path = path
        self.loop = Loop()
        self.facts = Facts(1 << 20, later=self.loop.callLater)
        self.journal = Recording(Journal(file=str(path), queue=queue), self.facts, self.loop)

    def receive(self, data: bytes, results: list[bool]) -> None:
        """Take a message, as a service that acknowledges what is recorded."""
        self.facts.emit(RECEIVED, ORIGIN, data)
        watch(self.journal.recorded(), results)

    def close(self) -> None:
        """Close the journal and wait for it."""
        closed = self.journal.close()
        self.loop.until(lambda: closed.called)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal.db")
    made.journal.open()
    yield made
    made.close()


def test_its_interfaces(rig: Rig) -> None:
    assert verifyObject(IJournal, rig.journal)
    assert verifyObject(IFactArchive, rig.journal)


def test_without_a_file_there_is_none() -> None:
    loop = Loop()
    assert recording_of(Journal(), Facts(), loop, "") is None


def test_a_message_is_recorded(rig: Rig) -> None:
    results: list[bool] = []
    rig.receive(b"one", results)
    assert results == []
    rig.loop.until(lambda: bool(results))
    assert results == [True]
    assert contents(rig.path) == [b"one"]


def test_thousands_are_told_in_order_and_not_all_in_one_turn(rig: Rig) -> None:
    order: list[int] = []
    turns: list[int] = []

    def told(_: bool, number: int) -> None:
        order.append(number)

    for number in range(3000):
        rig.facts.emit(RECEIVED, ORIGIN, b"%d" % number)
        rig.journal.recorded().addCallback(told, number)
        if number % 1000 == 999:
            # As every turn of a reactor does.
            rig.facts.flush()
    later = rig.loop.callLater

    def seen(delay: float, call: Callable[[], None]) -> IDelayedCall:
        turns.append(len(order))
        return later(delay, call)

    rig.loop.callLater = seen  # type: ignore[method-assign, assignment]
    rig.loop.until(lambda: len(order) == 3000)
    assert order == list(range(3000))
    assert max(after - before for before, after in pairwise([0, *turns])) <= 2 * 128


def test_what_is_asked_when_nothing_was_noted_is_not_promised(rig: Rig) -> None:
    results: list[bool] = []
    watch(rig.journal.recorded(), results)
    rig.receive(b"handed on meanwhile", [])
    rig.facts.flush()
    watch(rig.journal.recorded(), results)
    assert results == [False, False]


def test_what_does_not_fit_into_the_queue_is_counted_and_not_promised(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", queue=65_536)
    rig.journal.open()
    results: list[bool] = []
    rig.receive(b"x" * 70_000, results)
    rig.loop.until(lambda: bool(results))
    assert results == [False]
    assert rig.journal.lost == 1
    rig.receive(b"y", results)
    rig.loop.until(lambda: len(results) == 2)
    assert results == [False, True]
    rig.close()
    assert contents(rig.path) == [b"y"]


def test_a_refusal_does_not_overtake_what_was_asked_before(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", queue=70_000)
    rig.journal.open()
    order: list[tuple[str, bool]] = []

    def told(written: bool, name: str) -> None:
        order.append((name, written))

    with closing(sqlite3.connect(rig.path, isolation_level=None)) as other:
        # Nothing can be written while somebody else writes.
        other.execute("BEGIN IMMEDIATE")
        for name in ("A", "B", "C", "D"):
            # The second does not fit behind the first, nor does the last.
            rig.facts.emit(RECEIVED, ORIGIN, b"x" * {"A": 40_000, "C": 100}.get(name, 60_000))
            rig.journal.recorded().addCallback(told, name)
            rig.facts.flush()
        assert order == []
        other.execute("COMMIT")
    rig.loop.until(lambda: len(order) == 4)
    rig.close()
    assert order == [("A", True), ("B", False), ("C", True), ("D", False)]


def test_closing_writes_what_waits_and_promises_no_more(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db")
    rig.journal.open()
    results: list[bool] = []
    rig.receive(b"one", results)
    rig.close()
    rig.loop.until(lambda: bool(results))
    rig.receive(b"too late", results)
    assert results == [True, False]
    assert contents(rig.path) == [b"one"]
    assert rig.journal.close().called


def test_one_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    assert Rig(tmp_path / "journal.db").journal.close().called


def test_two_cannot_have_the_same_file(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(rig.path)
    for name in (rig.path, tmp_path / "link"):
        with pytest.raises(JournalError, match="another netsvc writes to it"):
            Rig(name).journal.open()


def test_the_file_is_let_go_of_at_the_end(tmp_path: Path) -> None:
    for _ in range(2):
        rig = Rig(tmp_path / "journal.db")
        rig.journal.open()
        rig.close()


def test_numbers_rise_from_what_is_there(rig: Rig) -> None:
    results: list[bool] = []
    rig.receive(b"one", results)
    rig.close()
    slow = Rig(rig.path)
    slow.facts._clock = lambda: 1
    slow.journal.open()
    slow.receive(b"two", results)
    slow.loop.until(lambda: len(results) == 2)
    slow.close()
    assert results == [True, True]
    assert contents(rig.path) == [b"one", b"two"]


def test_the_lag_is_that_of_what_is_not_on_disk(rig: Rig) -> None:
    results: list[bool] = []
    assert rig.journal.lag == 0.0
    rig.receive(b"one", results)
    rig.loop.until(lambda: bool(results))
    assert rig.journal.lag == 0.0
