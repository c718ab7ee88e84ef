"""
Runs a program on sockets that its parent holds, as systemd does.

``python -m tests.live.handover NAME=DESCRIPTOR… -- PROGRAM ARGUMENT…``: the descriptors become the first
ones, and the environment says so to the program, whose process id must be in it (sd_listen_fds(3)).
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Mapping, Sequence

#: The first descriptor that systemd passes.
_FIRST = 3


def command(sockets: Mapping[str, Sequence[socket.socket]]) -> list[str]:
    """What to put before a program that is to inherit sockets by these names; its parent must pass them."""
    given = [f"{name}={one.fileno()}" for name, several in sockets.items() for one in several]
    return [sys.executable, "-m", "tests.live.handover", *given, "--"]


def descriptors(sockets: Mapping[str, Sequence[socket.socket]]) -> list[int]:
    """What the parent must pass (``pass_fds``)."""
    return [one.fileno() for several in sockets.values() for one in several]


def main() -> None:
    """Become the program."""
    end = sys.argv.index("--")
    given = [argument.rpartition("=") for argument in sys.argv[1:end]]
    # First out of the way, because one may stand where another is to go.
    moved = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 1000) for _, _, number in given]
    for place, descriptor in enumerate(moved, _FIRST):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.update(
        LISTEN_PID=str(os.getpid()),
        LISTEN_FDS=str(len(given)),
        LISTEN_FDNAMES=":".join(name for name, _, _ in given),
    )
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
