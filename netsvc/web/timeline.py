"""The timeline over HTTP: asking for facts, waiting for some, and emptying the ring."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from netsvc.facts import Fact, Row
from netsvc.interfaces import IDaemonView
from netsvc.journal.query import MAX_LIMIT, PAGE_KEYS, After, Filter, Page
from netsvc.journal.reading import joined
from netsvc.journal.watch import Found, TooManyWatchersError
from netsvc.web.answers import NDJSON_TYPE, HTTPError, Leaf, answer, encoded
from netsvc.web.asking import number, query_of, refuse_query, seconds, wants_lines
from netsvc.web.pieces import Pieces, array

#: Seconds that one request may wait: what proxies and people have patience for.
MAX_WAIT = 300.0

#: Seconds that ``/api/wait`` waits unless it is told otherwise.
DEFAULT_WAIT = 10.0


class Waiting(Leaf):
    """A resource that finds facts, perhaps later, and then answers with them."""

    def __init__(self, view: IDaemonView, clock: IReactorTime) -> None:
        """
        @param view: the daemon.
        @param clock: the reactor.
        """
        super().__init__()
        self._view = view
        self._clock = clock

    def _later(self, request: Any, answering: Coroutine[Deferred[Any], Any, None]) -> int:
        """Answer by a coroutine, which ends when the client goes away."""
        running = Deferred.fromCoroutine(answering)
        request.notifyFinish().addErrback(lambda _: running.cancel())

        def failed(failure: Failure) -> None:
            if failure.check(TooManyWatchersError):
                request.fail(HTTPError(503, failure.getErrorMessage(), {b"Retry-After": b"1"}))
            elif not failure.check(CancelledError):
                request.failed(failure)

        running.addErrback(failed)
        return NOT_DONE_YET

    def _send(self, request: Any, found: Found, members: dict[str, Any]) -> None:
        request.setHeader(b"Content-Type", b"application/json")
        facts = map(self._document, found.rows)
        gap = found.gap and found.gap._asdict()
        members = {"last": found.last, "more": found.more, "gap": gap, **members}
        Pieces(request, array("facts", facts, members), self._clock).begin()

    def _document(self, row: Row) -> dict[str, Any]:
        return Fact.of(row).as_json(self._view.clients.name_of)


class Facts(Waiting):
    """``/api/facts``."""

    def render_GET(self, request: Any) -> int:
        """The facts that fit, which may be waited for."""
        query = query_of(request)
        try:
            wanted = Filter.parse(query, (*PAGE_KEYS, "wait"))
            page = Page.parse(query)
            wait = seconds(query, "wait", 0.0, MAX_WAIT)
        except ValueError as error:
            raise HTTPError(400, str(error)) from None
        return self._later(request, self._answer(request, wanted, page, wait))

    def render_DELETE(self, request: Any) -> bytes:
        """Empty the ring."""
        refuse_query(request)
        timeline = self._view.timeline
        deleted = len(timeline)
        timeline.clear()
        return answer({"deleted": deleted})

    async def _answer(self, request: Any, wanted: Filter, page: Page, wait: float) -> None:
        found = await self._find(wanted, page, wait)
        if not wants_lines(request):
            self._send(request, found, {} if found.before is None else {"before": found.before})
            return
        request.setHeader(b"Content-Type", NDJSON_TYPE)
        request.setHeader(b"Netsvc-Last", b"%d" % found.last)
        request.setHeader(b"Netsvc-More", b"true" if found.more else b"false")
        if found.before is not None:
            request.setHeader(b"Netsvc-Before", b"%d" % found.before)
        if found.gap is not None:
            request.setHeader(b"Netsvc-Gap", encoded(found.gap._asdict()))
        Pieces(request, self._lines(found.rows), self._clock).begin()

    async def _find(self, wanted: Filter, page: Page, wait: float) -> Found:
        watchers = self._view.watchers
        found: Found = await watchers.read(wanted, page)
        newest_first = page.order == "newest"
        # Where older facts are still to be looked at, those are what is waited for.
        if found.rows or not wait or (newest_first and found.more) or _reaches(found, page.before):
            return found
        came = _before(await watchers.wait(wanted, 1, found.last, wait), page.before)
        if not came.rows:
            return came._replace(gap=joined(found.gap, came.gap), before=found.before)
        # Whoever comes first seldom comes alone, and may be too many for one page.
        also: Found = await watchers.read(wanted, replace(page, after=found.last))
        last = also.last if page.before is None else min(also.last, page.before - 1)
        return also._replace(last=last, gap=joined(found.gap, also.gap))

    def _lines(self, rows: list[Row]) -> Iterator[bytes]:
        for row in rows:
            yield encoded(self._document(row)) + b"\n"


def _reaches(found: Found, before: int | None) -> bool:
    """Whether what comes later is none of the facts with a lesser seq."""
    return before is not None and found.last >= before - 1


def _before(found: Found, before: int | None) -> Found:
    """What was found of facts with a lesser seq."""
    if before is None or found.last < before:
        return found
    return found._replace(rows=[row for row in found.rows if row[0] < before], last=before - 1, more=False)


class Wait(Waiting):
    """``/api/wait``."""

    def render_GET(self, request: Any) -> int:
        """As many facts as were asked for, once they are there, or what there was when the time was over."""
        query = query_of(request)
        try:
            wanted = Filter.parse(query, ("after", "count", "timeout"))
            after = Page.parse({"after": query.get("after", [])}).after
            count = number(query, "count", 1, MAX_LIMIT)
            timeout = seconds(query, "timeout", DEFAULT_WAIT, MAX_WAIT)
        except ValueError as error:
            raise HTTPError(400, str(error)) from None
        return self._later(request, self._answer(request, wanted, count, after, timeout))

    async def _answer(self, request: Any, wanted: Filter, count: int, after: After, timeout: float) -> None:
        found = await self._view.watchers.wait(wanted, count, after, timeout)
        members: dict[str, Any] = {}
        if not found.enough:
            request.setResponseCode(404)
            members["error"] = f"{len(found.rows)} of {count} within {timeout:g} seconds"
        self._send(request, found, members)
