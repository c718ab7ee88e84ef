"""
``netsvc clients``: registers with a client list and shows it.

The server sends the whole list as one line of JSON and closes. One whose clients linger stays, and sends a
line for each change; with any other, watching means to ask again and to compare.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import click

from twisted.internet.task import deferLater

from netsvc.commands.address import SERVICE_SCHEMES, Address, AddressType
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.inert import inert
from netsvc.commands.linestream import LineStream, open_lines
from netsvc.commands.printing import show_table
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line

#: Bytes that a list may have: far more than a million entries, and not all of the memory.
LONGEST_LIST = 256 * 1024 * 1024

#: Seconds without a byte of the list after which the server is given up.
PATIENCE = 30.0

#: Seconds between two questions to a server that closes after each.
ASK_AGAIN = 5.0

_HEAD = ("name", "address", "port")

#: The list: entries by name.
Clients = Mapping[str, Mapping[str, Any]]

#: A change: ``joined`` or ``left``, and the entry.
Change = tuple[str, Mapping[str, Any]]


class NoListError(ValueError):
    """What came is no client list; the text says in one line what it is."""


def read_list(line: bytes) -> dict[str, Mapping[str, Any]]:
    """
    Read a list.

    @param line: what came up to the first newline, or to the end.
    @raise NoListError: it is none, or the server's refusal.
    """
    if not line.strip():
        raise NoListError("closed without sending a client list")
    found = _json_object(line, "no client list")
    error = found.get("error")
    if isinstance(error, str):
        raise NoListError(error)
    if not all(isinstance(entry, dict) for entry in found.values()):
        raise NoListError(_is_no("no client list", line))
    return found


def read_change(line: bytes) -> Change:
    """
    Read a line that comes behind the list.

    @raise NoListError: it is no change.
    """
    found = _json_object(line, "no change of the list")
    for kind in ("joined", "left"):
        if isinstance(entry := found.get(kind), dict):
            return kind, entry
    raise NoListError(_is_no("no change of the list", line))


def changes(before: Clients, after: Clients) -> Iterator[Change]:
    """
    What has changed between two lists.

    A new port alone is no change: who renews an entry comes from another port each time.
    """
    for name, entry in before.items():
        if name not in after:
            yield "left", entry
    for name, entry in after.items():
        if name not in before or before[name].get("address") != entry.get("address"):
            yield "joined", entry


def row_of(name: object, entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """An entry as the cells of a table."""
    port = entry.get("port")
    return str(name), str(entry.get("address", "")), "" if port is None else str(port)


async def ask(reactor: Any, address: Address, name: bytes, tls: TLSOptions) -> tuple[Clients, LineStream]:
    """
    Register, and get the list.

    @param name: what to register as.
    @return: the list, and the stream on which a server that lets its clients linger tells of changes.
    @raise NotDone: there is no list.
    """
    stream = await open_lines(reactor, address, tls, LONGEST_LIST)
    listed: Clients | None = None
    try:
        await stream.send(name)
        listed = read_list(await stream.line(PATIENCE) or b"")
    except ValueError as error:
        raise NotDone(f"{address}: {error}") from None
    finally:
        if listed is None:
            stream.abort()
    return listed, stream


async def watch(
    reactor: Any,
    address: Address,
    name: bytes,
    tls: TLSOptions,
    show: Callable[[Clients], None],
    show_change: Callable[[Change], None],
) -> None:
    """
    Show the list, and then every change, for ever.

    @param show: shows the first list.
    @param show_change: shows a change.
    @raise NotDone: there was no list even at first, or it cannot be shown. Later it is asked again.
    """
    listed, stream = await ask(reactor, address, name, tls)
    show(listed)
    here = dict(listed)
    while True:
        await _follow(stream, address, here, show_change)
        await stream.close()
        listed, stream = await _ask_until_answered(reactor, address, name, tls)
        for change in list(changes(here, listed)):
            show_change(change)
        here = dict(listed)


async def _ask_until_answered(
    reactor: Any, address: Address, name: bytes, tls: TLSOptions
) -> tuple[Clients, LineStream]:
    while True:
        await deferLater(reactor, ASK_AGAIN)
        try:
            return await ask(reactor, address, name, tls)
        except NotDone as error:
            complain(str(error))


async def _follow(
    stream: LineStream,
    address: Address,
    here: dict[str, Mapping[str, Any]],
    show_change: Callable[[Change], None],
) -> None:
    """Show the changes that a server sends behind the list, until it ends the connection or sends none."""
    while (change := await _next_change(stream, address)) is not None:
        kind, entry = change
        name = str(entry.get("name"))
        if kind == "joined":
            here[name] = entry
        else:
            here.pop(name, None)
        show_change(change)


async def _next_change(stream: LineStream, address: Address) -> Change | None:
    """The next change; None if there will be none, with a complaint if that is not in order."""
    try:
        line = await stream.line()
        return None if line is None else read_change(line)
    except NoListError as error:
        complain(f"{address}: {error}")
    except NotDone as error:
        complain(str(error))
    return None


@click.command("clients")
@click.argument("address", type=AddressType(*SERVICE_SCHEMES), default="127.0.0.1:5000")
@click.option("-n", "--name", metavar="NAME", help="What to register as; without it, this host's name.")
@click.option("--watch", "watching", is_flag=True, help="Stay, and show who comes and goes.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the list as one object of JSON; changes as lines."
)
@tls_options
def command(address: Address, name: str | None, watching: bool, as_json: bool, tls: TLSOptions) -> None:
    """
    Register with the client list at ADDRESS (127.0.0.1:5000) and show it.

    With --watch, changes follow as they happen where the server lets its clients linger; any other server is
    asked again every 5 seconds, which also keeps your entry alive.
    """
    own = socket.gethostname() if name is None else name
    if not own or "\n" in own:
        raise click.UsageError("a name is at least one character, and one line")
    data = own.encode("utf-8", "surrogateescape")
    show, show_change = (_print_json, _print_json_change) if as_json else (_print_table, _print_change)

    async def work(reactor: Any) -> None:
        if watching:
            await watch(reactor, address, data, tls, show, show_change)
        else:
            listed, stream = await ask(reactor, address, data, tls)
            await stream.close()
            show(listed)

    run(work)


def _print_table(listed: Clients) -> None:
    show_table(_HEAD, [row_of(name, entry) for name, entry in listed.items()])


def _print_change(change: Change) -> None:
    kind, entry = change
    write_line("  ".join(map(inert, (f"{kind:6}", *row_of(entry.get("name"), entry)))).rstrip())


def _print_json(listed: Clients) -> None:
    write_line(json.dumps(listed))


def _print_json_change(change: Change) -> None:
    write_line(json.dumps(dict([change])))


def _json_object(line: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NoListError(_is_no(what, line)) from None
    if not isinstance(found, dict):
        raise NoListError(_is_no(what, line))
    return found


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's (RFC 8259 section 6); nobody else could read them."""
    raise ValueError(constant)


def _is_no(what: str, line: bytes) -> str:
    start = line[:40]
    return f"{what}: {start!r}{'...' if len(line) > len(start) else ''}"
