"""What the commands say when something did not happen: one line on standard error."""

from __future__ import annotations

from typing import IO, Any

import click

from netsvc.commands.inert import inert


class NotDone(click.ClickException):
    """It did not happen; the text is one line for the user. If nobody catches it, exit status 1 follows."""

    def show(self, file: IO[Any] | None = None) -> None:
        """See `click.ClickException`."""
        complain(self.message)


def complain(line: str) -> None:
    """
    Write a line for the user to standard error, in the form that all of netsvc's have.

    @param line: may hold what peers sent and what the user typed: it is made `inert` here.
    """
    click.echo(f"netsvc: {inert(line)}", err=True)
