"""
``netsvc journal prune``: what a daemon does to its journal all the time, done once to one that has none.

The oldest facts leave first, some at a time, so that whatever ends this leaves a journal that is whole.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from os.path import realpath
from pathlib import Path

import click

from netsvc.commands.inert import inert
from netsvc.commands.journal.file import file_argument, looking, told
from netsvc.commands.journal.unwinding import unwinding
from netsvc.commands.sizes import SizeType, shown_size
from netsvc.commands.standard_output import write_line
from netsvc.journal.disk.lock import Lock
from netsvc.journal.disk.retention import Retention
from netsvc.journal.disk.schema import JournalError

#: Facts, and bytes of facts, that leave in one transaction: a fraction of a second.
_STEP_FACTS = 20_000
_STEP_BYTES = 2 * 1024 * 1024

_SPAN = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class AgeType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of ``--age``: seconds, as ``90s``, ``15m``, ``2h`` or ``30d``."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        found = _SPAN.fullmatch(str(value))
        seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
        if not seconds:
            self.fail(f"{value!r}: expected a number and s, m, h or d behind it, such as 30d", param, ctx)
        return seconds


@contextmanager
def alone(file: Path) -> Iterator[sqlite3.Connection]:
    """
    A journal to write to, for the time of a with statement, in which no daemon begins to.

    @raise JournalError: a daemon has it open, or it is none, or cannot be written to.
    @raise sqlite3.Error: the same, or it is damaged.
    """
    path = Path(realpath(file))
    with looking(file):
        # It is one, and can be read.
        owner = path.stat()
    try:
        Lock.check(path)
    except JournalError:
        raise JournalError(
            f"{file}: a daemon writes to it, and removes what [journal] age, count and size say; "
            "set those, or stop it first"
        ) from None
    lock = Lock(path)
    try:
        # Or a daemon that is another user could not open it; where files have no owners it can.
        with suppress(OSError):
            os.chown(f"{path}.lock", owner.st_uid, owner.st_gid)
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)
        with closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            yield connection
    finally:
        lock.release()


@click.command("prune")
@file_argument
@click.option("--age", type=AgeType(), metavar="SPAN", help="Remove what is older, as 12h or 30d.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Keep the newest N facts.")
@click.option("--size", type=SizeType(), metavar="BYTES", help="Keep what fits into so much, as 500M.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as one object of JSON.")
def command(file: Path, age: int | None, count: int | None, size: int | None, as_json: bool) -> None:
    """
    Remove the oldest facts from the journal FILE, and give their space back.

    Only while no daemon writes to it: one that runs does the same by its settings.
    """
    if age is None and count is None and size is None:
        raise click.UsageError("say what is to be removed: --age, --count or --size")
    retention = Retention.unattended(age or 0, count or 0, size or 0)
    with unwinding(), told(file), alone(file) as connection:
        before = _state(connection)
        while _step(retention, connection):
            # Between two steps a signal may end it.
            continue
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        after = _state(connection)
    _tell(file, before, after, as_json)


def _step(retention: Retention, connection: sqlite3.Connection) -> bool:
    """@return: whether there may be more to do."""
    removed = connection.total_changes
    return retention.step(connection, _STEP_FACTS, _STEP_BYTES) or connection.total_changes > removed


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many facts there are, and in how many bytes."""
    (facts,) = connection.execute("SELECT count(*) FROM fact").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return facts, pages * page


def _tell(file: Path, before: tuple[int, int], after: tuple[int, int], as_json: bool) -> None:
    removed = before[0] - after[0]
    if as_json:
        known = {"file": str(file), "removed": removed, "facts": after[0], "bytes": after[1]}
        write_line(json.dumps({**known, "bytes_before": before[1]}))
        return
    write_line(
        inert(
            f"{file}: {removed:,} facts removed, {after[0]:,} left; {shown_size(after[1])}, "
            f"{shown_size(before[1])} before"
        )
    )
