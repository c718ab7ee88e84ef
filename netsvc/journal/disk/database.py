"""
The journal's file: opened, or begun; told from what is no journal; never destroyed.

A file that is damaged is moved aside under a name with the date, together with what SQLite keeps beside it,
and a new one is begun. One that a newer netsvc has written is left alone, and so is another program's.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from netsvc.journal.disk.columns import newest
from netsvc.journal.disk.schema import SCHEMA, DiskError, JournalError, Schema, sync_directory

#: What SQLite keeps under a database's name; the log of what is not in the database itself yet is `-wal`.
BESIDE = ("", "-wal", "-shm")

#: Bytes of the write-ahead log after which it is copied into the database, once for many commits; less of it
#: where the journal has to be small: a share of its size, and never less than what a few commits take.
LOG_BYTES = 4 * 1024 * 1024
SMALLEST_LOG_BYTES = 256 * 1024
_LOG_SHARE = 32

#: As many times that may stay on disk when it has been copied.
_LOG_KEPT = 2

#: What says that a disk is full or does not work, where others say that a file is not what it should be.
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
_CODES_OF_THE_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})

#: Seconds to wait for another process that writes, which is nobody but a person with a tool for SQLite.
_BUSY_SECONDS = 5.0


def log_bytes(size: int) -> int:
    """
    Where the write-ahead log is copied into the database.

    @param size: bytes that the journal may have; 0 is no limit.
    """
    return max(SMALLEST_LOG_BYTES, min(LOG_BYTES, size // _LOG_SHARE)) if size else LOG_BYTES


def log_kept(size: int) -> int:
    """Bytes that the log may take on disk when it has been copied; of a journal of so many bytes."""
    return log_bytes(size) * _LOG_KEPT


class Database:
    """
    The file, for one thread that writes.

    @ivar path: it, without symbolic links.
    @ivar newest: the seq of the newest fact that was in it when it was opened; 0: there was none.
    """

    def __init__(
        self,
        path: Path,
        say: Callable[[str], None],
        size: int = 0,
        schema: Schema = SCHEMA,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """
        @param path: the file.
        @param say: told in one line of what was done to a file that could not be used.
        @param size: bytes that it may have; 0 is no limit.
        @param schema: the tables.
        @param now: the local time, for the name of such a file.
        """
        self.path = path
        self.newest = 0
        self._say = say
        self._log_bytes, self._log_kept = log_bytes(size), log_kept(size)
        self._schema = schema
        self._now = now
        self._files: tuple[object, ...] = ()

    def check(self) -> None:
        """
        Look whether it can be a journal, before anything is put beside it.

        @raise JournalError: there is something else of that name, or no directory for it.
        """
        if not self.path.parent.is_dir():
            raise JournalError(f"{self.path}: expected a directory at {self.path.parent}")
        if self.path.exists() and not self.path.is_file():
            raise JournalError(f"{self.path}: expected a file")
        try:
            self._schema.check_header(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror}") from None

    def open(self) -> sqlite3.Connection:
        """
        Open it, or begin it.

        @return: for one thread at a time.
        @raise DiskError: the disk does not take it now.
        @raise JournalError: it cannot be used, and was left as it is.
        """
        try:
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._put_aside(f"no journal, or a damaged one ({one_line(error)})")
                return self._connect()
        except OSError as error:
            kind = DiskError if error.errno in _OF_THE_DISK else JournalError
            raise kind(f"{self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            kind = DiskError if code_of(error) in _CODES_OF_THE_DISK else JournalError
            raise kind(f"{self.path}: {one_line(error)}") from None

    def open_again(self) -> sqlite3.Connection:
        """
        Open it after an error.

        What is in the log then may be in the system's memory alone, although the system calls it written, and
        whatever comes behind it could not be read without it. So it is copied into the database first.

        @raise JournalError: as `open`.
        @raise sqlite3.Error: it cannot be written to.
        """
        connection = self.open()
        try:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise JournalError(f"{self.path}: somebody else holds on to it")
        except BaseException:
            connection.close()
            raise
        return connection

    def put_aside(self, error: sqlite3.Error) -> None:
        """
        Make room for a new one, in the place of one that is damaged and closed.

        @param error: what said so.
        @raise JournalError: it cannot be moved.
        """
        try:
            self._put_aside(f"damaged ({one_line(error)})")
        except OSError as failed:
            raise JournalError(f"{self.path}: {failed.strerror}") from None

    def examine(self, connection: sqlite3.Connection) -> None:
        """
        Look whether all of it can be read, which takes seconds for a large one.

        @raise sqlite3.DatabaseError: it cannot, or something in it does not fit together.
        """
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            # The first line only names the part of the database that the second is about.
            raise DamagedError(str(answer).splitlines()[-1])

    def is_in_place(self) -> bool:
        """Whether what is open still has its name: who moves a journal away expects that a new one begins."""
        return self._files == self._identity()

    def _connect(self) -> sqlite3.Connection:
        self._create()
        # Transactions are begun and ended by hand; the thread that writes is not the one that opens.
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
        )
        try:
            self._schema.check(connection, self.path)
            self._set_up(connection)
            self._schema.prepare(connection, self.path)
            self.newest = newest(connection)
        except BaseException:
            connection.close()
            raise
        sync_directory(self.path)
        self._files = self._identity()
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = FULL")
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            # Only before anything is in it; lets space be given back without copying the whole file.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalError(f"{self.path}: this file system cannot have a write-ahead log for it")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_bytes // page}")
        connection.execute(f"PRAGMA journal_size_limit = {self._log_kept}")

    def _create(self) -> None:
        """Make the file if there is none, readable by its owner alone whatever the umask."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            found = self.path.stat()
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
                self.path.chmod(0o600)
            return
        os.fchmod(fd, 0o600)
        os.close(fd)
        if any(Path(f"{self.path}{ending}").exists() for ending in BESIDE[1:]):
            # SQLite would throw away what somebody may still want to put together with the rest.
            self._put_aside("gone, but not what belongs to it")
            self._create()

    def _put_aside(self, what: str) -> None:
        """Move the file, and what belongs to it, to a name that nobody looks for."""
        aside = f"{self.path}.damaged-{self._now():%Y-%m-%dT%H-%M-%S.%f}"
        for ending in BESIDE:
            try:
                os.rename(f"{self.path}{ending}", f"{aside}{ending}")
            except FileNotFoundError:
                continue
        sync_directory(self.path)
        self._say(f"{self.path} is {what}: it was moved to {aside}, and a new journal begun")

    def _identity(self) -> tuple[object, ...]:
        return tuple(_file_at(f"{self.path}{ending}") for ending in ("", "-wal"))


class DamagedError(sqlite3.DatabaseError):
    """What a look at the whole file has found."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, not the disk, a lock or a permission."""
    damaged = code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return damaged or isinstance(error, DamagedError)


def code_of(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code, None for an error of the module around it."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def one_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
