"""A file system of a few MiB, in a mount namespace of its own, that goes with the test."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: setns(2): the mount namespace.
_CLONE_NEWNS = 0x00020000


class SmallDisk:
    """
    A tmpfs that only those see who enter its namespace.

    @ivar directory: where it is for these.
    @ivar outside: where it is for everybody else; no place to open a database at, which resolves its name.
    """

    def __init__(self, directory: Path, holder: int) -> None:
        self.directory = directory
        self.outside = Path(f"/proc/{holder}/root{directory}")
        self._namespace = f"/proc/{holder}/ns/mnt"

    def enter(self) -> None:
        """To be called in a process that has just begun, `preexec_fn`."""
        fd = os.open(self._namespace, os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def fill(self) -> None:
        """Take all the room that there is."""
        with (self.outside / "filler").open("wb", buffering=0) as filler:
            for size in (65_536, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Give it back."""
        (self.outside / "filler").unlink()

    def copy(self, to: Path) -> Path:
        """Copy what is on it, while nobody writes there, into a directory; gives the directory."""
        shutil.copytree(self.outside, to)
        return to


@contextmanager
def small_disk(directory: Path, size: int) -> Iterator[SmallDisk]:
    """
    Mount one, for the time of a with statement.

    @param directory: over which it is mounted.
    @param size: in bytes.
    @raise PermissionError: this user cannot.
    """
    directory.mkdir()
    script = f"mount -t tmpfs -o size={size},mode=0700 none '{directory}' && echo mounted && exec cat"
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != b"mounted\n":
                raise PermissionError("a mount namespace needs root")
            yield SmallDisk(directory, holder.pid)
        finally:
            holder.stdin.close()
