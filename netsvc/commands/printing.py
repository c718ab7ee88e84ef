"""
What commands write to standard output: tables, and peers' text that does nothing to a terminal.

On a terminal a table is drawn by rich; elsewhere it is plain columns. What peers sent is escaped in both,
because a newline in it would forge a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from netsvc.commands.inert import inert
from netsvc.commands.standard_output import write_line, written


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """
    A table as plain columns with two blanks between them.

    @param head: the columns' names.
    @param rows: texts, as many in each as there are columns; they are made `inert`.
    @return: lines, without a newline behind the last.
    """
    lines = [tuple(head), *(tuple(map(inert, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """
    Write a table to standard output; the arguments are `plain_table`'s.

    @raise BrokenPipeError: see `written`.
    @raise NotDone: see `written`.
    """
    if not sys.stdout.isatty():
        write_line(plain_table(head, rows))
        return
    # Imported here because it takes long, and nobody but a terminal needs it.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(inert(cell), overflow="fold") for cell in row))
    with written():
        Console().print(table)
