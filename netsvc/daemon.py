"""
The daemon as one Twisted service: it starts its listeners, and stops in order.

The order is the reason for this file. Stopping is listeners first, so that nobody new comes in; then connections,
within the grace; then what facts flow into, so that the last fact still has somewhere to go. Twisted's
MultiService stops everything at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.net.listener import Listener
from netsvc.signals import on_signals

_log = Logger()


class Daemon(Service):
    """
    All listeners, together.

    @ivar listeners: in the order in which they were asked for.
    """

    name = "netsvc"

    def __init__(
        self,
        reactor: Any,
        listeners: Sequence[Listener],
        sinks: Sequence[Callable[[], None]],
        grace: float,
        ready: str,
        fail: Callable[[str], None],
    ) -> None:
        """
        @param reactor: an `IReactorCore` and `IReactorTime`.
        @param listeners: what to start and stop.
        @param sinks: called, in this order, after the last connection has gone.
        @param grace: seconds that connections have to take what is buffered for them.
        @param ready: path of a file to write, as JSON, once every listener is open; empty for none.
        @param fail: ends the whole process with status 1; it is told why in one line.
        """
        self.listeners = tuple(listeners)
        self._reactor = reactor
        self._sinks = tuple(sinks)
        self._grace = grace
        self._ready = ready
        self._end = fail

    def startService(self) -> None:
        """See `IService`."""
        Service.startService(self)
        starting = DeferredList([listener.start() for listener in self.listeners], consumeErrors=True)
        starting.addCallback(self._started).addErrback(self._fail)

    def stopService(self) -> Deferred[None]:
        """Stop in order; see `IService`. A second signal ends it at once."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        restore = on_signals(lambda: self._reactor.callFromThread(self._abort))
        patience = self._reactor.callLater(self._grace, self._abort)
        try:
            await _all(listener.stop_accepting() for listener in self.listeners)
            await _all(listener.drain() for listener in self.listeners)
        finally:
            if patience.active():
                patience.cancel()
            restore()
            for stop in self._sinks:
                stop()

    def _abort(self) -> None:
        for listener in self.listeners:
            listener.abort()

    def _started(self, results: list[tuple[bool, Any]]) -> None:
        for listener, (success, result) in zip(self.listeners, results, strict=True):
            if not success:
                self._fail_to_open(listener, result)
                return
        for listener in self.listeners:
            self._say(listener)
        if self._ready:
            self._write_ready()

    def _say(self, listener: Listener) -> None:
        place = listener.place()
        _log.info("{service} listens on {listener}", service=place.service, listener=place.listener)

    def _write_ready(self) -> None:
        document = [listener.place().as_json() for listener in self.listeners]
        partial = f"{self._ready}.{os.getpid()}"
        try:
            with open(partial, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.write("\n")
            os.replace(partial, self._ready)
        except OSError as error:
            self._end(f"--ready {self._ready}: cannot be written: {error.strerror}")

    def _fail_to_open(self, listener: Listener, failure: Failure) -> None:
        self._end(f"{listener.origin}: cannot listen: {failure.getErrorMessage()}")

    def _fail(self, failure: Failure) -> None:
        _log.failure("netsvc could not start", failure)
        self._end("netsvc could not start; the log says why")


async def _all(waiting: Iterable[Deferred[None]]) -> None:
    """Wait for every one of them; what fails is logged, and hinders no other."""
    for success, result in await DeferredList(list(waiting), consumeErrors=True):
        if not success:
            _log.failure("while stopping", result)
