"""The API: what there is to ask, by path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from netsvc.interfaces import IDaemonView
from netsvc.journal.query import MAX_LIMIT
from netsvc.web.access import host_name, local_address
from netsvc.web.answers import HTTPError, Leaf, answer
from netsvc.web.asking import number, query_of, refuse_query
from netsvc.web.lines import lines_for
from netsvc.web.openapi import description
from netsvc.web.pieces import Pieces, array
from netsvc.web.timeline import Facts, Wait


class Listeners(Leaf):
    """``/api/listeners``."""

    def __init__(self, view: IDaemonView) -> None:
        """@param view: the daemon."""
        super().__init__()
        self._view = view

    def render_GET(self, request: Any) -> bytes:
        """Every listener with its counters, and lines to reach it by."""
        refuse_query(request)
        view = self._view
        page, local = host_name(request), local_address(request)
        rows = [{**row, "lines": lines_for(row, page, local)} for row in view.listeners()]
        return answer({"version": view.version, "started": view.started, "listeners": rows})


class Streamed(Leaf):
    """A ``GET`` of a list that may be very long."""

    def __init__(self, pieces: Callable[[int | None], Iterator[bytes]], clock: IReactorTime) -> None:
        """
        @param pieces: gives the answer's body, with so many of the newest at the most, or with None all.
        @param clock: the reactor.
        """
        super().__init__()
        self._pieces = pieces
        self._clock = clock

    def render_GET(self, request: Any) -> int:
        """All of it, or the newest."""
        query = query_of(request)
        try:
            if unknown := query.keys() - {"limit"}:
                raise ValueError(f"{min(unknown)!a}: expected limit, or nothing")
            limit = number(query, "limit", 0, MAX_LIMIT) or None
        except ValueError as error:
            raise HTTPError(400, str(error)) from None
        return Pieces(request, self._pieces(limit), self._clock).begin()


class Description(Leaf):
    """``/api/openapi.json``."""

    def __init__(self, version: str) -> None:
        """@param version: netsvc's."""
        super().__init__()
        self._body = answer(description(version))

    def render_GET(self, request: Any) -> bytes:
        """The description."""
        refuse_query(request)
        return self._body


class Health(Leaf):
    """``/healthz`` and ``/readyz``: 200 or 503, and why only to those who may know."""

    def __init__(self, reasons: Callable[[], list[str]]) -> None:
        """@param reasons: what is wrong, one line each; empty is well."""
        super().__init__()
        self._reasons = reasons

    def render_GET(self, request: Any) -> bytes:
        """Whether it is well."""
        reasons = self._reasons()
        told = {"reasons": reasons} if request.trusted else {}
        if reasons:
            raise HTTPError(503, "not well", more=told)
        return answer({"ok": True, **told})


def api(view: IDaemonView, clock: IReactorTime) -> dict[bytes, IResource]:
    """
    The resources of the API by path.

    @param view: the daemon.
    @param clock: the reactor.
    """

    def unready() -> list[str]:
        return [] if view.ready() else ["not every listener is open, or the daemon is stopping"]

    def clients(limit: int | None) -> Iterator[bytes]:
        yield b'{"total":%d,"clients":' % len(view.clients)
        yield from view.clients.pieces() if limit is None else [view.clients.newest(limit)]
        yield b"}\n"

    def connections(limit: int | None) -> Iterator[bytes]:
        rows = view.connections() if limit is None else view.newest_connections(limit)
        return array("connections", rows, {"total": view.connections_open()})

    return {
        b"/api/facts": Facts(view, clock),
        b"/api/wait": Wait(view, clock),
        b"/api/clients": Streamed(clients, clock),
        b"/api/listeners": Listeners(view),
        b"/api/connections": Streamed(connections, clock),
        b"/api/openapi.json": Description(view.version),
        b"/healthz": Health(view.health),
        b"/readyz": Health(unready),
    }
