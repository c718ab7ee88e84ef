"""
What a file system would have on disk had the power gone, from a record of the system calls of a process.

Of each file there is what was in it at its last sync; whatever was written after that is gone, or there by
chance. A name is there once its directory was synced (fsync(2)). This is the worst that a disk may do which
keeps what it says it keeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

#: What strace(1) has to be told for its record to be of use here.
STRACE = (
    "strace",
    "-f",
    "-y",
    "-xx",
    "-s2000000",
    "-etrace=openat,pwrite64,write,ftruncate,fallocate,fsync,fdatasync,unlink,rename,sendto,sendmsg,sendmmsg",
)

_LINE = re.compile(r"(\d+) +(.*)\n?")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")

_SYNCS = ("fsync", "fdatasync")


def calls(record: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    """
    The system calls in a record, each where it returned, those that send where they began.

    @return: name, arguments and result of each; of those that send the result is 0.
    """
    begun: dict[str, str] = {}
    for line in record:
        parsed = _LINE.match(line)
        if parsed is None:
            continue
        thread, text = parsed.groups()
        resumed = _RESUMED.match(text)
        if resumed is not None:
            text = begun.pop(thread, "") + resumed[1]
        elif text.startswith("send"):
            yield text.partition("(")[0], text, 0
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        call = _CALL.match(text)
        if call is not None and not text.startswith("send"):
            yield call[1], call[2], int(call[3])


@dataclass
class File:
    """
    One file.

    @ivar content: as the process sees it.
    @ivar synced: as it was at the last sync.
    @ivar since: the pieces written since then, each with its offset; None where the file was cut there.
    """

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        """Write a piece."""
        _write(self.content, offset, data)
        self.since.append((offset, data))

    def cut(self, size: int) -> None:
        """Make it so long."""
        _cut(self.content, size)
        self.since.append((size, None))

    def sync(self) -> None:
        """Have it on disk."""
        self.synced = bytes(self.content)
        self.since.clear()

    def after_power_loss(self, random: Random | None) -> bytes:
        """
        What is left.

        @param random: chooses what is there although it was not synced; None: nothing.
        """
        left = bytearray(self.synced)
        for offset, data in self.since:
            if random is None or random.random() < 0.5:
                continue
            if data is None:
                _cut(left, offset)
            else:
                _write(left, offset, data)
        return bytes(left)


class Disk:
    """The files of one directory, as a process has written them."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._files: dict[str, File] = {}
        self._named: dict[str, File] = {}

    def replay(self, name: str, arguments: str, result: int) -> bool:
        """
        Do what a system call did.

        @return: whether something was synced.
        """
        if result < 0:
            return False
        if name in ("openat", "unlink", "rename"):
            self._change_names(name, arguments)
            return False
        found = _DESCRIPTOR.match(arguments)
        if found is None:
            return False
        path = bytes.fromhex(found[1].replace("\\x", "")).decode() if "\\x" in found[1] else found[1]
        if name in _SYNCS and path == self._directory:
            self._named = dict(self._files)
            return True
        file = self._files.get(path)
        if file is None:
            return False
        if name == "pwrite64":
            *_, offset = arguments.split(", ")
            file.write(int(offset), _bytes(arguments)[:result])
        elif name == "write":
            raise AssertionError(f"write to {path}, whose place is not known here")
        elif name in ("ftruncate", "fallocate"):
            file.cut(int(arguments.rpartition(", ")[2]))
        elif name in _SYNCS:
            file.sync()
            return True
        return False

    def leave(self, directory: Path, random: Random | None = None) -> None:
        """
        Put what a loss of power would leave now into a directory.

        @param random: chooses what is there although it was not synced; None: nothing.
        """
        for path, file in self._named.items():
            (directory / Path(path).name).write_bytes(file.after_power_loss(random))

    def _change_names(self, name: str, arguments: str) -> None:
        path, *others = [_decoded(text) for text in _STRING.findall(arguments)]
        if Path(path).parent != Path(self._directory) or path.endswith("-shm"):
            return
        if name == "unlink":
            self._files.pop(path, None)
        elif name == "rename":
            self._files[others[0]] = self._files.pop(path)
        elif "O_CREAT" in arguments:
            self._files.setdefault(path, File())


def _decoded(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode()


def _bytes(arguments: str) -> bytes:
    found = _STRING.search(arguments)
    assert found is not None, arguments[:200]
    return bytes.fromhex(found[1].replace("\\x", ""))


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))
