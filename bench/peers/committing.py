"""Commits every datagram by itself and then acknowledges it: `python -m bench.peers.committing FILE`."""

from __future__ import annotations

import sqlite3
import sys
from time import time_ns

from bench.peers.asked import receiving


def main(file: str) -> None:
    """Serve for ever."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE message (seq INTEGER PRIMARY KEY, time INTEGER, address TEXT, data BLOB)"
    )
    with receiving() as sock:
        while True:
            data, source = sock.recvfrom(65_536)
            connection.execute("INSERT INTO message VALUES (NULL, ?, ?, ?)", (time_ns(), str(source), data))
            sock.sendto(b"Got your message!", source)


if __name__ == "__main__":
    main(sys.argv[1])
