"""
``netsvc journal check``: whether a journal is whole, and what is in it.

All of the file is read, which takes seconds for a large one. A gap between the numbers of facts means
nothing: they are microseconds, more or less.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from os.path import realpath
from pathlib import Path
from typing import Any

import click

from netsvc.commands.complaints import complain
from netsvc.commands.factlines import local_time
from netsvc.commands.inert import inert
from netsvc.commands.journal.file import file_argument, is_written_to, looking, told
from netsvc.commands.sizes import shown_size
from netsvc.commands.standard_output import write_line
from netsvc.journal.disk.database import is_damage, one_line

_WRITERS = {True: "a daemon has it open", False: "none", None: "not known to this user"}

#: What is wrong with a file is told so many times; a damaged one is seldom damaged in one place.
_MOST_PROBLEMS = 10


def examined(connection: sqlite3.Connection) -> dict[str, Any]:
    """
    Read all of a journal.

    @param connection: to a journal; it is read as it is at one moment, whatever is written meanwhile.
    @return: what is known, ready for JSON: ``problems``, lines; ``version`` of the schema; how many ``facts``
        there are; the ``seq`` and ``time`` of the ``first`` and the ``last``, None where there is none; how
        many bytes are ``free`` within the file.
    @raise sqlite3.Error: it cannot be read, for a reason that is not the file.
    """
    known: dict[str, Any] = {"problems": [], "version": None, "facts": None, "first": None, "last": None}
    known["free"] = None
    connection.execute("BEGIN")
    try:
        known["version"] = _number(connection, "PRAGMA user_version")
        known["free"] = _number(connection, "PRAGMA freelist_count") * _number(connection, "PRAGMA page_size")
        known["problems"] = _problems(connection)
        known["facts"] = _number(connection, "SELECT count(*) FROM fact")
        known["first"] = _fact(connection, "SELECT seq, time FROM fact ORDER BY seq LIMIT 1")
        known["last"] = _fact(connection, "SELECT seq, time FROM fact ORDER BY seq DESC LIMIT 1")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        if not known["problems"]:
            known["problems"] = [one_line(error)]
    finally:
        connection.execute("ROLLBACK")
    return known


@click.command("check")
@file_argument
@click.option("--json", "as_json", is_flag=True, help="Print one object of JSON.")
def command(file: Path, as_json: bool) -> None:
    """
    Say whether the journal FILE is whole, and what is in it.

    All of it is read. Exit status 1 if it is damaged, or no journal.
    """
    # Nothing is open that would have to be closed, and one look into the database can take long.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with told(file), looking(file) as connection:
        known = examined(connection)
        connection.still()
    known = {
        "file": str(file),
        "whole": not known["problems"],
        **known,
        "bytes": _size(file, ""),
        "log": _size(file, "-wal"),
        "written_to": is_written_to(file),
    }
    if as_json:
        write_line(json.dumps(known))
    else:
        write_line(inert(f"{file}: {'whole' if known['whole'] else 'damaged'}") + "\n" + _table(known))
        for problem in known["problems"]:
            complain(f"{file}: {problem}")
    if not known["whole"]:
        raise SystemExit(1)


def _problems(connection: sqlite3.Connection) -> list[str]:
    lines = [
        line
        for (answer,) in connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")
        for line in str(answer).splitlines()
    ]
    return [] if lines == ["ok"] else lines[:_MOST_PROBLEMS]


def _table(known: dict[str, Any]) -> str:
    rows = {
        "schema": f"version {known['version']}",
        "facts": "?" if known["facts"] is None else f"{known['facts']:,}",
        "first": _shown(known["first"]),
        "last": _shown(known["last"]),
        "size": f"{shown_size(known['bytes'])}, {shown_size(known['free'] or 0)} of it free; "
        f"log {shown_size(known['log'])}",
        "writer": _WRITERS[known["written_to"]],
    }
    return "\n".join(f"{name:8}{value}" for name, value in rows.items())


def _shown(fact: dict[str, Any] | None) -> str:
    return "none" if fact is None else f"{local_time(fact['time'])}  seq {fact['seq']}"


def _fact(connection: sqlite3.Connection, question: str) -> dict[str, Any] | None:
    found = connection.execute(question).fetchone()
    return None if found is None else {"seq": found[0], "time": str(found[1])}


def _number(connection: sqlite3.Connection, question: str) -> int:
    return int(connection.execute(question).fetchone()[0])


def _size(file: Path, ending: str) -> int:
    try:
        return os.stat(f"{realpath(file)}{ending}").st_size
    except FileNotFoundError:
        return 0
