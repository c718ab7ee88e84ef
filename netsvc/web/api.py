"""The API: what there is to ask, by path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from netsvc.interfaces import IDaemonView
from netsvc.web.access import host_name, local_address
from netsvc.web.answers import HTTPError, Leaf, answer
from netsvc.web.asking import refuse_query
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
    """A ``GET`` of something that may be very long."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], clock: IReactorTime) -> None:
        """
        @param pieces: gives the answer's body.
        @param clock: the reactor.
        """
        super().__init__()
        self._pieces = pieces
        self._clock = clock

    def render_GET(self, request: Any) -> int:
        """All of it."""
        refuse_query(request)
        return Pieces(request, self._pieces(), self._clock).begin()


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

    def clients() -> Iterator[bytes]:
        yield b'{"clients":'
        yield from view.clients.pieces()
        yield b"}\n"

    return {
        b"/api/facts": Facts(view, clock),
        b"/api/wait": Wait(view, clock),
        b"/api/clients": Streamed(clients, clock),
        b"/api/listeners": Listeners(view),
        b"/api/connections": Streamed(lambda: array("connections", view.connections()), clock),
        b"/api/openapi.json": Description(view.version),
        b"/healthz": Health(view.health),
        b"/readyz": Health(unready),
    }
