"""``netsvc send``: sends messages, text or bytes, and prints the answers if it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from netsvc.commands.address import DATAGRAM_SCHEMES, SERVICE_SCHEMES, Address, AddressType
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.exchange import Exchange, exchange
from netsvc.commands.outgoing import EOLS, Message, messages_of
from netsvc.commands.positive import SECONDS
from netsvc.commands.room import WRITE_TIMEOUT
from netsvc.commands.running import run
from netsvc.commands.shown import Output, hex_line, on_terminal

#: Seconds of ``--wait`` without a number.
WAIT = 3.0

#: Seconds that a stream's server has to close after the last byte, where no answer is waited for. What it
#: sends by then is read: a connection that is closed with bytes unread is reset, and may lose ours.
_GOODBYE = 1.0


def with_seconds(arguments: Sequence[str]) -> list[str]:
    """
    Give a ``--wait`` its number where none follows, so that it does not take an address or a message for one.

    >>> with_seconds(["--wait", "localhost:8009", "hello"])
    ['--wait=3.0', 'localhost:8009', 'hello']
    """
    done: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*done, argument, *rest]
        if argument == "--wait":
            argument = f"--wait={rest.pop(0) if rest and _is_number(rest[0]) else WAIT}"
        done.append(argument)
    return done


class _Send(click.Command):
    """A command whose ``--wait`` may stand without its number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_seconds(args))


@click.command("send", cls=_Send)
@click.argument("address", type=AddressType(*SERVICE_SCHEMES, *DATAGRAM_SCHEMES))
@click.argument("messages", nargs=-1, metavar="MESSAGE...")
@click.option(
    "--wait",
    type=SECONDS,
    metavar="[SECONDS]",
    help=f"Print the answers; wait so long for each ({WAIT:g} if not said).",
)
@click.option("--hex", "in_hex", is_flag=True, help="Messages are hexadecimal, and answers are printed so.")
@click.option(
    "--file",
    "files",
    type=click.Path(readable=False, allow_dash=True),
    multiple=True,
    metavar="FILE",
    help="Send a file's bytes; - is standard input.",
)
@click.option(
    "--eol",
    type=click.Choice(list(EOLS)),
    default="none",
    show_default=True,
    help="What to add to each MESSAGE.",
)
@tls_options
def command(
    address: Address,
    messages: tuple[str, ...],
    wait: float | None,
    in_hex: bool,
    files: tuple[str, ...],
    eol: str,
    tls: TLSOptions,
) -> None:
    """
    Send each MESSAGE, and then each --file, to ADDRESS; a MESSAGE of - is standard input.

    Each is one datagram or WebSocket message, or is written to the stream; over WebSocket, files and standard
    input are sent in messages of up to 64 KiB. With --wait the answers are printed, each message is sent
    after the answer to the one before, and the exit status is 1 if none came. A stream is closed for sending
    after the last message, or, with --wait, once its answer begins or none came for so long.
    """
    if not messages and not files:
        raise click.UsageError("there is nothing to send; give a MESSAGE or --file")
    try:
        outgoing = messages_of(messages, files, in_hex, EOLS[eol])
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    async def work(reactor: Any) -> None:
        output = Output(hex_line if in_hex else bytes)
        show = output.write if wait is not None else lambda piece: None
        async with exchange(reactor, address, tls, show, max(wait or 0.0, WRITE_TIMEOUT)) as opened:
            await _send_all(reactor, opened, address, outgoing, wait)
            arrivals = opened.arrivals
            if on_terminal():
                output.end_line()
            if arrivals.broken:
                raise NotDone(f"{address}: {arrivals.end}")
            if wait is not None and not arrivals.count:
                raise NotDone(f"{address}: no answer: {arrivals.end or f'silent for {wait:g} s'}")

    run(work)


async def _send_all(
    reactor: Any, opened: Exchange, address: Address, outgoing: Sequence[Message], wait: float | None
) -> None:
    arrivals = opened.arrivals
    for message in outgoing:
        before = arrivals.count
        # A file may be larger than any message over WebSocket.
        if address.is_datagram or (address.is_websocket and message.file is None):
            await opened.send(await message.whole(reactor))
        else:
            async for piece in message.pieces(reactor):
                await opened.send(piece)
        if wait is not None:
            await arrivals.beyond(before, wait)
    # Not before the first answer: there are servers that hang up at the end of what they read.
    opened.finish()
    if address.is_datagram:
        return
    if wait is None:
        await arrivals.until_end(_GOODBYE)
    else:
        await arrivals.silence(wait)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
