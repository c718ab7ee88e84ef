"""
Facts out of a journal: which ones somebody asks for, read a part at a time, however many there are.

A journal has addresses and no names: which client had which name is known to a daemon while it runs.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click

from netsvc.commands.answer import Fact as Document
from netsvc.commands.api import Query
from netsvc.commands.asked import SeqType, fact_options
from netsvc.commands.dialing import Command
from netsvc.commands.journal.file import Look
from netsvc.facts import Fact, Row
from netsvc.journal.disk.reader import Reader
from netsvc.journal.disk.schema import SCHEMA, JournalError
from netsvc.journal.query import Filter

#: Facts that one part has, and bytes of them, more or less: what is in memory at once.
_PART_FACTS = 1000
_PART_BYTES = 4 * 1024 * 1024

#: Facts that `--last` can have: their numbers are in memory, some 60 bytes each.
MOST_LAST = 1_000_000


@dataclass(frozen=True)
class Asked:
    """
    Which facts of a journal.

    @ivar wanted: those that fit.
    @ivar after: of those the ones behind this seq.
    @ivar limit: of those the oldest so many; None: all.
    @ivar last: or of those the newest so many; None: all.
    """

    wanted: Filter
    after: int
    limit: int | None
    last: int | None


def asked_options(command: Command) -> Command:
    """
    Decorate a click command that reads a journal with the options that say which facts.

    @param command: gets ``asked``, `Asked`, and of `fact_options` all but the query.
    """

    @functools.wraps(command)
    def with_asked(
        *arguments: Any, query: Query, after: int, limit: int | None, last: int | None, **options: Any
    ) -> Any:
        if any(key == "name" for key, _ in query):
            raise click.UsageError("--from: a journal has addresses and no names; give an address")
        if limit is not None and last is not None:
            raise click.UsageError("--limit is for the oldest and --last for the newest; give one of them")
        values: dict[str, list[str]] = {}
        for key, value in query:
            values.setdefault(key, []).append(value)
        try:
            wanted = Filter.parse(values)
        except ValueError as error:
            raise click.UsageError(f"--{error}") from None
        return command(*arguments, asked=Asked(wanted, after, limit, last), **options)

    decorated: Any = with_asked
    for option in (
        click.option(
            "--last",
            type=click.IntRange(1, MOST_LAST),
            metavar="N",
            help="The newest N of those that fit; they are still shown oldest first.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="The oldest N of those that fit."
        ),
        click.option(
            "--after", type=SeqType(), default="0", metavar="SEQ", help="Only facts behind this one."
        ),
    ):
        decorated = option(decorated)
    with_all: Command = fact_options(decorated)
    return with_all


def parts(connection: Look, asked: Asked) -> Iterator[list[Row]]:
    """
    The facts that are there now, oldest first, a part at a time; parts may be empty.

    @param connection: to a journal.
    @raise JournalError: an older netsvc has written it, or it is damaged, or it is written to; see `Look`.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < SCHEMA.version:
        raise JournalError(
            f"its schema is version {version}, an older netsvc's; "
            f"a daemon that is started with it makes it version {SCHEMA.version}"
        )
    reader = Reader(connection)
    # What a daemon writes meanwhile could go on for ever.
    until = reader.last()
    found = _oldest(reader, asked, until) if asked.last is None else _newest(reader, asked, until, asked.last)
    return _unchanged(connection, found)


def _unchanged(connection: Look, found: Iterator[list[Row]]) -> Iterator[list[Row]]:
    for rows in found:
        connection.still()
        yield rows
    # Whoever finds nothing more may have looked where something else is now.
    connection.still()


def document(row: Row) -> Document:
    """A fact as the API has it, but for the client's name."""
    return Fact.of(row).as_json(_nobody)


def _oldest(reader: Reader, asked: Asked, until: int) -> Iterator[list[Row]]:
    place, left, matcher, done = asked.after, asked.limit, None, False
    while not done and left != 0:
        limit = _PART_FACTS if left is None else min(left, _PART_FACTS)
        part = reader.find(asked.wanted, place, until, limit=limit, limit_bytes=_PART_BYTES, matcher=matcher)
        place, done, matcher = part.place, part.done, part.matcher
        if left is not None:
            left -= len(part.rows)
        yield part.rows


def _newest(reader: Reader, asked: Asked, until: int, count: int) -> Iterator[list[Row]]:
    # They are found newest first and shown oldest first: their numbers are kept, and the facts read again.
    numbers: list[int] = []
    place, done = until, False
    while not done and len(numbers) < count:
        limit = min(count - len(numbers), _PART_FACTS)
        part = reader.find(
            asked.wanted, asked.after, place, newest_first=True, limit=limit, limit_bytes=_PART_BYTES
        )
        place, done = part.place, part.done
        numbers += [row[0] for row in part.rows]
        yield []
    if not numbers:
        return
    numbers.reverse()
    # Content was sought already, and finding it again would need what is before.
    again = replace(
        asked, wanted=replace(asked.wanted, contains=frozenset()), after=numbers[0] - 1, limit=None
    )
    for rows in _oldest(reader, again, until):
        yield [row for row in rows if _is_in(numbers, row[0])]


def _is_in(numbers: list[int], number: int) -> bool:
    """Whether a number is among others, which are in their order."""
    index = bisect_left(numbers, number)
    return index < len(numbers) and numbers[index] == number


def _nobody(address: str) -> None:
    """No client has a name here."""
