"""
The journal's file: opened, or begun; told from what is no journal; never destroyed.

A file that is damaged is moved aside under a name with the date, together with what SQLite keeps beside it,
and a new one is begun. One that a newer netsvc has written is left alone, and so is another program's.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

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

#: What SQLite answers of a page that it could not read; others say what is wrong with one that it could.
_UNREAD = re.compile(r"error code=([0-9]+)|failed to get page")

#: And what it answers in both cases, of one of the pages by which space is given back.
_UNCLEAR = "ptrmap"

#: Bytes to read at a time.
_READ_BYTES = 1024 * 1024

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
        # The database and its log, as they were opened; and what readers agree by.
        self._files: tuple[object, ...] = ()
        self._shared: object = None

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
                if self._is_damaged(error):
                    self._put_aside(f"no journal, or a damaged one ({one_line(error)})")
                return self._connect()
        except OSError as error:
            kind = DiskError if error.errno in _OF_THE_DISK else JournalError
            raise kind(f"{self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            # What was damaged has been moved aside: damage that comes and goes is the disk's.
            of_the_disk = code_of(error) in _CODES_OF_THE_DISK or is_damage(error)
            kind = DiskError if of_the_disk else JournalError
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
        Make room for a new one, in the place of one that is damaged and closed; it stays if it proves whole.

        @param error: what said so.
        @raise JournalError: it cannot be moved.
        @raise sqlite3.Error: the disk does not let it be looked through.
        """
        try:
            if self._is_damaged(error):
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

    def is_replaced(self) -> bool:
        """Whether another file has the name of the one that was opened, and may have nothing of its log."""
        found = file_at(f"{self.path}")
        return bool(self._files) and found is not None and found != self._files[0]

    def save(self, connection: sqlite3.Connection) -> None:
        """
        Before it is closed: copy what is in its log into the database, where a name is gone.

        Who closes a log that has no name deletes it, and who moves a database away expects all in it.

        @param connection: what `open` gave.
        @raise DiskError: not all of it could be copied, and nothing else has it.
        @raise sqlite3.Error: the same.
        """
        if self.is_in_place():
            return
        # Where the log is still there, it is moved aside, as far as it is not copied.
        nothing_else = file_at(f"{self.path}") == self._files[0]
        try:
            busy, there, copied = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as error:
            if nothing_else and not is_damage(error):
                raise
            return
        if nothing_else and (busy or copied < there):
            raise DiskError(f"{self.path}: its log is gone, and somebody reads what was in it")

    def _connect(self) -> sqlite3.Connection:
        self._create()
        self._leave_log()
        # Transactions are begun and ended by hand; the thread that writes is not the one that opens.
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
        )
        try:
            self._schema.check(connection, self.path)
            self._be_private()
            self._set_up(connection)
            self._schema.prepare(connection, self.path)
            self.newest = newest(connection)
        except BaseException:
            connection.close()
            raise
        sync_directory(self.path)
        self._files, self._shared = self._identity(), file_at(f"{self.path}-shm")
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
            return
        os.fchmod(fd, 0o600)
        os.close(fd)
        if any(Path(f"{self.path}{ending}").exists() for ending in BESIDE[1:]):
            # SQLite would throw away what somebody may still want to put together with the rest.
            self._put_aside("gone, but not what belongs to it")
            self._create()

    def _be_private(self) -> None:
        """Have one that was there readable by its owner alone, once it is known to be a journal."""
        for ending in BESIDE:
            path = Path(f"{self.path}{ending}")
            try:
                found = path.stat()
            except FileNotFoundError:
                continue
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
                path.chmod(0o600)

    def _leave_log(self) -> None:
        """Where another file has taken the name, part it from the log of the one that had it before."""
        if not self.is_replaced():
            return
        # SQLite would put that log into this file, which it has nothing to do with.
        known = {"-wal": self._files[1], "-shm": self._shared}
        left = [end for end, file in known.items() if file and file_at(f"{self.path}{end}") == file]
        if left:
            aside = self._move_aside("replaced", left)
            self._say(f"{self.path} was replaced by another file: the log before it was moved to {aside}-wal")

    def _is_damaged(self, error: sqlite3.Error) -> bool:
        """
        Look again, in a connection of its own, whether a file that seems damaged is.

        @raise DiskError: it cannot be read.
        @raise sqlite3.Error: the same.
        @raise OSError: the same.
        """
        if not _may_be_the_disk(error):
            return True
        uri = f"file:{quote(os.fsencode(self.path))}?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
                self.examine(connection)
        except sqlite3.DatabaseError as found:
            if not is_damage(found):
                raise
            if _UNCLEAR in str(found):
                self._read_through()
            unread = _UNREAD.search(str(found))
            if unread is None or int(unread[1] or sqlite3.SQLITE_IOERR) & 0xFF == sqlite3.SQLITE_CORRUPT:
                return True
            raise DiskError(f"{self.path}: {one_line(found)}") from None
        return False

    def _read_through(self) -> None:
        """@raise OSError: some of it cannot be read, of which SQLite does not say that it is the disk."""
        # Closing it undoes the locks of our own reader (fcntl(2)), which is closed next: recording failed.
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            place = 0
            while found := os.pread(fd, _READ_BYTES, place):
                place += len(found)
        finally:
            os.close(fd)

    def _put_aside(self, what: str) -> None:
        """Move the file, and what belongs to it, to a name that nobody looks for."""
        aside = self._move_aside("damaged", BESIDE)
        self._say(f"{self.path} is {what}: it was moved to {aside}, and a new journal begun")

    def _move_aside(self, why: str, endings: Iterable[str]) -> str:
        """Give files another name, with the date; @return: its beginning, without the ending."""
        aside = f"{self.path}.{why}-{self._now():%Y-%m-%dT%H-%M-%S.%f}"
        for ending in endings:
            try:
                os.rename(f"{self.path}{ending}", f"{aside}{ending}")
            except FileNotFoundError:
                continue
        sync_directory(self.path)
        return aside

    def _identity(self) -> tuple[object, ...]:
        return tuple(file_at(f"{self.path}{ending}") for ending in ("", "-wal"))


class DamagedError(sqlite3.DatabaseError):
    """What a look at the whole file has found."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, not the disk, a lock or a permission."""
    damaged = code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return damaged or isinstance(error, DamagedError)


def _may_be_the_disk(error: sqlite3.Error) -> bool:
    """Whether a read that failed may be behind it, of which SQLite too says that the file is malformed."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, DamagedError) or code == sqlite3.SQLITE_CORRUPT


def code_of(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code, None for an error of the module around it."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def one_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def file_at(path: str) -> tuple[int, int] | None:
    """Which file has a name: its device and inode, None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
