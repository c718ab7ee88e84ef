"""That no second daemon writes to the same journal."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from netsvc.journal.disk.schema import JournalError


class Lock:
    """A file beside the journal that one process has locked, until it ends at the latest."""

    def __init__(self, path: Path) -> None:
        """
        @param path: the journal's, by which everybody knows it: without symbolic links.
        @raise JournalError: another process has it, or the lock's file cannot be made.
        """
        # Beside it, because closing a descriptor of the database's own would undo SQLite's locks (fcntl(2)).
        try:
            self._fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            if error.errno == errno.EWOULDBLOCK:
                raise _taken(path) from None
            raise JournalError(f"{path}: cannot lock it: {error.strerror}") from None

    @staticmethod
    def check(path: Path) -> None:
        """
        Find out whether another process has it, and leave everything as it is.

        @param path: as above.
        @raise JournalError: another process has it.
        """
        try:
            fd = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # Nobody has, or that user has it who will take it.
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                raise _taken(path) from None
        finally:
            os.close(fd)

    def release(self) -> None:
        """Let another one have it. The file stays, because somebody may have it open already."""
        os.close(self._fd)


def _taken(path: Path) -> JournalError:
    return JournalError(f"{path}: another netsvc writes to it; expected a journal of its own")
