"""
How a command runs: in Twisted's reactor until it is done, and what it says when it could not be.

A command's work is a coroutine. Whatever the network or the user does to it ends as `NotDone`: one line on
standard error and exit status 1, without a traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click

from twisted.internet.defer import Deferred
from twisted.internet.task import react


class NotDone(Exception):  # noqa: N818 - it is no error of the program, as its users read it
    """It did not happen; the text is one line for the user."""


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, None]]) -> None:
    """
    Run a command's work in the reactor, and end the process with its exit status.

    @param work: takes the reactor.
    @raise SystemExit: always: 0, or 1 where the work raised `NotDone`. Ctrl-C ends the process by SIGINT.
    """

    async def reported(reactor: Any) -> None:
        try:
            await work(reactor)
        except NotDone as error:
            complain(str(error))
            raise SystemExit(1) from None

    react(lambda reactor: Deferred.fromCoroutine(reported(reactor)))


def complain(line: str) -> None:
    """Write a line for the user to standard error, in the form that all of netsvc's have."""
    click.echo(f"netsvc: {line}", err=True)
