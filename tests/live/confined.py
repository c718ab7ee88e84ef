"""
Runs a program under what a systemd unit forbids: its system-call filter, its address families, capabilities.

``python -m tests.live.confined UNIT PROGRAM ARGUMENT…``. It reads the unit and makes the filters with the
library that systemd makes them with, so that a filter can be tried where no systemd runs. Like systemd it
says no with the unit's error number rather than ending the program, so that programs can do without.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

#: libseccomp's actions (seccomp_rule_add(3)) and the one comparison that is used here.
_ALLOW, _ERRNO, _EQUAL = 0x7FFF0000, 0x00050000, 4

#: One more than the largest number of an address family (AF_MAX, linux/socket.h).
_FAMILIES = 64

#: What systemd allows beside what a unit names (systemd.exec(5), SystemCallFilter).
_ALWAYS = ("@default", "execve")


class _Comparison(ctypes.Structure):
    """One argument of a system call and what it is compared with (struct scmp_arg_cmp)."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("unused", ctypes.c_uint64),
    )


class Filter:
    """A filter of system calls that is being made."""

    def __init__(self, otherwise: int) -> None:
        """@param otherwise: what happens to a call that no rule is for."""
        self._library = ctypes.CDLL(ctypes.util.find_library("seccomp"))
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(otherwise))

    def add(self, action: int, call: str, first: int | None = None) -> None:
        """
        Add a rule; a call that this machine does not have needs none.

        @param first: for calls with this first argument alone.
        """
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number == -1:
            return
        compared = (_Comparison * 1)(_Comparison(0, _EQUAL, first or 0, 0))
        count = 0 if first is None else 1
        result = self._library.seccomp_rule_add_array(self._context, action, number, count, compared)
        if result not in (0, -errno.EACCES):
            raise OSError(-result, f"{call}: {os.strerror(-result)}")

    def load(self) -> None:
        """From now on it holds, also for children, and whatever they run."""
        result = self._library.seccomp_load(self._context)
        if result:
            raise OSError(-result, os.strerror(-result))


def values(unit: str, name: str) -> list[str]:
    """The values of a setting of a unit, in their order."""
    lines = (line.partition("=") for line in unit.splitlines())
    return [value for key, _, value in lines if key == name]


def calls(names: Sequence[str]) -> Iterator[str]:
    """System calls, with each @set in full, as this machine's systemd has it."""
    for name in names:
        if not name.startswith("@"):
            yield name
            continue
        done = subprocess.run(
            ["systemd-analyze", "--no-pager", "syscall-filter", name],
            capture_output=True,
            text=True,
            check=True,
        )
        lines = (line.strip() for line in done.stdout.splitlines()[1:])
        yield from calls([line for line in lines if line and not line.startswith("#")])


def allowed(unit: str) -> set[str]:
    """What a unit's SystemCallFilter= lets through: an allow-list, less what later lines take away."""
    found = set(calls(_ALWAYS))
    for value in values(unit, "SystemCallFilter"):
        if value.startswith("~"):
            found -= set(calls(value[1:].split())) - set(calls(_ALWAYS))
        else:
            found |= set(calls(value.split()))
    return found


def confine(unit: str) -> None:
    """Hold this process to what a unit allows."""
    families = {getattr(socket, name) for name in values(unit, "RestrictAddressFamilies")[0].split()}
    denied = getattr(errno, values(unit, "SystemCallErrorNumber")[0])
    # Both are made before the first holds, which may leave nothing to make the second with.
    by_family, by_call = Filter(_ALLOW), Filter(_ERRNO | denied)
    for family in set(range(_FAMILIES)) - families:
        by_family.add(_ERRNO | errno.EAFNOSUPPORT, "socket", family)
    for call in allowed(unit):
        by_call.add(_ALLOW, call)
    # The second needs this one, which it may not allow itself.
    by_family.load()
    by_call.load()


def main() -> None:
    """Become the program."""
    _, unit, *command = sys.argv
    confine(Path(unit).read_text())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
