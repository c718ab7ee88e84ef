"""
``netsvc talk``: sends each line and prints each answer, at a prompt or between pipes.

A stream has no messages: an answer is what arrives, and nobody knows whether it is whole. So what arrives is
printed, with a newline behind it only where something else follows.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from netsvc.commands.address import DATAGRAM_SCHEMES, SERVICE_SCHEMES, Address, AddressType
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.exchange import Exchange, exchange
from netsvc.commands.outgoing import EOLS
from netsvc.commands.positive import SECONDS
from netsvc.commands.room import WRITE_TIMEOUT
from netsvc.commands.running import run
from netsvc.commands.shown import InertText, Output, on_terminal
from netsvc.commands.standard_input import StandardInput

if TYPE_CHECKING:
    from netsvc.commands.prompting import Prompt

_PROMPT = ">>> "

#: Seconds that the next prompt waits for an answer, so that a quick one stands before it, as on paper.
_BEFORE_PROMPT = 0.2


@click.command("talk")
@click.argument("address", type=AddressType(*SERVICE_SCHEMES, *DATAGRAM_SCHEMES))
@click.option(
    "--eol",
    type=click.Choice(list(EOLS)),
    help="What ends each line that is sent; lf if not said, and none in datagrams and on WebSocket.",
)
@click.option(
    "--wait",
    type=SECONDS,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for each answer, where lines do not come from a terminal.",
)
@tls_options
def command(address: Address, eol: str | None, wait: float, tls: TLSOptions) -> None:
    """
    Send each line that you type to ADDRESS and print each answer, until an empty line or the end of input.

    On a terminal there is a prompt with history and line editing, and answers that nobody asked for appear
    above it. Lines from a pipe or a file are sent each after the answer to the one before.
    """
    ending = EOLS[eol or ("none" if address.has_messages else "lf")]
    if sys.stdin.isatty() and on_terminal():
        from netsvc.commands.prompting import install_prompting_reactor

        install_prompting_reactor()
        run(lambda reactor: _at_prompt(reactor, address, tls, ending))
    else:
        run(lambda reactor: _through_pipes(reactor, address, tls, ending, wait))


async def _at_prompt(reactor: Any, address: Address, tls: TLSOptions, ending: bytes) -> None:
    # Imported here because it takes long, and pipes need none.
    from netsvc.commands.prompting import Interrupted, Prompt

    text = InertText()

    def write(lines: str) -> None:
        if lines:
            prompt.write(lines if lines.endswith("\n") else lines + "\n")

    def show(piece: bytes) -> None:
        write(text.feed(piece))

    with Prompt(reactor, _PROMPT) as prompt:
        try:
            async with exchange(reactor, address, tls, show) as opened:
                await _talk(prompt, opened, address, ending)
            write(text.end())
        except Interrupted:
            raise SystemExit(128 + signal.SIGINT) from None


async def _talk(prompt: Prompt, opened: Exchange, address: Address, ending: bytes) -> None:
    arrivals = opened.arrivals
    arrivals.when_ended(prompt.stop)
    while line := await prompt.line():
        before = arrivals.count
        # What was pasted can have several.
        for one in line.splitlines():
            await opened.send(one.encode(errors="surrogateescape") + ending)
        await arrivals.beyond(before, _BEFORE_PROMPT)
    if arrivals.broken:
        raise NotDone(f"{address}: {arrivals.end}")
    if arrivals.end is not None:
        complain(f"{address}: {arrivals.end}")


async def _through_pipes(reactor: Any, address: Address, tls: TLSOptions, ending: bytes, wait: float) -> None:
    output = Output()
    given = StandardInput(reactor)
    async with exchange(reactor, address, tls, output.write, max(wait, WRITE_TIMEOUT)) as opened:
        arrivals = opened.arrivals
        arrivals.when_ended(given.stop)
        while line := await given.line():
            output.end_line()
            before = arrivals.count
            await opened.send(line + ending)
            await arrivals.beyond(before, wait)
        opened.finish()
        if not address.is_datagram:
            await arrivals.silence(wait)
        output.end_line()
        if given.was_cut:
            raise NotDone(f"{address}: {arrivals.end} before the end of what is to be sent")
        if arrivals.broken:
            raise NotDone(f"{address}: {arrivals.end}")
