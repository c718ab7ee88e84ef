"""
``netsvc journal export``: the facts of a journal for other programs: lines of JSON, or packets for Wireshark.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from netsvc import __version__
from netsvc.commands.complaints import complain
from netsvc.commands.factlines import json_line
from netsvc.commands.journal.facts import Asked, asked_options, document, parts
from netsvc.commands.journal.file import belongs_to, file_argument, looking, told
from netsvc.commands.journal.output import writing
from netsvc.commands.journal.unwinding import unwinding
from netsvc.facts import Row
from netsvc.journal.capture import Capture


@click.command("export")
@file_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["ndjson", "pcapng"]),
    default="ndjson",
    show_default=True,
    help="A line of JSON for each fact, as the API has it; or packets.",
)
@click.option("--tcp", is_flag=True, help="Packets of connections too, made up around what they carried.")
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="OUT",
    help="Write to a file, which is replaced; standard output if not said.",
)
@asked_options
def command(
    file: Path, asked: Asked, form: str, tcp: bool, out: str | None, in_hex: bool, as_json: bool
) -> None:
    """
    Write the facts in the journal FILE for other programs.

    pcapng has the datagrams, with their addresses, ports and times, and is read by Wireshark and tshark.
    """
    if tcp and form != "pcapng":
        raise click.UsageError("--tcp is for --format pcapng")
    if as_json and form != "ndjson":
        raise click.UsageError("--json is --format ndjson")
    if form == "pcapng" and out in (None, "-") and sys.stdout.isatty():
        raise click.UsageError("packets are for a file or a pipe; give -o OUT")
    if out is not None and belongs_to(file, out):
        raise click.UsageError(f"-o {out}: that is the journal itself")
    capture = Capture(f"netsvc {__version__}", tcp) if form == "pcapng" else None
    with unwinding(), told(file), looking(file) as connection, writing(out) as write:
        if capture is not None:
            write(capture.begin())
        for rows in parts(connection, asked):
            write(_lines(rows) if capture is None else _packets(capture, rows))
    if capture is not None:
        _tell(capture)


def _lines(rows: list[Row]) -> bytes:
    return "".join(f"{json_line(document(row))}\n" for row in rows).encode("ascii")


def _packets(capture: Capture, rows: list[Row]) -> bytes:
    return b"".join(packet for row in rows for packet in capture.add(row))


def _tell(capture: Capture) -> None:
    """Say what is not in the file that somebody may expect there."""
    left_out = [f"{count:,} {reason}" for reason, count in capture.left_out.items()]
    if not left_out and capture.packets:
        return
    packets = f"{capture.packets:,} packet{'' if capture.packets == 1 else 's'}"
    without = f"; left out of all messages: {', '.join(left_out)}" if left_out else ""
    how = " (--tcp writes these too)" if "of connections" in capture.left_out else ""
    complain(f"{packets}{without}{how}")
