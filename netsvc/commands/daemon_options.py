"""
Completion of the daemon's options, for the commands that take them and leave them to the daemon to read.
"""

from __future__ import annotations

from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem


class DaemonCommand(click.Command):
    """A command whose shell completion offers the daemon's options too, and files where a value stands."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """See `click.Command`."""
        own = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return own or offer_files(ctx, None, incomplete)
        taken = {item.value for item in own}
        names = (name for name in option_names() if name.startswith(incomplete) and name not in taken)
        return [*own, *map(CompletionItem, names)]


def offer_files(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Files: what the value of an option may be that somebody else reads. See `click.Parameter`."""
    return [CompletionItem(incomplete, type="file")]


def option_names() -> Iterator[str]:
    """The long options of ``twistd netsvc``, those of plugins included."""
    # Imported here because it takes long, and nothing but completion needs it.
    from netsvc.options import Options

    for name in Options().longOpt:
        yield "--" + name.removesuffix("=")
