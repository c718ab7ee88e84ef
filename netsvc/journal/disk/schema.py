"""
The journal's tables: made, told from those of others, and brought to the version that this netsvc writes.

An upgrade is one transaction, and what was there before is copied to a file beside it first.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path


class JournalError(Exception):
    """The journal cannot be used, and was left as it is; the text is one line for who started the daemon."""


class DiskError(JournalError):
    """The disk is full, or does not work; in a while it may."""


#: The beginning of a database; its user_version and application_id are in it (SQLite's file format, 1.3).
_MAGIC = b"SQLite format 3\0"
_HEADER = struct.Struct(">60xi4xi28x")

#: Marks a database as a journal of netsvc's (SQLite's application_id): "nets".
APPLICATION = 0x6E657473


@dataclass(frozen=True)
class Schema:
    """
    What the tables are.

    @ivar version: that a database has as its user_version.
    @ivar tables: SQL that makes them where there are none, and sets the version.
    @ivar upgrades: SQL that makes of a version the next one, by the version that it is for.
    """

    version: int
    tables: str
    upgrades: Mapping[int, str] = field(default_factory=dict)

    def check(self, connection: sqlite3.Connection, path: Path) -> None:
        """
        Find out whether a database is a journal of a version that is known, or nothing yet, and only look.

        @param path: the database's file.
        @raise JournalError: it is a newer netsvc's, or another program's.
        @raise sqlite3.Error: it cannot be read.
        """
        application = _number(connection, "PRAGMA application_id") if _has_tables(connection) else APPLICATION
        self._check(path, application, _number(connection, "PRAGMA user_version"))

    def check_header(self, path: Path) -> None:
        """
        Find out the same from the beginning of a file, as far as it tells, without opening it as a database.

        SQLite would put files beside it, which would be those of whoever looks.

        @raise JournalError: as above.
        @raise OSError: it cannot be read.
        """
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
        if header.startswith(_MAGIC) and len(header) == _HEADER.size:
            version, application = _HEADER.unpack(header)
            # A new one has its own only in the log beside it, until that is copied into it.
            self._check(path, application or APPLICATION, version)

    def _check(self, path: Path, application: int, version: int) -> None:
        if application != APPLICATION:
            raise JournalError(f"{path}: it is another program's database; expected a file of its own")
        if version > self.version:
            raise JournalError(
                f"{path}: its schema is version {version}, a newer netsvc's; "
                f"this one reads versions up to {self.version}"
            )

    def prepare(self, connection: sqlite3.Connection, path: Path) -> None:
        """
        See to it that the tables are there, in this version.

        @param connection: one that was checked, and nobody else writes there.
        @param path: the database's file.
        @raise sqlite3.Error: it cannot be written.
        """
        if not _has_tables(connection):
            connection.executescript(f"BEGIN IMMEDIATE; {self.tables} COMMIT;")
            return
        for older in range(_number(connection, "PRAGMA user_version"), self.version):
            self._upgrade(connection, path, older)

    def _upgrade(self, connection: sqlite3.Connection, path: Path, version: int) -> None:
        _back_up(connection, path, version)
        connection.executescript(
            f"BEGIN IMMEDIATE; {self.upgrades[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """
    Copy a database as it is now; under its name it is whole, and on disk.

    @raise DiskError: there is no room for it.
    """
    # Without a date, so that the next attempt finds what is left of one that was killed.
    unfinished = path.with_name(f"{path.name}.version-{version}.unfinished")
    _delete(unfinished)
    _find_room(connection, path)
    try:
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy)
        unfinished.rename(_backup_name(path, version))
    except BaseException:
        _delete(unfinished)
        raise
    sync_directory(path)


def _find_room(connection: sqlite3.Connection, path: Path) -> None:
    """Tell before the disk is filled for nothing, which others write to."""
    size = _number(connection, "PRAGMA page_count") * _number(connection, "PRAGMA page_size")
    disk = os.statvfs(path.parent)
    # A file system that has no size of its own says 0.
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < size:
        raise DiskError(f"{path}: the disk is too full to copy it before it is upgraded: {size:,} bytes")


def _delete(database: Path) -> None:
    # Not the database alone: SQLite would put a journal of that name into the next one.
    for ending in ("", "-journal", "-wal", "-shm"):
        Path(f"{database}{ending}").unlink(missing_ok=True)


def _backup_name(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.version-{version}-{datetime.now():%Y-%m-%dT%H-%M-%S}")


def sync_directory(path: Path) -> None:
    """Have a file's name on disk, where it is only when its directory is (fsync(2))."""
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(_number(connection, "SELECT count(*) FROM sqlite_schema"))


def _number(connection: sqlite3.Connection, question: str) -> int:
    return int(connection.execute(question).fetchone()[0])


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


#: What this netsvc writes.
SCHEMA = Schema(2, _sql("schema.sql"), {1: _sql("upgrade-1.sql")})
