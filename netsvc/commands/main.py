"""
The ``netsvc`` command: finds the command that was named and hands over to it.

Commands are imported when they are used: ``netsvc --help`` and completion need their names and summaries
only, and those stand here.
"""

from __future__ import annotations

import importlib
import platform
import signal
from collections.abc import Mapping
from typing import Any

import click

from netsvc import __version__
from netsvc.commands.complaints import complain
from netsvc.commands.inert import inert
from netsvc.commands.standard_output import close_output, open_standard_streams

#: What there is, in the order of the help, with the line that the help has for it.
COMMANDS: Mapping[str, str] = {
    "serve": "Run the daemon in the foreground.",
    "check": "Read a configuration and say what would listen where.",
    "talk": "Send each line that you type and print each answer.",
    "send": "Send messages and, if asked to, print the answer.",
    "listen": "Receive, and print what arrives.",
    "clients": "Register with a client list and show it.",
    "greet": "Connect and print the greeting.",
    "resolve": "Show the addresses that a connection would use.",
    "chat": "Join a chat room.",
    "tail": "Show the timeline as it happens.",
    "wait": "Wait until something has happened, for scripts.",
    "journal": "Read a journal's file, and look after it.",
    "bench": "Put load on a service and measure the answers.",
    "services": "Show the installed services and their settings.",
    "certs": "Make a private authority and certificates.",
}


#: What a shell has for a process that Ctrl-C ended.
_INTERRUPTED = 128 + signal.SIGINT


class Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line, with standard streams that are open; see `click.Group`."""
        open_standard_streams()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            # Of the help: what a command cannot write it says itself.
            close_output()
            complain((error.strerror or str(error)).lower())
            raise SystemExit(1) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Import and run the command that was named; Ctrl-C before it runs, or after, ends without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        except click.UsageError as error:
            if inert(error.message) == error.message:
                raise
            # What the user typed acts on the terminal no more than what a peer sent.
            raise click.UsageError(inert(error.format_message()), error.ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as the help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; each is `command` in the module of its name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"netsvc.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from twisted import copyright as twisted

    click.echo(f"netsvc {__version__}, Twisted {twisted.version}, Python {platform.python_version()}")
    context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions of netsvc, Twisted and Python.",
)
def main() -> None:
    """
    Small network services, and a client for each.

    An ADDRESS is HOST:PORT (TCP) or a URL: tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:///PATH,
    unix-datagram:///PATH, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH. Exit status: 0, 1 if it did not
    happen, 2 for wrong usage.
    """
