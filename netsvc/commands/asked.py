"""
Which facts somebody wants to see: the options that `tail` and `wait` have in common, as a question to the
API.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import click

from netsvc.commands.address import Address
from netsvc.commands.api import API, Query
from netsvc.commands.at import at_option, token
from netsvc.commands.dialing import Command, TLSOptions, tls_options
from netsvc.commands.outgoing import from_hex
from netsvc.facts import KINDS


class AfterType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of ``--after``: the seq of a fact, or ``last``."""

    name = "seq"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """See `click.ParamType`."""
        text = str(value)
        if text == "last":
            return text
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 1 << 63:
            self.fail(f"{text!r} is neither the seq of a fact nor last", param, ctx)
        return int(text)


def filter_options(command: Command) -> Command:
    """
    Decorate a click command that asks for facts with the options that say which, and which daemon's.

    @param command: gets ``query``, a `Query`, ``in_hex``, whether bytes are shown so, and what `at_option`
        and `tls_options` give.
    """

    @functools.wraps(command)
    def with_query(
        *arguments: Any,
        contains: tuple[str, ...],
        in_hex: bool,
        peers: tuple[str, ...],
        service: tuple[str, ...],
        kind: tuple[str, ...],
        connection: tuple[int, ...],
        **options: Any,
    ) -> Any:
        if any(not text for text in contains):
            raise click.UsageError("--contains: everything contains nothing; give at least one byte")
        try:
            sought = [f"hex:{from_hex(text).hex()}" if in_hex else text for text in contains]
        except ValueError as error:
            raise click.UsageError(f"--contains: {error}") from None
        query = [("contains", text) for text in sought]
        query += _from(peers)
        query += [("service", name) for name in service]
        query += [("kind", name) for name in kind]
        query += [("connection", str(number)) for number in connection]
        return command(*arguments, query=query, in_hex=in_hex, **options)

    decorated: Any = tls_options(with_query)
    for option in (
        click.option(
            "--json", "as_json", is_flag=True, help="Print each fact as a line of JSON, as the API has it."
        ),
        click.option(
            "--connection",
            type=click.IntRange(min=1),
            multiple=True,
            metavar="N",
            help="Of this connection, by the number that facts have.",
        ),
        click.option("--kind", type=click.Choice(KINDS), multiple=True, help="Of this kind."),
        click.option("--service", multiple=True, metavar="NAME", help="Of this service."),
        click.option(
            "--from",
            "peers",
            multiple=True,
            metavar="NAME|ADDRESS",
            help="Of this client: its name in the client list, or its address, with a port or without.",
        ),
        click.option(
            "--hex", "in_hex", is_flag=True, help="--contains is hexadecimal, and bytes are printed so."
        ),
        click.option(
            "--contains",
            multiple=True,
            metavar="TEXT",
            help="With this in what was received or sent, however it was cut.",
        ),
    ):
        decorated = option(decorated)
    with_all: Command = at_option(decorated)
    return with_all


def is_address(text: str) -> bool:
    """Whether a ``--from`` is an address, perhaps with a port, or the path of a UNIX socket, and no name."""
    host = text
    if text.startswith("[") or (text.count(":") == 1):
        host = text.rpartition(":")[0] if not text.endswith("]") else text
        host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
    except ValueError:
        return text.startswith(("/", "@"))
    return True


@asynccontextmanager
async def api_at(reactor: Any, address: Address, tls: TLSOptions) -> AsyncIterator[API]:
    """
    The API that the options of `filter_options` name, for the time of a with statement.

    @raise NotDone: ``NETSVC_TOKEN`` is none.
    """
    api = API(reactor, address, tls, token())
    try:
        yield api
    finally:
        await api.close()


def _from(peers: tuple[str, ...]) -> Query:
    keys = ["peer" if is_address(text) else "name" for text in peers]
    # The API lets a fact through that fits each key, and here one of all is meant.
    if len(set(keys)) > 1:
        raise click.UsageError(
            "--from: names and addresses together would have to fit both; give only one kind"
        )
    if "" in peers:
        raise click.UsageError("--from: a name has at least one character")
    return list(zip(keys, peers, strict=True))
