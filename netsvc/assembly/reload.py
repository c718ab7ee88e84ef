"""
Reading the configuration and the certificates again, as the daemon is asked to by SIGHUP.

What is read and looked up is so in a thread, because a name server may take its time; nobody else waits for
it. Then all that is new is made, and then everything changes within one turn of the reactor. What cannot be
used changes nothing, and is told in the same words as at start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.assembly.changing import Change, plan_of
from netsvc.assembly.common import Common
from netsvc.assembly.running import Running
from netsvc.assembly.serving import Serving
from netsvc.assembly.steps import Keep, Open, Renew
from netsvc.bridges import Bridges
from netsvc.configuration import Configuration
from netsvc.daemon import Daemon
from netsvc.net.listener import Listener
from netsvc.ready import ReadyFile
from netsvc.settings import SettingError

#: The tables that are made something of once, at start, but for these keys; all others hold at once.
_AT_START: dict[str, frozenset[str]] = {
    "timeline": frozenset({"capture"}),
    "journal": frozenset(),
    "log": frozenset(),
}

#: Twisted's endpoints that read certificates when they are opened.
_OVER_TLS = ("ssl:", "tls:")

_log = Logger()
_Value = TypeVar("_Value")


@dataclass
class Present:
    """
    What is so at present.

    @ivar configuration: what was read last.
    @ivar serving: makes what serves, for listeners that come about while clients are there.
    @ivar running: every listener, in the order in which they were asked for.
    @ivar listeners: the same as others see them; one list, which changes.
    """

    configuration: Configuration
    serving: Serving
    running: list[Running]
    listeners: list[Listener]


class Reload:
    """Reads it again."""

    def __init__(
        self,
        read: Callable[[], Configuration],
        present: Present,
        common: Common,
        bridges: Bridges,
        daemon: Daemon,
    ) -> None:
        """
        @param read: reads the configuration, in any thread.
        @param present: what is so, and will be changed.
        @param common: what all listeners have in common.
        @param bridges: the services over WebSocket.
        @param daemon: whose listeners they are.
        """
        self._read = read
        self._present = present
        self._common = common
        self._bridges = bridges
        self._daemon = daemon

    async def again(self) -> None:
        """Do it; the log says what came of it."""
        try:
            await self._again()
        except SettingError as error:
            _log.error("the configuration is refused, the one before goes on: {line}", line=str(error))

    async def _again(self) -> None:
        present, daemon = self._present, self._daemon
        plan = await _aside(self._common.reactor, lambda: plan_of(self._read, self._common, present.serving))
        if not daemon.running:
            return
        change = Change(plan, self._common, present.running, self._bridges)
        await change.begin()
        if not daemon.running:
            change.undo()
            return
        try:
            ready = self._ready_file(plan.configuration)
        except SettingError:
            change.undo()
            raise
        self._commit(change, ready)

    def _ready_file(self, configuration: Configuration) -> ReadyFile | None:
        """
        Where to tell of the listeners now, None where that has not changed.

        @raise SettingError: it cannot be written there.
        """
        path = configuration.net.ready
        if path == self._present.configuration.net.ready:
            return None
        file = ReadyFile(path)
        file.prepare()
        return file

    def _commit(self, change: Change, ready: ReadyFile | None) -> None:
        present, bridges, plan = self._present, self._bridges, change.plan
        former = present.configuration
        present.running = change.commit()
        present.configuration, present.serving = plan.configuration, plan.serving
        present.listeners[:] = [one.listener for one in present.running]
        self._common.view.watchers.allow(plan.configuration.web.max_watchers)
        webs = [one.binding.url for one in change.dropped if one.service.service.name == "web"]
        carried = bridges.change(plan.serving.bridgeable(), webs)
        opened = [one.running.listener for one in change.steps if isinstance(one, Open)]
        self._daemon.change(
            opened=opened,
            dropped=[one.listener for one in change.dropped],
            carried=carried,
            grace=plan.configuration.net.shutdown_grace,
            ready=ready,
        )
        for key in changed_at_start(former, plan.configuration):
            _log.warn("{key} has changed, which needs a restart; until then it stays as it was", key=key)
        for one in change.steps:
            if isinstance(one, Keep | Renew) and one.running.binding.description.startswith(_OVER_TLS):
                url = one.running.binding.url
                _log.warn("{listener} keeps its certificates until a restart, unlike tls://", listener=url)
        _say(change)


def changed_at_start(former: Configuration, configuration: Configuration) -> Iterator[str]:
    """The settings that differ and that only a restart changes, as ``journal.file``."""
    for table, live in _AT_START.items():
        before, now = getattr(former, table), getattr(configuration, table)
        for one in fields(now):
            if one.name not in live and getattr(before, one.name) != getattr(now, one.name):
                yield f"{table}.{one.name}"


def _say(change: Change) -> None:
    kinds = Counter(type(step).__name__ for step in change.steps)
    kept = kinds[Keep.__name__]
    _log.info(
        "configuration read again: {opened} opened, {closed} closed, {changed} changed, {kept} as they were",
        opened=kinds[Open.__name__],
        closed=len(change.dropped),
        changed=len(change.steps) - kinds[Open.__name__] - kept,
        kept=kept,
    )


def _aside(reactor: Any, call: Callable[[], _Value]) -> Deferred[_Value]:
    """Call something in a thread for which the end of the process does not wait."""
    done: Deferred[_Value] = Deferred()

    def run() -> None:
        try:
            result: Any = call()
        except Exception:  # noqa: BLE001 - it is passed on to where it was asked for
            result = Failure()
        reactor.callFromThread(done.callback, result)

    Thread(target=run, name="netsvc reload", daemon=True).start()
    return done
