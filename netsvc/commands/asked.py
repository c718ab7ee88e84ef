"""
Which facts somebody wants to see: the options that `tail`, `wait` and `journal` have in common, as a question
in the form in which the API takes it.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from time import time_ns
from typing import Any

import click

from netsvc.commands.address import Address
from netsvc.commands.api import API, Query
from netsvc.commands.at import at_option, token
from netsvc.commands.dialing import Command, TLSOptions, tls_options
from netsvc.commands.outgoing import from_hex
from netsvc.facts import KINDS
from netsvc.journal.moments import EXPECTED, moment


class SeqType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of the seq of a fact."""

    name = "seq"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        seq = _seq(str(value))
        if seq is None:
            self.fail(f"{str(value)!r} is not the seq of a fact", param, ctx)
        return seq


class AfterType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of ``--after``: the seq of a fact, or ``last``."""

    name = "seq"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """See `click.ParamType`."""
        if value == "last":
            return "last"
        seq = _seq(str(value))
        if seq is None:
            self.fail(f"{str(value)!r} is neither the seq of a fact nor last", param, ctx)
        return seq


def _seq(text: str) -> int | None:
    """A whole number that fits into 63 bits; None where it is none."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 1 << 63:
        return None
    return int(text)


def filter_options(command: Command) -> Command:
    """
    Decorate a click command that asks a daemon for facts with the options that say which, and which daemon's.

    @param command: gets what `fact_options`, `at_option` and `tls_options` give.
    """
    return at_option(fact_options(tls_options(command)))


def fact_options(command: Command) -> Command:
    """
    Decorate a click command that shows facts with the options that say which, and how.

    @param command: gets ``query``, a `Query`, ``in_hex``, whether bytes are shown so, and ``as_json``.
    """

    @functools.wraps(command)
    def with_query(
        *arguments: Any,
        contains: tuple[str, ...],
        in_hex: bool,
        peers: tuple[str, ...],
        service: tuple[str, ...],
        listener: tuple[str, ...],
        kind: tuple[str, ...],
        connection: tuple[int, ...],
        since: str | None,
        until: str | None,
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
        query += [("listener", url) for url in listener]
        query += [("kind", name) for name in kind]
        query += [("connection", str(number)) for number in connection]
        query += [(key, time) for key, time in (("since", since), ("until", until)) if time is not None]
        return command(*arguments, query=query, in_hex=in_hex, **options)

    decorated: Any = with_query
    for option in (
        click.option(
            "--json", "as_json", is_flag=True, help="Print each fact as a line of JSON, as the API has it."
        ),
        click.option(
            "--until", metavar="TIME", callback=_moment, help="Noted before then; TIME is as with --since."
        ),
        click.option(
            "--since",
            metavar="TIME",
            callback=_moment,
            help="Noted then or later: 2026-07-01T12:30, or how long ago, as 90s, 15m, 2h or 3d.",
        ),
        click.option(
            "--connection",
            type=click.IntRange(min=1),
            multiple=True,
            metavar="N",
            help="Of this connection, by the number that facts have.",
        ),
        click.option("--kind", type=click.Choice(KINDS), multiple=True, help="Of this kind."),
        click.option("--listener", multiple=True, metavar="URL", help="Of this listener."),
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
    with_all: Command = decorated
    return with_all


def _moment(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """A moment as a number of nanoseconds: by the user's clock, and in the user's local time."""
    if text is None:
        return None
    try:
        return str(moment(text, time_ns()))
    except ValueError:
        raise click.BadParameter(f"{text!r}: expected {EXPECTED}") from None


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
async def api_at(
    reactor: Any, address: Address, tls: TLSOptions, seconds: float | None
) -> AsyncIterator[API]:
    """
    The API that the options of `filter_options` name, for the time of a with statement.

    @param seconds: see `API`.
    @raise NotDone: ``NETSVC_TOKEN`` is none.
    """
    api = API(reactor, address, tls, token(), seconds)
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
