"""`netsvc.journal.disk.database` and its schema: what is opened, what is left alone, what is moved aside."""

from __future__ import annotations

import errno
import os
import re
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from netsvc.journal.disk.columns import INSERT, records_of
from netsvc.journal.disk.database import DamagedError, Database
from netsvc.journal.disk.schema import SCHEMA, DiskError, JournalError, Schema
from tests.journal.disk.rig import batch, contents

NOW = datetime(2026, 7, 1, 12, 30, 15, 250)

#: The tables as they once were, and as they may be one day.
FIRST = Schema(1, Path(__file__).with_name("schema-1.sql").read_text("utf-8"))
NOW_IS = SCHEMA.version
NEXT = Schema(
    NOW_IS + 1,
    SCHEMA.tables + f"ALTER TABLE fact ADD COLUMN more TEXT; PRAGMA user_version = {NOW_IS + 1};",
    {NOW_IS: "ALTER TABLE fact ADD COLUMN more TEXT; UPDATE fact SET more = 'was there';"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def fill(path: Path, *datas: bytes, schema: Schema = SCHEMA) -> None:
    """Make a journal with messages in it."""
    with closing(Database(path, unexpected, schema=schema).open()) as connection:
        for batch_ in [batch(1, *datas)]:
            connection.executemany(INSERT, records_of(batch_.first, batch_.notes))


def unexpected(line: str) -> None:
    raise AssertionError(line)


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_one_survives_a_loss_of_power_and_gives_space_back(path: Path) -> None:
    with closing(Database(path, unexpected).open()) as connection:
        settings = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "auto_vacuum", "user_version")
        ]
    assert settings == ["wal", 2, 2, NOW_IS]


def test_what_is_there_is_opened_again_and_its_newest_fact_known(path: Path) -> None:
    fill(path, b"one", b"two")
    database = Database(path, unexpected)
    database.open().close()
    assert database.newest == 2
    assert contents(path) == [b"one", b"two"]


