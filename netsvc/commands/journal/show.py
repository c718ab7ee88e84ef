"""``netsvc journal show``: the facts of a journal, one line for each."""

from __future__ import annotations

from pathlib import Path

import click

from netsvc.commands.factlines import json_line, text_line
from netsvc.commands.journal.facts import Asked, asked_options, document, parts
from netsvc.commands.journal.file import file_argument, looking, told
from netsvc.commands.journal.unwinding import unwinding
from netsvc.commands.standard_output import write_line


@click.command("show")
@file_argument
@asked_options
def command(file: Path, asked: Asked, in_hex: bool, as_json: bool) -> None:
    """
    Print the facts in the journal FILE, oldest first: time, kind, service, client, bytes.

    Those that are there when it begins; netsvc tail shows what happens.
    """
    with unwinding(), told(file), looking(file) as connection:
        for rows in parts(connection, asked):
            facts = map(document, rows)
            lines = [json_line(fact) if as_json else text_line(fact, in_hex) for fact in facts]
            if lines:
                write_line("\n".join(lines))
