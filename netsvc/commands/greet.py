"""``netsvc greet``: connects and prints what the server says first."""

from __future__ import annotations

from typing import Any

import click

from netsvc.commands.address import SERVICE_SCHEMES, Address, AddressType
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.exchange import exchange
from netsvc.commands.positive import SECONDS
from netsvc.commands.running import run
from netsvc.commands.shown import Output, on_terminal


@click.command("greet")
@click.argument("address", type=AddressType(*SERVICE_SCHEMES))
@click.option(
    "--timeout",
    type=SECONDS,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to listen to a server that does not close.",
)
@tls_options
def command(address: Address, timeout: float, tls: TLSOptions) -> None:
    """
    Connect to ADDRESS and print the greeting, until the server closes or the time is over.

    The exit status is 1 if there was none.
    """

    async def work(reactor: Any) -> None:
        output = Output()
        async with exchange(reactor, address, tls, output.write) as opened:
            arrivals = opened.arrivals
            await arrivals.until_end(timeout)
            if on_terminal():
                output.end_line()
            if arrivals.broken:
                raise NotDone(f"{address}: {arrivals.end}")
            if not arrivals.count:
                raise NotDone(f"{address}: no greeting: {arrivals.end or f'silent for {timeout:g} s'}")

    run(work)
