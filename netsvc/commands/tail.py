"""
``netsvc tail``: the timeline in the terminal, as it happens.

It asks for what comes after the last fact that it has seen, and the daemon answers when there is something.
So a connection that was lost, or a daemon that was started again, costs nothing but time: the next question
goes on where the last answer ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from twisted.internet.task import deferLater

from netsvc.commands.address import Address
from netsvc.commands.answer import Fact, Found
from netsvc.commands.api import API, MOST_FACTS, Query, UnreachableError
from netsvc.commands.asked import AfterType, api_at, filter_options
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.factlines import json_line, text_line
from netsvc.commands.positive import SECONDS
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line

#: Seconds that one question waits for an answer: less than what boxes on the way take for a dead connection.
WAIT = 25.0

#: Seconds before a daemon that did not answer, or answered nothing at once, is asked again.
ASK_AGAIN = 1.0

#: What is told where the daemon does not have all that has happened since the last fact.
GAP = "facts may be missing here: neither the daemon's memory (timeline_memory) nor a journal has them"


class Outage:
    """
    What is told of a daemon that does not answer for a while: that it does not, and then that it does.

    @ivar lasts: whether it did not answer the last time.
    """

    def __init__(self, address: Address) -> None:
        """@param address: the daemon's, for messages."""
        self._address = address
        self.lasts = False

    def failed(self, error: NotDone) -> None:
        """It did not answer."""
        if not self.lasts:
            self.lasts = True
            complain(f"{error}; asking again until it answers")

    def answered(self) -> None:
        """It answered."""
        if self.lasts:
            self.lasts = False
            complain(f"{self._address}: it answers again")


class Tail:
    """Follows the timeline."""

    def __init__(
        self, reactor: Any, api: API, outage: Outage, query: Query, show: Callable[[Sequence[Fact]], None]
    ) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param api: the daemon's.
        @param outage: is told when it does not answer.
        @param query: which facts.
        @param show: shows some, oldest first.
        """
        self._reactor = reactor
        self._api = api
        self._outage = outage
        self._query = query
        self._show = show

    async def follow(self, after: int, count: int | None, seconds: float | None) -> int:
        """
        Show facts until there have been enough, or the time is over.

        @param after: begin behind this seq.
        @param count: how many are enough; None: none are.
        @param seconds: how long; None: for ever.
        @return: how many were shown.
        @raise NotDone: the question is refused, or they cannot be shown.
        """
        until = None if seconds is None else self._reactor.seconds() + seconds
        shown = 0
        while count is None or shown < count:
            asked = self._reactor.seconds()
            left = WAIT if until is None else min(WAIT, until - asked)
            if left <= 0:
                break
            limit = MOST_FACTS if count is None else min(MOST_FACTS, count - shown)
            found = await self._ask(after, limit, left)
            if found is not None and found.facts:
                self._show(found.facts)
                shown += len(found.facts)
            elif self._reactor.seconds() - asked < ASK_AGAIN and not (found is not None and found.more):
                # Nothing, and at once: it is down, or stops.
                await deferLater(self._reactor, min(ASK_AGAIN, left))
            if found is not None:
                after = found.last
        return shown

    async def _ask(self, after: int, limit: int, wait: float) -> Found | None:
        try:
            found = await self._api.facts(self._query, after, limit=limit, wait=wait)
        except UnreachableError as error:
            self._outage.failed(error)
            return None
        self._outage.answered()
        if found.gap:
            complain(GAP)
        # Whatever answers there: nothing is told twice.
        facts = [fact for fact in found.facts if fact["seq"] > after]
        return replace(found, facts=facts, last=max(after, found.last))


@click.command("tail")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N facts.")
@click.option(
    "--timeout", type=SECONDS, metavar="SECONDS", help="End after so long; status 1 if N did not come."
)
@click.option(
    "--after",
    type=AfterType(),
    metavar="SEQ",
    help="Begin behind this fact; 0 is with the oldest that is remembered, last is from now on (the default, "
    "but for --since).",
)
@click.option(
    "--last", "only_last", is_flag=True, help="Print the seq of the newest fact, for --after, and end."
)
@filter_options
def command(
    address: Address,
    tls: TLSOptions,
    query: Query,
    in_hex: bool,
    as_json: bool,
    count: int | None,
    timeout: float | None,
    after: int | str | None,
    only_last: bool,
) -> None:
    """
    Print the timeline as it happens, one line for each fact: time, kind, service, client, bytes.

    It goes on when the daemon was started again; nothing that the daemon remembers is left out, and nothing
    is told twice. End with Ctrl-C.
    """

    if after is None:
        # Who asks for what was noted since a time in the past does not mean from now on.
        after = 0 if any(key == "since" for key, _ in query) else "last"

    def show(facts: Sequence[Fact]) -> None:
        write_line("\n".join(json_line(fact) if as_json else text_line(fact, in_hex) for fact in facts))

    async def work(reactor: Any) -> None:
        async with api_at(reactor, address, tls, timeout) as api:
            # Who does not answer even the first time is probably not there.
            last = await api.last()
            if only_last:
                write_line(str(last))
                return
            tail = Tail(reactor, api, Outage(address), query, show)
            shown = await tail.follow(last if isinstance(after, str) else after, count, timeout)
            if count is not None and shown < count:
                raise NotDone(f"{shown} of {count} within {timeout:g} seconds")

    run(work)
