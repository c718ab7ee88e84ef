"""
``netsvc serve``: the daemon in the foreground, the same as ``twistd -n --pidfile= netsvc``.

Nothing of Twisted's is imported before twistd is: it chooses the reactor.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from netsvc.commands.daemon_options import DaemonCommand


class Untouched(DaemonCommand):
    """A command whose arguments are somebody else's to read, ``--help`` and ``--`` too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See `click.Command`."""
        ctx.params["arguments"] = tuple(args)
        return []


def twistd_arguments(arguments: tuple[str, ...]) -> list[str]:
    """
    What twistd is called with.

    The pid file that it would leave in the current directory would keep a second daemon from starting there.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    # The short form that all other commands have; the plugin's options have no short ones.
    known = ("--help" if argument == "-h" else argument for argument in arguments[:end])
    return ["twistd", "-n", "--pidfile=", "netsvc", *known, *arguments[end:]]


@click.command("serve", cls=Untouched, add_help_option=False)
def command(**options: Any) -> None:
    """Run the daemon in the foreground, with the options of twistd's netsvc plugin; --help lists them."""
    sys.argv = twistd_arguments(options["arguments"])
    from twisted.scripts.twistd import run

    run()
