"""`netsvc.journal.disk.history`: the journal is read in a thread of its own, while another one writes it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from netsvc.clientlist.memory import ClientList
from netsvc.facts import RECEIVED, Facts
from netsvc.interfaces import IFactHistory
from netsvc.journal.disk import history as module
from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.database import Database
from netsvc.journal.disk.reader import END, Reader, SlowError
from netsvc.journal.disk.recording import Recording
from netsvc.journal.disk.schema import JournalError
from netsvc.journal.disk.search import Part
from netsvc.journal.query import Filter, Matcher, Page
from netsvc.journal.timeline import Timeline
from netsvc.journal.watch import Found, Watchers
from netsvc.settings import Journal
from tests.journal.disk.rig import ORIGIN, Loop, batch

EVERYTHING = Filter()


class Rig:
    """A journal with a small ring before it, put together as the daemon does."""

    def __init__(self, path: Path, memory: int = 4000, **settings: Any) -> None:
        self.path = path
        self.loop = Loop()
        self.facts = Facts(1 << 20, later=self.loop.callLater)
        self.timeline = Timeline(memory, self.facts.flush)
        self.facts.keep(self.timeline)
        given = {"file": str(path), "commit_delay": 0.0, **settings}
        self.journal = Recording(Journal(**given), self.facts, self.loop)
        self.history = self.journal.history
        clients = ClientList(self.loop)
        self.watchers = Watchers(self.facts, self.timeline, clients, self.loop, history=self.history)

    def note(self, *data: bytes) -> None:
        """Note facts, and hand them on."""
        for one in data:
            self.facts.emit(RECEIVED, ORIGIN, one)
            self.facts.flush()

    def until_written(self) -> None:
        """Wait until all of it is."""
        self.loop.until(lambda: self.history.written == END)

    def find(self, wanted: Filter = EVERYTHING, **more: Any) -> Any:
        """What the history finds."""
        question = {"after": 0, "until": END, "newest_first": False, "limit": 1000, "limit_bytes": 1 << 30}
        return self.result_of(self.history.find(wanted, **{**question, **more}))

    def result_of(self, asked: Deferred[Any]) -> Any:
        """What something ends with."""
        results: list[Any] = []
        asked.addBoth(results.append)
        self.loop.until(lambda: bool(results))
        return results[0]

    def read(self, **page: Any) -> list[bytes]:
        """The data of a page."""
        found: Found = self.result_of(self.watchers.read(EVERYTHING, Page(**{"limit": 10_000, **page})))
        assert found.gap is None
        return [row[5] for row in found.rows]

    def close(self) -> None:
        """Close the journal and wait for it."""
        self.watchers.stop()
        closed = self.journal.close()
        self.loop.until(lambda: closed.called)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal.db")
    made.journal.open()
    yield made
    made.close()


def test_its_interface(rig: Rig) -> None:
    assert verifyObject(IFactHistory, rig.history)


def test_what_was_written_is_found_in_another_thread(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def spying(self: Any, *arguments: Any) -> Part:
        threads.append(threading.current_thread())
        return find(self, *arguments)

    find = Reader.find
    monkeypatch.setattr(Reader, "find", spying)
    rig.note(b"one", b"two")
    rig.until_written()
    part = rig.find()
    assert [row[5] for row in part.rows] == [b"one", b"two"]
    assert threading.current_thread() not in threads


def test_all_that_ever_was_is_read_while_more_comes(rig: Rig) -> None:
    expected = [b"%d" % number for number in range(3000)]
    rig.note(*expected[:1000])
    found: list[bytes] = []
    following = rig.watchers.follow(
        EVERYTHING, 0, lambda delivery: found.extend(row[5] for row in delivery.rows), 1 << 20, print
    )
    for begin in range(1000, 3000, 10):
        rig.note(*expected[begin : begin + 10])
        rig.loop.advance(0.001)
    rig.loop.until(lambda: len(found) >= 3000)
    assert found == expected
    following.stop()
    assert rig.read() == expected
    assert rig.read(order="newest") == expected[::-1]


def test_what_is_written_is_told_by_what_waits(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", commit_delay=60.0)
    assert (rig.history.written, rig.history.stalled) == (0, True)
    rig.journal.open()
    assert (rig.history.written, rig.history.stalled) == (END, False)
    rig.note(b"one")
    assert rig.history.written == rig.timeline.last - 1
    rig.close()
    assert rig.history.stalled


def test_what_is_to_be_read_is_written_at_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", commit_delay=60.0)
    rig.journal.open()
    expected = [b"%d" % number for number in range(100)]
    rig.note(*expected)
    assert rig.timeline.gone > 0
    assert rig.read() == expected
    rig.note(*expected)
    assert rig.read(order="newest") == (expected + expected)[::-1]
    rig.close()


def test_what_finds_no_room_in_the_queue_is_known_to_be_missing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", memory=1 << 20, queue=65_536)
    rig.journal.open()
    rig.note(b"one", b"x" * 70_000, b"y" * 70_000, b"two")
    one, first, second, _ = (row[0] for row in rig.timeline.since(0))
    assert rig.history.missing(0, END) == (first, second, 2)
    assert len(rig.journal._losses) == 1
    assert rig.history.missing(second, END) is None
    assert rig.history.missing(0, one) is None
    rig.until_written()
    rig.note(b"z" * 70_000)
    missing = rig.history.missing(0, END)
    assert missing is not None
    assert missing[2] == 3
    rig.close()


def test_no_more_losses_are_remembered_than_have_a_place(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", queue=65_536)
    rig.journal.open()
    for _ in range(100):
        rig.note(b"x" * 70_000)
        rig.note(b"small")
        rig.until_written()
    assert len(rig.journal._losses) == 64
    missing = rig.history.missing(0, END)
    assert missing is not None
    assert missing[2] == 100
    rig.close()


def test_what_retention_removes_is_known_to_be_gone(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db", count=10)
    rig.journal.open()
    rig.note(*(b"%d" % number for number in range(50)))
    rig.loop.until(lambda: rig.history.removed > 0 and rig.find().first > 0 and len(rig.find().rows) == 10)
    part = rig.find()
    assert part.rows[0][0] == part.first > rig.history.removed
    rig.close()


def test_a_file_that_takes_the_place_of_another_is_read_from_then_on(rig: Rig) -> None:
    rig.note(b"one")
    rig.until_written()
    assert len(rig.find().rows) == 1
    last = rig.timeline.last
    for ending in ("", "-wal", "-shm"):
        rig.path.with_name(rig.path.name + ending).unlink()
    rig.note(b"two")
    rig.until_written()
    assert [row[5] for row in rig.find().rows] == [b"two"]
    # And what was in the other one is gone, and takes no room any more.
    rig.loop.until(lambda: rig.history.removed >= last)
    rig.loop.until(lambda: not deleted_files(rig.path))


def deleted_files(path: Path) -> list[str]:
    """What this process has open of files that have no name any more."""
    links = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return [link for link in links if link.startswith(str(path)) and link.endswith("(deleted)")]


def test_before_it_is_open_and_after_that_nothing_can_be_read(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "journal.db")
    assert isinstance(rig.find().value, JournalError)
    rig.journal.open()
    rig.note(b"one")
    rig.until_written()
    assert len(rig.find().rows) == 1
    rig.close()
    assert isinstance(rig.find().value, JournalError)


def test_who_gave_up_is_not_answered_and_nobody_looks_for_him(rig: Rig) -> None:
    rig.note(b"one")
    rig.until_written()
    asked = rig.history.find(EVERYTHING, 0, END, False, 1, 1)
    failures: list[Failure] = []
    asked.addErrback(failures.append)
    asked.cancel()
    assert failures[0].check(CancelledError)
    assert len(rig.find().rows) == 1


def test_what_takes_too_long_is_tried_again_in_smaller_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    with closing(Database(path, print).open()) as connection:
        connection.executemany(INSERT, records_of(1, batch(1, *[b"x"] * 2000).notes))
    scans = []

    def slow(
        self: Any, wanted: Filter, after: int, until: int, newest: bool, limit: int, scan: int, *_: Any
    ) -> Part:
        scans.append(scan)
        if scan > 200:
            raise SlowError("too slow")
        return find(self, wanted, after, until, newest, limit, scan)

    find = Reader.find
    monkeypatch.setattr(Reader, "find", slow)
    rig = Rig(path)
    rig.journal.open()
    assert not rig.find(Filter(connection=frozenset({5}))).done
    assert scans == [10_000, 2500, 625, 156]
    # What was small enough may be larger the next time.
    rig.find()
    rig.find()
    rig.find()
    assert scans[4:] == [195, 243, 100, 125]
    monkeypatch.setattr(module, "LEAST_SCAN", 1000)
    rig.history._scan = 1000
    assert isinstance(rig.find().value, SlowError)
    rig.close()


def test_what_an_attempt_has_seen_the_next_one_has_not(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Matcher] = []

    def slow_at_first(self: Any, *question: Any) -> Part:
        seen.append(question[-1])
        if len(seen) == 1:
            raise SlowError("too slow")
        return Part([], 0, True)

    monkeypatch.setattr(Reader, "find", slow_at_first)
    matcher = Matcher(EVERYTHING, lambda address: None)
    rig.find(matcher=matcher)
    assert len({id(one) for one in (matcher, *seen)}) == 3


def test_stopped_it_gives_up_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, interrupted = threading.Event(), threading.Event()

    def endless(self: Any, *_: Any) -> Part:
        entered.set()
        assert interrupted.wait(30)
        raise SlowError("interrupted")

    monkeypatch.setattr(Reader, "find", endless)
    monkeypatch.setattr(Reader, "interrupt", lambda self: interrupted.set())
    rig = Rig(tmp_path / "journal.db")
    rig.journal.open()
    results: list[Any] = []
    rig.history.find(EVERYTHING, 0, END, False, 1, 1).addBoth(results.append)
    assert entered.wait(30)
    rig.close()
    rig.loop.until(lambda: bool(results))
    assert isinstance(results[0].value, JournalError)
    thread = rig.history._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()


def test_one_that_hangs_with_its_disk_keeps_nobody_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, ended = threading.Event(), threading.Event()

    def hanging(self: Any, *_: Any) -> Part:
        entered.set()
        ended.wait(60)
        raise SlowError("at last")

    monkeypatch.setattr(Reader, "find", hanging)
    rig = Rig(tmp_path / "journal.db")
    rig.journal.open()
    rig.history.find(EVERYTHING, 0, END, False, 1, 1).addErrback(lambda _: None)
    assert entered.wait(30)
    rig.close()
    thread = rig.history._thread
    assert thread is not None
    assert thread.is_alive()
    assert thread.daemon
    ended.set()
    thread.join(30)


def test_a_thread_that_the_system_does_not_give_is_asked_for_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    rig.note(b"one")
    rig.until_written()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        assert "can't start new thread" in str(rig.find().value)
    assert len(rig.find().rows) == 1


def test_a_log_that_was_begun_anew_is_read_and_not_the_old_one(rig: Rig) -> None:
    rig.note(*(b"%d" % number for number in range(20)))
    rig.until_written()
    assert len(rig.find().rows) == 20
    Path(f"{rig.path}-wal").unlink()
    rig.note(*(b"%d" % number for number in range(20, 40)))
    rig.until_written()
    assert [row[5] for row in rig.find().rows] == [b"%d" % number for number in range(40)]
    assert rig.journal.broken == ""


def test_one_that_takes_its_name_is_not_read_before_it_is_parted_from_the_log(rig: Rig) -> None:
    rig.note(b"one")
    rig.until_written()
    other = rig.path.with_name("other.db")
    Database(other, print).open().close()
    other.rename(rig.path)
    assert "another file has its name" in str(rig.find().value)
    rig.note(b"two")
    rig.until_written()
    assert [row[5] for row in rig.find().rows] == [b"two"]


def test_it_lets_go_of_the_file_when_nothing_can_be_written(rig: Rig) -> None:
    rig.note(b"one")
    rig.until_written()
    rig.find()
    assert rig.history._reader is not None
    rig.journal.failing("disk I/O error")
    rig.loop.until(lambda: rig.history._reader is None)
    rig.journal.working()
    assert len(rig.find().rows) == 1


def test_no_thread_is_begun_where_nobody_asks(rig: Rig) -> None:
    rig.note(b"one")
    rig.until_written()
    assert rig.history._thread is None
