"""
``netsvc wait``: waits until something has happened, for scripts.

A daemon that is just starting is waited for too. What does not come is a failure that shows what came
instead.
"""

from __future__ import annotations

from typing import Any

import click

from twisted.internet.task import deferLater

from netsvc.commands.address import Address
from netsvc.commands.answer import Fact
from netsvc.commands.api import API, Query, UnreachableError
from netsvc.commands.asked import AfterType, api_at, filter_options
from netsvc.commands.complaints import complain
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.factlines import json_line, text_line
from netsvc.commands.positive import LONGEST, Positive
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line
from netsvc.commands.tail import ASK_AGAIN, GAP, Outage

#: Seconds that one question to the daemon may wait; it allows 300.
LONGEST_WAIT = 60.0

#: Facts that there may be in an answer, and so the most that can be waited for.
MOST = 10_000

#: Facts of those that came instead which a failure shows.
SHOWN_INSTEAD = 10


class Waiting:
    """
    Waits for facts.

    @ivar found: those that have come.
    @ivar begin: the seq behind which they were looked for; None while no daemon has answered.
    """

    def __init__(self, reactor: Any, api: API, outage: Outage, query: Query) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param api: the daemon's.
        @param outage: is told when it does not answer.
        @param query: which facts.
        """
        self.found: list[Fact] = []
        self.begin: int | None = None
        self._reactor = reactor
        self._api = api
        self._outage = outage
        self._query = query

    async def wait(self, after: int | str, count: int, timeout: float) -> bool:
        """
        Wait.

        @param after: the seq of a fact, or ``last``.
        @param count: how many facts.
        @param timeout: seconds; with 0 it only looks.
        @return: whether they have come.
        @raise NotDone: the question is refused.
        """
        until = self._reactor.seconds() + timeout
        while len(self.found) < count:
            asked = self._reactor.seconds()
            left = max(0.0, until - asked)
            try:
                if isinstance(after, str):
                    after = await self._api.last()
                    # From the beginning of the wait on, however long that answer took.
                    left = max(0.0, until - self._reactor.seconds())
                if self.begin is None:
                    self.begin = after
                found = await self._api.wait(
                    self._query, after, count - len(self.found), min(left, LONGEST_WAIT)
                )
                self._outage.answered()
                if found.gap:
                    complain(GAP)
                self.found += found.facts
                after = max(after, found.last)
                came = bool(found.facts) or found.more
            except UnreachableError as error:
                self._outage.failed(error)
                came = False
            if self._reactor.seconds() >= until:
                break
            if not came and self._reactor.seconds() - asked < ASK_AGAIN:
                # Nothing, and at once: it is down, or stops.
                await deferLater(self._reactor, min(ASK_AGAIN, max(0.0, until - self._reactor.seconds())))
        return len(self.found) >= count

    async def instead(self) -> list[Fact] | None:
        """The newest of all facts while those that were waited for did not come; None if nobody knows."""
        if self.begin is None or self._outage.lasts:
            return None
        try:
            return (await self._api.newest(self.begin, SHOWN_INSTEAD)).facts
        except UnreachableError:
            # Who waited is told of nothing more than that nothing came.
            return None


@click.command("wait")
@click.option(
    "--count", type=click.IntRange(1, MOST), default=1, show_default=True, metavar="N", help="So many facts."
)
@click.option(
    "--timeout",
    type=Positive(LONGEST),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long, also for a daemon that does not answer yet.",
)
@click.option(
    "--after",
    type=AfterType(),
    default="0",
    show_default=True,
    metavar="SEQ",
    help="Only facts behind this one; 0 counts what is remembered too, last is from now on.",
)
@filter_options
def command(
    address: Address,
    tls: TLSOptions,
    query: Query,
    in_hex: bool,
    as_json: bool,
    count: int,
    timeout: float,
    after: int | str,
) -> None:
    """
    Wait until so many facts have come that fit, and print them; those that are remembered count too.

    If they do not come in time, what came is printed, what else happened is told on standard error, and the
    exit status is 1. To miss nothing between two commands, give --after the seq of the last fact, or what
    `netsvc tail --last` prints.
    """

    def line(fact: Fact) -> str:
        return json_line(fact) if as_json else text_line(fact, in_hex)

    async def work(reactor: Any) -> None:
        async with api_at(reactor, address, tls, timeout) as api:
            waiting = Waiting(reactor, api, Outage(address), query)
            enough = await waiting.wait(after, count, timeout)
            if waiting.found:
                write_line("\n".join(map(line, waiting.found)))
            if not enough:
                tell(f"{len(waiting.found)} of {count} within {timeout:g} seconds", await waiting.instead())
                raise SystemExit(1)

    def tell(problem: str, instead: list[Fact] | None) -> None:
        if instead is None:
            complain(problem)
        elif instead:
            complain(f"{problem}; the last {len(instead)} of all facts:")
            for fact in instead:
                click.echo(f"  {text_line(fact, in_hex)}", err=True)
        else:
            complain(f"{problem}; nothing else happened")

    run(work)
