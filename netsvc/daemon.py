"""
The daemon as one Twisted service: it starts its listeners, and stops in order.

The order is the reason for this file. Stopping is listeners first, so that nobody new comes in; then
connections, within the grace; then what facts flow into, so that the last fact still has somewhere to go.
Twisted's MultiService stops everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from netsvc.journal.disk.recording import Recording
from netsvc.journal.disk.schema import JournalError
from netsvc.net.listener import Listener
from netsvc.net.machine import beyond_loopback
from netsvc.ready import ReadyFile
from netsvc.settings import SettingError
from netsvc.signals import on_signals
from netsvc.systemd import Notifier, Watchdog

_log = Logger()

#: What the wildcard addresses stand for.
_EVERY = {"0.0.0.0": "any IPv4 address of this machine", "::": "any address of this machine"}

#: Seconds after everything was dropped, in which whoever still does not end is given up.
_LAST = 1.0

#: Seconds in which those who came in right before the end may still ask, and are answered. A request comes
#: with the connection or a moment later.
_HEARING = 0.05


class Daemon(Service):
    """
    All listeners, together.

    @ivar listeners: in the order in which they were asked for.
    @ivar ready: whether every one is open and none is being closed.
    @ivar log: what the application whose service this becomes is to write its log with; None leaves it.
    """

    name = "netsvc"
    log: ILogObserver | None = None

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
        supervisor: Notifier | None = None,
    ) -> None:
        """
        @param reactor: an `IReactorCore` and `IReactorTime`.
        @param listeners: what to start and stop. Whoever changes it afterwards says so with `change`.
        @param sinks: called, in this order, after the last connection has gone.
        @param grace: seconds that connections have to take what is buffered for them.
        @param ready: written once every listener is open, removed as the daemon stops.
        @param fail: ends the whole process with status 1; it is told why in one line.
        @param carried: what begins and ends with the connections of listeners, which carry it; it may still
            grow.
        @param journal: opened before anybody is served, and closed when all else has ended.
        @param supervisor: is told what the daemon is doing, and that it is alive.
        """
        self.listeners = listeners
        self.ready = False
        self._reactor = reactor
        self._sinks = tuple(sinks)
        self._grace = grace
        self._ready = ready
        self._end = fail
        self._carried = carried
        self._journal = journal
        self._supervisor = supervisor or Notifier({})
        self._watchdog = Watchdog(self._supervisor, reactor)
        self._given_up: Deferred[None] = Deferred()
        self._last: IDelayedCall | None = None
        # Not wanted any more, but with connections that still end.
        self._leaving: list[Listener] = []
        self._read_again: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._reload_wanted = False
        self._reloading = False

    def setServiceParent(self, parent: Any) -> None:
        """See `IService`."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if self.log is not None:
            parent.setComponent(ILogObserver, self.log)

    def startService(self) -> None:
        """See `IService`."""
        Service.startService(self)
        self._watchdog.start()
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
        # The grace counts once for connections and once for the journal.
        self._supervisor.stopping(2 * self._grace + _LAST)
        self._ready.remove()
        return Deferred.fromCoroutine(self._stop())

    # -- reading the configuration again -----------------------------------------------------------------

    def reloads_by(self, read_again: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """
        Say how the configuration is read again.

        @param read_again: reads it and calls `change`; what is wrong with it is its own to tell.
        """
        self._read_again = read_again

    def reload(self) -> None:
        """
        Read the configuration again: at once, or as soon as it can be.

        It may be called from within a signal, at any time.
        """
        self._reactor.callFromThread(self._want_reload)

    def change(
        self,
        *,
        opened: Sequence[Listener],
        dropped: Sequence[Listener],
        carried: Sequence[Listener],
        grace: float,
        ready: ReadyFile | None,
    ) -> None:
        """
        `listeners` are others from now on.

        @param opened: those among them that are new; they have started.
        @param dropped: those that are not among them any more; they end as in a stop, while others go on.
        @param carried: what ends with those.
        @param grace: seconds that connections have to take what is buffered for them.
        @param ready: where it is told now which there are; None where that has not changed.
        """
        self._grace = grace
        for listener in opened:
            self._say(listener)
        for listener in dropped:
            place = listener.place()
            _log.info("{service} leaves {where}", service=place.service, where=place.shown())
        if ready is not None:
            self._ready.remove()
            self._ready = ready
        try:
            self._write_ready()
        except SettingError as error:
            _log.error("{line}", line=str(error))
        if dropped or carried:
            Deferred.fromCoroutine(self._leave(dropped, carried)).addErrback(self._log_failure)

    def _want_reload(self) -> None:
        if self._read_again is None:
            return
        self._reload_wanted = True
        # Before it is ready, it is done as soon as it is; one that stops reads nothing any more.
        if self.ready and not self._reloading:
            Deferred.fromCoroutine(self._reload(self._read_again)).addErrback(self._log_failure)

    async def _reload(self, read_again: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._reloading = True
        try:
            while self._reload_wanted and self.ready:
                self._reload_wanted = False
                self._supervisor.reloading()
                try:
                    await read_again()
                finally:
                    if self.ready:
                        self._tell_supervisor()
        finally:
            self._reloading = False

    async def _leave(self, dropped: Sequence[Listener], carried: Sequence[Listener]) -> None:
        leaving = (*carried, *dropped)
        self._leaving.extend(leaving)
        patience = self._reactor.callLater(self._grace, _each, [one.abort for one in leaving])
        await _all(listener.stop_accepting for listener in leaving)
        await _all(listener.drain for listener in leaving)
        if patience.active():
            patience.cancel()
        self._leaving = [one for one in self._leaving if one not in leaving]

    def _log_failure(self, failure: Failure) -> None:
        _log.failure("while reading the configuration again", failure)

    # -- the end -----------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Drop every connection in a moment; it may be called from within a signal."""
        self._reactor.callFromThread(self._abort)

    async def _stop(self) -> None:
        restore = on_signals(self.abort)
        patience = self._reactor.callLater(self._grace, self._abort)
        ended = Deferred.fromCoroutine(self._end_listeners())
        await DeferredList([ended, self._given_up], fireOnOneCallback=True)
        if not ended.called:
            _log.warn("a listener did not end even when its connections were dropped; stopping without it")
        _cancel(patience, self._last)
        # The journal has a grace of its own, and another signal can end that one too.
        self._last, self._given_up = None, Deferred()
        # A connection tells that it is gone from within its end: leave it the turn for its last fact.
        await deferLater(self._reactor, 0)
        _each(self._sinks)
        await self._close_journal()
        _cancel(self._last)
        self._watchdog.stop()
        restore()

    async def _close_journal(self) -> None:
        """Have written what waits to be, within the grace: a disk that is gone may never say so."""
        if self._journal is None:
            return
        patience = self._reactor.callLater(self._grace, self._give_up)
        closed = self._journal.close()
        await DeferredList([closed, self._given_up], fireOnOneCallback=True)
        if not closed.called:
            _log.warn("the journal's disk does not answer; stopping without it")
        _cancel(patience)

    async def _end_listeners(self) -> None:
        await _all(listener.stop_accepting for listener in self.listeners)
        if any(_is_unheard(listener) for listener in self.listeners):
            # Where somebody else holds the socket, a restart would lose what these are about to ask.
            await deferLater(self._reactor, _HEARING)
        # What others carry comes first: its last words go out over those.
        await _all(listener.drain for listener in (*self._carried, *self._leaving, *self.listeners))

    def _abort(self) -> None:
        # First, because the last listener may end, and the whole stop with it, from within its abort.
        if self._last is None:
            self._last = self._reactor.callLater(_LAST, self._give_up)
        _each(listener.abort for listener in (*self._leaving, *self.listeners))

    def _give_up(self) -> None:
        if not self._given_up.called:
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
        self._tell_supervisor()
        _log.info("netsvc is ready; listeners open: {count}", count=len(self.listeners))
        if self._reload_wanted:
            self._want_reload()

    def _tell_supervisor(self) -> None:
        self._supervisor.ready(f"listeners open: {len(self.listeners)}")

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
            self._write_ready()
        except SettingError as error:
            self._end(str(error))
            return False
        return True

    def _write_ready(self) -> None:
        self._ready.write([listener.place().as_json() for listener in self.listeners])

    def _fail_to_open(self, listener: Listener, failure: Failure) -> None:
        reason = " ".join(failure.getErrorMessage().split())
        self._end(f"{listener.origin}: cannot listen: {reason}")

    def _fail(self, failure: Failure) -> None:
        _log.failure("netsvc could not start", failure)
        self._end("netsvc could not start; the log says why")


def _cancel(*calls: IDelayedCall | None) -> None:
    for call in calls:
        if call is not None and call.active():
            call.cancel()


def _is_unheard(listener: Listener) -> bool:
    """Whether somebody has come in who has not said anything yet."""
    return any(connection.messages_in == 0 for connection in listener.connections())


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
