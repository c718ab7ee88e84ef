"""
The manual page of the ``netsvc`` command, netsvc(1), written from the commands' own help.

``python -m netsvc.commands.manual`` prints it, for netsvc's own services alone: a page is for every machine.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from netsvc import __version__
from netsvc.commands.main import main as command
from netsvc.manual import DATE
from netsvc.options import Options
from netsvc.registry import Registry, discover
from netsvc.roff import entry, head, heading, inline, listing, page, prose, subheading

_DAEMON = """\
They come behind serve, and behind twistd -n netsvc."""

_SIGNALS = {
    "SIGTERM, SIGINT": "Accept no more, send what is to be sent, and end; at most net.shutdown_grace later. "
    "A second one ends it at once.",
    "SIGHUP": "Read the configuration and the certificates again. What did not change keeps its sockets and "
    "connections; a configuration that cannot be used changes nothing.",
    "SIGUSR1": "Begin a new log file, where twistd writes one.",
}

_STATUS = {
    "0": "It happened.",
    "1": "It did not, for the reason that standard error has in one line.",
    "2": "Wrong usage.",
}

_ENVIRONMENT = {
    "NETSVC_URL": "Where commands that ask a daemon find its web service, without --at.",
    "NETSVC_TOKEN": "The token that they show it.",
    "NO_COLOR": "Without colours, also on a terminal.",
    "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES": "Of the daemon: the sockets that systemd passes "
    "(sd_listen_fds(3)), for systemd://NAME and --inherited.",
    "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID": "Of the daemon: where systemd hears that it is ready, that "
    "it stops, and that its event loop turns (sd_notify(3)).",
    "JOURNAL_STREAM": "Of the daemon: whether journald reads its log (systemd.exec(5)).",
}

_FILES = {
    "/etc/netsvc/netsvc.toml": "The configuration that the systemd units read.",
    "/etc/netsvc/token": "The web service's token, if there is this file: the units pass it as a credential.",
    "/var/lib/netsvc": "Where the units have a journal, if the configuration says so.",
}

_EXAMPLES = (
    ("The daemon with two services, and a conversation with one of them:",),
    ("$ netsvc serve --tcp 8009 --udp 6667", "$ netsvc talk localhost:8009"),
    ("What happens on a daemon with the web service, and a wait for some bytes, for a script:",),
    ("$ netsvc tail", "$ netsvc wait --contains hello --timeout 5"),
    ("What a configuration would do:",),
    ("$ netsvc check --config /etc/netsvc/netsvc.toml",),
)


def command_page(registry: Registry) -> str:
    """
    Write netsvc(1).

    @param registry: the services; of the daemon's options those of built-in ones are shown.
    """
    return page(_page(registry))


def main() -> None:
    """Print the page."""
    sys.stdout.write(command_page(discover()))


def _page(registry: Registry) -> Iterator[str]:
    context = click.Context(command, info_name="netsvc")
    yield from head("netsvc", 1, DATE, f"netsvc {__version__}", "netsvc")
    yield heading("NAME")
    yield inline("netsvc - small network services, and a client for each")
    yield heading("SYNOPSIS")
    yield ".B netsvc"
    yield inline(" ".join(command.collect_usage_pieces(context)))
    yield heading("DESCRIPTION")
    yield from prose(inspect.cleandoc(command.help or ""))
    yield from _options(command, context)
    yield heading("COMMANDS")
    yield from _commands(command, context)
    yield heading("OPTIONS OF THE DAEMON")
    yield from prose(_DAEMON)
    yield from _daemon_options(registry)
    for title, table in (
        ("SIGNALS OF THE DAEMON", _SIGNALS),
        ("EXIT STATUS", _STATUS),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("FILES", _FILES),
    ):
        yield heading(title)
        for term, text in table.items():
            yield from entry(term, text)
    yield heading("EXAMPLES")
    for number, lines in enumerate(_EXAMPLES):
        yield from listing(lines) if number % 2 else prose(lines[0])
    yield heading("SEE ALSO")
    yield ".BR netsvc.toml (5),"
    yield ".BR twistd (1),"
    yield ".BR systemd.socket (5)"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """A group's commands; those of a group in it stand behind it."""
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        if one is None or one.hidden:
            continue
        inner = click.Context(one, info_name=name, parent=context)
        yield subheading(" ".join((inner.command_path, *one.collect_usage_pieces(inner))))
        yield from prose(inspect.cleandoc(one.help or ""))
        yield from _options(one, inner)
        if isinstance(one, click.Group):
            yield from _commands(one, inner)


def _options(one: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in one.get_params(context):
        record = parameter.get_help_record(context)
        # An argument has no more to say than the usage.
        if isinstance(parameter, click.Option) and record is not None and "--help" not in parameter.opts:
            yield from entry(*record)


def _daemon_options(registry: Registry) -> Iterator[str]:
    own = {name: one for name, one in registry.services.items() if name in registry.builtin}
    options = Options(Registry(own, registry.builtin, {}))
    yield from prose(options.longdesc)
    for name in sorted(options.longOpt):
        if name not in ("help", "version"):
            value = " VALUE" if name.endswith("=") else ""
            yield from entry(f"--{name.removesuffix('=')}{value}", options.docs[name.removesuffix("=")])


if __name__ == "__main__":
    main()
