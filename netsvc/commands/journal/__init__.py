"""
``netsvc journal``: what a daemon has kept in its journal, read and looked after without the daemon.

Its commands are imported when one of them is used, as those of ``netsvc`` are.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

#: What there is, in the order of the help, with the line that the help has for it.
COMMANDS: Mapping[str, str] = {
    "show": "Print facts, one line for each.",
    "export": "Write facts as lines of JSON, or as packets for Wireshark.",
    "check": "Say whether the file is whole, and what is in it.",
    "prune": "Remove the oldest facts, and give their space back.",
}


class Journal(click.Group):
    """A group whose commands are imported when they are used; each is in a module of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as the help lists them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("journal", cls=Journal)
def command() -> None:
    """
    Read the FILE of a journal, and look after it.

    All but prune may be used while a daemon writes to it, and change nothing.
    """
