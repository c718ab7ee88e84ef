"""``netsvc listen``: receives on one address and prints what arrives, as the receiver's log does."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import click

from netsvc.commands.address import Address, AddressType
from netsvc.commands.complaints import NotDone
from netsvc.commands.listening import listen, open_sockets
from netsvc.commands.positive import SECONDS
from netsvc.commands.reception import Reception, Style
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line

#: What is said when nothing came in time; first programs say the same.
NOTHING_CAME = "No connection between client and server"


@click.command("listen")
@click.argument("address", type=AddressType("tcp", "udp", "unix", "unix-datagram", lowest_port=0))
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option(
    "--timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Wait no longer for a message.",
)
@click.option("--hex", "as_hex", is_flag=True, help="Print bytes as hexadecimal digits.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Append what arrives, as it is, to a file; - is standard output, which then has nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each message.")
@click.option("--reply", metavar="TEXT", help="Answer each message with this text.")
def command(
    address: Address,
    count: int | None,
    timeout: float | None,
    as_hex: bool,
    file: str | None,
    as_json: bool,
    reply: str | None,
) -> None:
    """
    Receive on ADDRESS and print what arrives: each datagram, or each chunk of a stream.

    Where it listens is told on standard error; port 0 lets the system choose one. With --timeout it ends once
    nothing has come for so long: in failure if nothing came at all, or fewer messages than --count.
    """
    alone = file == "-"
    if alone and sys.stdout.isatty():
        raise click.UsageError("--file - is for a pipe or a file; what arrives could act on a terminal")
    if as_json and as_hex:
        raise click.UsageError("--json has the bytes as base64; leave --hex out")

    async def work(reactor: Any) -> None:
        payloads = _payloads(file)
        style = Style(as_json, as_hex)
        opened = await open_sockets(reactor, address)
        reception = Reception(reactor, style, count, timeout, payloads, None if alone else click.echo)
        try:
            success = await listen(
                reactor, opened, reception, (reply or "").encode("utf-8", "surrogateescape")
            )
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotDone(f"cannot write what arrived: {error.strerror or error}") from None
        if not success:
            if reception.received:
                raise NotDone(f"{reception.received} of {count} messages came")
            if alone or as_json:
                click.echo(NOTHING_CAME, err=True)
            else:
                write_line(NOTHING_CAME)
            raise SystemExit(1)

    run(work)


def _payloads(file: str | None) -> BinaryIO | None:
    if file is None:
        return None
    if file == "-":
        return sys.stdout.buffer
    try:
        return open(file, "ab")
    except OSError as error:
        raise NotDone(f"{file!r}: cannot write to it: {error.strerror or error}") from None
