"""``netsvc resolve``: the addresses that a connection would use, and this host's name."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from typing import Any

import click

from netsvc.commands.inert import inert
from netsvc.commands.naming import Found, look_up
from netsvc.commands.printing import show_table
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line


def as_json(name: str, host: str, service: str | None, found: list[Found]) -> str:
    """
    What was found, as one JSON object; a port that was not asked for is null.

    @param name: this host's name.
    @param service: None if no port was asked for.
    """
    addresses = [{**asdict(one), "port": None if service is None else one.port} for one in found]
    return json.dumps({"this_host": name, "host": host, "service": service, "addresses": addresses})


@click.command("resolve")
@click.argument("host")
@click.argument("service", required=False)
@click.option("--udp", is_flag=True, help="For datagrams: a service's name can have another port there.")
@click.option("--json", "wants_json", is_flag=True, help="Write one JSON object.")
def command(host: str, service: str | None, udp: bool, wants_json: bool) -> None:
    """
    Show the addresses that a connection to HOST would use, in their order, and this host's name.

    SERVICE is a port or the name of one, such as http.
    """

    async def work(reactor: Any) -> None:
        kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
        found = await look_up(reactor, host, service, kind)
        name = socket.gethostname()
        if wants_json:
            write_line(as_json(name, host, service, found))
            return
        write_line(f"this host is {inert(name)}")
        rows = [(one.family, one.address, "-" if service is None else str(one.port)) for one in found]
        show_table(("family", "address", "port"), rows)

    run(work)
