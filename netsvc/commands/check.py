"""
``netsvc check``: says what the daemon would listen on, or why it would not start, and opens nothing.

It goes the daemon's own way up to its first socket, so that it refuses what the daemon refuses, in its words.
"""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Iterable, Iterator
from typing import Any

import click

from netsvc.commands.complaints import NotDone
from netsvc.commands.daemon_options import DaemonCommand, offer_files
from netsvc.commands.logged import complain_of_left_out, warnings_to_stderr
from netsvc.commands.printing import show_table
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line
from netsvc.net.binding import Binding
from netsvc.net.sockets import refusal
from netsvc.options import Options
from netsvc.settings import SettingError
from netsvc.tap import Assembly

#: A listener that would be: the service's name, and its binding.
Planned = tuple[str, Binding]

_HEAD = ("service", "listener", "transport", "asked for by")


def refuse_collisions(planned: Iterable[Planned]) -> None:
    """
    Refuse two listeners for one address and port, as the system would.

    @raise SettingError: the later one would find its address in use.
    """
    taken: list[Binding] = []
    for _, binding in planned:
        if any(_collide(binding, other) for other in taken):
            raise refusal(binding, OSError(errno.EADDRINUSE, ""))
        taken.append(binding)


def rows(planned: Iterable[Planned]) -> Iterator[tuple[str, str, str, str]]:
    """The listeners as the rows of a table."""
    for name, binding in planned:
        yield name, binding.url, binding.transport, binding.origin


def listeners(planned: Iterable[Planned]) -> list[dict[str, Any]]:
    """
    The listeners, ready for JSON, with the keys that ``--ready`` uses and two more.

    @return: ``origin`` asked for it; an ``optional`` one is left out where the machine lacks its address.
    """
    return [
        {
            "service": name,
            "listener": binding.url,
            "transport": binding.transport,
            "address": binding.host,
            "port": binding.port,
            "origin": binding.origin,
            "optional": binding.optional,
        }
        for name, binding in planned
    ]


@click.command("check", cls=DaemonCommand, context_settings={"ignore_unknown_options": True})
@click.option("--config", type=click.Path(readable=False), metavar="FILE", help="The configuration to read.")
@click.option("--json", "as_json", is_flag=True, help="Print the listeners as a list of JSON.")
@click.argument(
    "options",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[DAEMON'S OPTIONS]...",
    shell_complete=offer_files,
)
def command(config: str | None, as_json: bool, options: tuple[str, ...]) -> None:
    """
    Read a configuration, and say what would listen where, or what is wrong.

    It takes the daemon's own options too (netsvc serve --help lists them). Nothing is opened, so a port that
    another program uses shows only at the start.
    """
    warnings_to_stderr()
    arguments = [*([] if config is None else ["--config", config]), *options]

    async def work(reactor: Any) -> None:
        # Looking for names can take long, and Ctrl-C shall not; nothing is open that would have to be closed.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        parsed = Options()
        complain_of_left_out(parsed.registry)
        _parse(parsed, arguments)
        try:
            planned = Assembly(parsed.configuration(), reactor).planned()
            refuse_collisions(planned)
        except SettingError as error:
            raise NotDone(str(error)) from None
        if as_json:
            write_line(json.dumps(listeners(planned)))
        else:
            show_table(_HEAD, rows(planned))

    run(work)


def _parse(options: Options, arguments: list[str]) -> None:
    """@raise SystemExit: with 2 where the daemon, for which all is wrong at start, has 1."""
    try:
        options.parseOptions(arguments)
    except SystemExit as refused:
        if not isinstance(refused.code, str):
            raise
        click.echo(refused.code, err=True)
        raise SystemExit(2) from None


def _collide(one: Binding, other: Binding) -> bool:
    """Whether two bindings are to one socket of the system's."""
    if (one.kind, one.port) != (other.kind, other.port) or one.port == 0 or one.transport == "endpoint":
        return False
    if one.fd is not None or other.fd is not None:
        return one.fd == other.fd
    if one.host == other.host:
        return True
    hosts = {one.host, other.host}
    return "::" in hosts or ("0.0.0.0" in hosts and one.family == other.family)
