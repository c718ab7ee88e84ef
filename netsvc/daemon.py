"""
The daemon as one Twisted service: it starts its listeners, and stops in order.

The order is the reason for this file. Stopping is listeners first, so that nobody new comes in; then
connections, within the grace; then what facts flow into, so that the last fact still has somewhere to go.
Twisted's MultiService stops everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.journal.disk.recording import Recording
from netsvc.journal.disk.schema import JournalError
from netsvc.net.listener import Listener
from netsvc.net.machine import beyond_loopback
from netsvc.ready import ReadyFile
from netsvc.settings import SettingError
from netsvc.signals import on_signals

_log = Logger()

#: What the wildcard addresses stand for.
_EVERY = {"0.0.0.0": "any IPv4 address of this machine", "::": "any address of this machine"}

#: Seconds after everything was dropped, in which whoever still does not end is given up.
_LAST = 1.0


class Daemon(Service):
    """
    All listeners, together.

    @ivar listeners: in the order in which they were asked for.
    @ivar ready: whether every one is open and none is being closed.
    """

    name = "netsvc"

    def __init__(
        self,
        reactor: Any,
        listeners: Sequence[Listener],
        sinks: Sequence[Callable[[], None]],
        grace: float,
        ready: ReadyFile,
        fail: Callable[[str], None],
        carried: Sequence[Listener] = (),
        journal: Recording | None = None,
    ) -> None:
        """
        @param reactor: an `IReactorCore` and `IReactorTime`.
        @param listeners: what to start and stop.
        @param sinks: called, in this order, after the last connection has gone.
        @param grace: seconds that connections have to take what is buffered for them.
        @param ready: written once every listener is open, removed as the daemon stops.
        @param fail: ends the whole process with status 1; it is told why in one line.
        @param carried: what begins and ends with the connections of listeners, which carry it; it may still
            grow.
        @param journal: opened before anybody is served, and closed when all else has ended.
        """
        self.listeners = tuple(listeners)
        self.ready = False
        self._reactor = reactor
        self._sinks = tuple(sinks)
        self._grace = grace
        self._ready = ready
        self._end = fail
        self._carried = carried
        self._journal = journal
        self._given_up: Deferred[None] = Deferred()
        self._last: IDelayedCall | None = None

    def startService(self) -> None:
        """See `IService`."""
        Service.startService(self)
        if self._journal is not None:
            # Not before, because the process is its user's only now.
            try:
                self._journal.open()
            except JournalError as error:
                self._end(f"{self._journal.origin} {error}")
                return
        # Whoever is told that it is ready may send a signal, which the reactor takes only once it runs.
        running: Deferred[None] = Deferred()
        self._reactor.callWhenRunning(running.callback, None)
        starting = [*(maybeDeferred(listener.start) for listener in self.listeners), running]
        DeferredList(starting, consumeErrors=True).addCallback(self._started).addErrback(self._fail)

    def stopService(self) -> Deferred[None]:
        """Stop in order; see `IService`. A second signal ends it at once."""
        Service.stopService(self)
        self.ready = False
        self._ready.remove()
        return Deferred.fromCoroutine(self._stop())

    def abort(self) -> None:
        """Drop every connection in a moment; it may be called from within a signal."""
        self._reactor.callFromThread(self._abort)

    async def _stop(self) -> None:
        restore = on_signals(self.abort)
        patience = self._reactor.callLater(self._grace, self._abort)
        ended = Deferred.fromCoroutine(self._end_listeners())
        await DeferredList([ended, self._given_up], fireOnOneCallback=True)
        for call in (patience, self._last):
            if call is not None and call.active():
                call.cancel()
        # A connection tells that it is gone from within its end: leave it the turn for its last fact.
        await deferLater(self._reactor, 0)
        _each(self._sinks)
        await self._close_journal()
        restore()

    async def _close_journal(self) -> None:
        """Have written what waits to be, within the grace: a disk that is gone may never say so."""
        if self._journal is None:
            return
        late: Deferred[None] = Deferred()
        patience = self._reactor.callLater(self._grace, late.callback, None)
        waiting = [self._journal.close(), late]
        if not self._given_up.called:
            waiting.append(self._given_up)
        await DeferredList(waiting, fireOnOneCallback=True)
        if patience.active():
            patience.cancel()
        else:
            _log.warn("the journal's disk does not answer; stopping without it")

    async def _end_listeners(self) -> None:
        await _all(listener.stop_accepting for listener in self.listeners)
        # What others carry comes first: its last words go out over those.
        await _all(listener.drain for listener in (*self._carried, *self.listeners))

    def _abort(self) -> None:
        # First, because the last listener may end, and the whole stop with it, from within its abort.
        if self._last is None:
            self._last = self._reactor.callLater(_LAST, self._give_up)
        _each(listener.abort for listener in self.listeners)

    def _give_up(self) -> None:
        _log.warn("a listener did not end even when its connections were dropped; stopping without it")
        self._given_up.callback(None)

    def _started(self, results: list[tuple[bool, Any]]) -> None:
        if not self.running:
            # Stopped before all of it had opened: what had not was given up, which is no failure.
            return
        for listener, (success, result) in zip(self.listeners, results, strict=False):
            if not success:
                self._fail_to_open(listener, result)
                return
        for listener in self.listeners:
            self._say(listener)
        if not self._tell_ready():
            return
        self.ready = True
        _log.info("netsvc is ready; listeners open: {count}", count=len(self.listeners))

    def _say(self, listener: Listener) -> None:
        place = listener.place()
        _log.info("{service} listens on {where}", service=place.service, where=place.shown())
        if beyond_loopback(place.address):
            _log.warn(
                "{where} is beyond loopback: whoever can reach {address} can use {service}",
                where=place.shown(),
                address=_EVERY.get(place.address, place.address),
                service=place.service,
            )

    def _tell_ready(self) -> bool:
        try:
            self._ready.write([listener.place().as_json() for listener in self.listeners])
        except SettingError as error:
            self._end(str(error))
            return False
        return True

    def _fail_to_open(self, listener: Listener, failure: Failure) -> None:
        reason = " ".join(failure.getErrorMessage().split())
        self._end(f"{listener.origin}: cannot listen: {reason}")

    def _fail(self, failure: Failure) -> None:
        _log.failure("netsvc could not start", failure)
        self._end("netsvc could not start; the log says why")


async def _all(calls: Iterable[Callable[[], Deferred[None]]]) -> None:
    """Call every one and wait for them together; what fails is logged, and hinders no other."""
    for success, result in await DeferredList([maybeDeferred(call) for call in calls], consumeErrors=True):
        if not success:
            _log.failure("while stopping", result)


def _each(calls: Iterable[Callable[[], None]]) -> None:
    """Call every one; what fails is logged, and hinders no other."""
    for call in calls:
        try:
            call()
        except Exception:  # noqa: BLE001 - a stop goes on to its end
            _log.failure("while stopping")
