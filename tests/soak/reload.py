"""
Reloads under load: `python -m tests.soak.reload`, 100 of them unless told otherwise.

It ends with status 1 where a connection was refused or reset, an answer was wrong or a datagram was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.certificates import make_authority
from tests.live.reloads import reload_under_load
from tests.live.streams import client_context
from tests.soak.journal import say


def main(arguments: list[str]) -> int:
    """
    Reload.

    @param arguments: the command line.
    @return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak.reload")
    parser.add_argument("reloads", nargs="?", type=int, default=100)
    asked = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="netsvc-reload-"))
    (directory / "certificates").mkdir()
    certificates = make_authority(directory / "certificates")
    both = certificates.server_both.read_bytes()
    clients = reload_under_load(
        directory, (both, both + b"\n"), client_context(certificates.ca), asked.reloads
    )
    say(
        f"{asked.reloads} reloads: {clients.connections} connections, {clients.answered} messages answered, "
        f"{len(clients.wrong)} refused, reset or lost"
    )
    for wrong in clients.wrong:
        say(wrong)
    return 1 if clients.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