def test_it_is_for_its_user_alone_also_where_it_was_not(path: Path) -> None:
    fill(path, b"one")
    path.chmod(0o644)
    with closing(Database(path, unexpected).open()):
        modes = {one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
    assert modes == {0o600}


def test_an_empty_file_becomes_one(path: Path) -> None:
    path.touch()
    Database(path, unexpected).open().close()
    assert contents(path) == []


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's database"):
        Database(path, unexpected).open()
    assert path.read_bytes() == before


def test_nor_is_who_may_read_it_changed_where_only_its_tables_tell(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")
    path.chmod(0o664)
    database = Database(path, unexpected)
    database.check()
    with pytest.raises(JournalError, match="another program's database"):
        database.open()
    assert path.stat().st_mode & 0o777 == 0o664


def test_a_newer_one_is_left_alone(path: Path) -> None:
    fill(path, b"one", schema=NEXT)
    before = path.read_bytes()
    with pytest.raises(
        JournalError, match=f"its schema is version {NOW_IS + 1}, a newer netsvc's; .* up to {NOW_IS}"
    ):
        Database(path, unexpected).open()
    assert path.read_bytes() == before


def test_no_file_is_refused_and_nothing_put_beside_it(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="expected a file"):
        Database(path, unexpected).check()


def test_one_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"):
        Database(tmp_path / "nowhere" / "journal.db", unexpected).open()


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(100_000)])
def test_what_is_no_database_is_moved_aside_with_the_date(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    said: list[str] = []
    Database(path, said.append, now=lambda: NOW).open().close()
    aside = path.with_name("journal.db.damaged-2026-07-01T12-30-15.000250")
    assert aside.read_bytes() == content
    assert len(said) == 1
    assert str(aside) in said[0]
    assert contents(path) == []


def test_what_is_left_of_one_that_is_gone_is_moved_aside(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(b"the log of a database")
    said: list[str] = []
    Database(path, said.append, now=lambda: NOW).open().close()
    aside = path.with_name("journal.db.damaged-2026-07-01T12-30-15.000250-wal")
    assert aside.read_bytes() == b"the log of a database"
    assert len(said) == 1


def malformed() -> sqlite3.DatabaseError:
    """What SQLite says of a damaged file, and as well where a read has failed."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


class Answering(Database):
    """Says of its file what it was told to."""

    answer = ""

    def examine(self, connection: sqlite3.Connection) -> None:
        raise DamagedError(self.answer)


@pytest.mark.parametrize("error", [malformed(), DamagedError("Page 3: unable to get the page")])
def test_one_that_proves_whole_stays_where_it_is(path: Path, error: sqlite3.Error) -> None:
    fill(path, b"one")
    database = Database(path, unexpected)
    database.open().close()
    database.put_aside(error)
    assert contents(path) == [b"one"]
    assert list(path.parent.iterdir()) == [path]


class Failing(Database):
    """Cannot read its file so many times, whatever is in it."""

    times = 0

    def _connect(self) -> sqlite3.Connection:
        self.times -= 1
        if self.times >= 0:
            raise malformed()
        return super()._connect()


@pytest.mark.parametrize("times", [1, 2])
def test_nor_is_one_moved_that_cannot_be_opened_for_a_moment(path: Path, times: int) -> None:
    fill(path, b"one")
    database = Failing(path, unexpected)
    database.times = times
    if times > 1:
        with pytest.raises(DiskError):
            database.open()
    database.open().close()
    assert database.newest == 1
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "answer", ["Page 3: unable to get the page. error code=8458", "failed to get page 9"]
)
def test_one_that_cannot_be_read_stays_too(path: Path, answer: str) -> None:
    fill(path, b"one")
    database = Answering(path, unexpected)
    database.answer = answer
    with pytest.raises(DiskError, match=answer):
        database.put_aside(malformed())
    assert contents(path) == [b"one"]


def test_nor_is_one_moved_of_which_it_is_not_clear(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unread(fd: int, length: int, place: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    fill(path, b"one")
    database = Answering(path, unexpected)
    database.answer = "Failed to read ptrmap key=3"
    with monkeypatch.context() as patch:
        patch.setattr("netsvc.journal.disk.database.os.pread", unread)
        with pytest.raises(JournalError, match="Input/output error"):
            database.put_aside(malformed())
    assert contents(path) == [b"one"]


@pytest.mark.parametrize(
    "answer", ["btreeInitPage() returns error code=11", "Failed to read ptrmap key=3", "2nd reference"]
)
def test_one_that_proves_damaged_is_moved_aside(path: Path, answer: str) -> None:
    fill(path, b"one")
    said: list[str] = []
    database = Answering(path, said.append)
    database.answer = answer
    database.put_aside(malformed())
    assert len(said) == 1
    assert not path.exists()


@pytest.mark.parametrize("read_before", [False, True])
def test_one_that_takes_its_name_has_nothing_to_do_with_its_log(path: Path, read_before: bool) -> None:
    backup = path.with_name("backup.db")
    fill(backup, *(b"backup %d" % number for number in range(300)))
    said: list[str] = []
    database = Database(path, said.append, now=lambda: NOW)
    connection = database.open()
    connection.executemany(INSERT, records_of(1, batch(1, *[b"mine" * 500] * 100).notes))
    # As the reader of a daemon does, for as long as it runs.
    reader = sqlite3.connect(path)
    if read_before:
        reader.execute("SELECT count(*) FROM fact").fetchone()
    log = Path(f"{path}-wal").read_bytes()
    backup.rename(path)
    assert database.is_replaced()
    database.save(connection)
    connection.close()
    with closing(database.open_again()) as connection:
        connection.executemany(INSERT, records_of(1000, batch(1000, b"after").notes))
        assert not database.is_replaced()
    reader.close()
    assert contents(path) == [*(b"backup %d" % number for number in range(300)), b"after"]
    assert pragma(path, "integrity_check") == "ok"
    aside = path.with_name("journal.db.replaced-2026-07-01T12-30-15.000250-wal")
    assert aside.read_bytes() == log
    assert len(said) == 1
    assert str(aside) in said[0]


def test_damage_deep_inside_is_found_by_looking(path: Path) -> None:
    fill(path, *(b"%d" % number * 200 for number in range(500)))
    data = bytearray(path.read_bytes())
    data[40 * 4096 : 41 * 4096] = b"\x55" * 4096
    path.write_bytes(data)
    database = Database(path, unexpected)
    with closing(database.open()) as connection, pytest.raises(sqlite3.DatabaseError):
        database.examine(connection)


def test_a_whole_one_is_found_whole(path: Path) -> None:
    fill(path, b"one")
    database = Database(path, unexpected)
    with closing(database.open()) as connection:
        database.examine(connection)


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_it_notices_that_its_name_is_gone(path: Path, ending: str) -> None:
    database = Database(path, unexpected)
    with closing(database.open()) as connection:
        connection.executemany(INSERT, records_of(1, batch(1, b"one").notes))
        assert database.is_in_place()
        Path(f"{path}{ending}").rename(path.with_name("elsewhere"))
        assert not database.is_in_place()


def test_a_reader_that_comes_and_goes_changes_nothing(path: Path) -> None:
    database = Database(path, unexpected)
    with closing(database.open()) as connection:
        for number in range(1, 4):
            connection.executemany(INSERT, records_of(number, batch(number, b"one").notes))
            assert len(contents(path)) == number
            assert database.is_in_place()


# -- versions ---------------------------------------------------------------------------------------------


def test_an_older_one_is_upgraded_and_what_it_was_is_kept_beside_it(path: Path) -> None:
    fill(path, b"one", b"two")
    with closing(Database(path, unexpected, schema=NEXT).open()) as connection:
        rows = connection.execute("SELECT data, more FROM fact ORDER BY seq").fetchall()
    assert rows == [(b"one", "was there"), (b"two", "was there")]
    assert pragma(path, "user_version") == NOW_IS + 1
    (backup,) = path.parent.glob(f"journal.db.version-{NOW_IS}-*")
    assert contents(backup) == [b"one", b"two"]
    assert pragma(backup, "user_version") == NOW_IS
    assert backup.stat().st_mode & 0o777 == 0o600


def test_an_upgrade_over_several_versions_goes_through_each(path: Path) -> None:
    fill(path, b"one")
    steps = {
        NOW_IS: "ALTER TABLE fact ADD COLUMN more TEXT;",
        NOW_IS + 1: "UPDATE fact SET more = 'third' WHERE more IS NULL;",
    }
    third = Schema(NOW_IS + 2, SCHEMA.tables, steps)
    with closing(Database(path, unexpected, schema=third).open()) as connection:
        assert connection.execute("SELECT more FROM fact").fetchall() == [("third",)]
    versions = {pragma(one, "user_version") for one in path.parent.glob("*version-?-*")}
    assert versions == {NOW_IS, NOW_IS + 1}


def test_an_upgrade_that_fails_changes_nothing(path: Path) -> None:
    fill(path, b"one")
    sql = "ALTER TABLE fact ADD COLUMN more TEXT; UPDATE no_such SET x = 1;"
    wrong = Schema(NOW_IS + 1, SCHEMA.tables, {NOW_IS: sql})
    with pytest.raises(JournalError, match="no such table: no_such"):
        Database(path, unexpected, schema=wrong).open()
    assert pragma(path, "user_version") == NOW_IS
    with closing(Database(path, unexpected).open()) as connection:
        assert "more" not in {row[1] for row in connection.execute("PRAGMA table_info(fact)")}
    assert contents(path) == [b"one"]


def test_where_it_cannot_be_backed_up_it_is_not_upgraded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, b"one")
    (path.parent / "busy").mkdir()
    monkeypatch.setattr(
        "netsvc.journal.disk.schema._backup_name", lambda path, version: path.parent / "busy" / "x" / "y"
    )
    with pytest.raises(JournalError, match="No such file"):
        Database(path, unexpected, schema=NEXT).open()
    assert pragma(path, "user_version") == NOW_IS


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A disk on which no file can grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_left_of_a_backup_for_which_there_is_no_room(path: Path) -> None:
    fill(path, *(b"x" * 1000 for _ in range(1000)))
    with files_up_to(500_000), pytest.raises(DiskError):
        Database(path, unexpected, schema=NEXT).open()
    assert list(path.parent.iterdir()) == [path]
    assert pragma(path, "user_version") == NOW_IS


def test_a_disk_is_not_filled_with_a_backup_that_it_cannot_hold(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, *(b"x" * 1000 for _ in range(100)))
    there = os.statvfs(path.parent)
    blocks = 100_000 // there.f_frsize
    full = os.statvfs_result((*there[:3], blocks, blocks, *there[5:]))
    monkeypatch.setattr("netsvc.journal.disk.schema.os.statvfs", lambda _: full)
    with pytest.raises(DiskError, match="too full to copy it"):
        Database(path, unexpected, schema=NEXT).open()
    assert list(path.parent.iterdir()) == [path]


def test_what_is_left_of_a_backup_that_was_killed_is_overwritten(path: Path) -> None:
    fill(path, b"one")
    left = [Path(f"{path}.version-{NOW_IS}.unfinished{ending}") for ending in ("", "-journal", "-wal")]
    for one in left:
        one.write_bytes(b"half of it")
    Database(path, unexpected, schema=NEXT).open().close()
    (backup,) = path.parent.glob("journal.db.version-*")
    assert contents(backup) == [b"one"]


def test_the_first_version_becomes_what_is_made_now(path: Path, tmp_path: Path) -> None:
    fill(path, b"one", b"two", schema=FIRST)
    Database(path, unexpected).open().close()
    fresh = tmp_path / "fresh.db"
    Database(fresh, unexpected).open().close()
    assert contents(path) == [b"one", b"two"]
    assert definitions(path) == definitions(fresh)
    assert pragma(path, "user_version") == pragma(fresh, "user_version")


def definitions(path: Path) -> set[tuple[object, ...]]:
    """What there is in a database, as SQL without its comments."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    return {(kind, name, re.sub(r"--.*|\s+", "", sql)) for kind, name, sql in found}
