"""
What serves one listener, and what served it before, for as long as connections from then are open.

Settings change while clients are connected. Those who come afterwards find the new ones; those inside go on
with what they have, and with the service that they began with. So each has its own `Listening`, and what a
listener tells of itself is the sum.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from netsvc.counters import Counts
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Guarded, Listening

_log = Logger()


class Succession:
    """
    The present `Listening` and the former ones.

    @ivar present: what serves whoever comes.
    @ivar guards: builds the guards of connections, of the present one whichever that is.
    """

    def __init__(self, listening: Listening) -> None:
        """@param listening: the first one."""
        self.present = listening
        self.guards = GuardFactory(listening)
        self._former: list[Listening] = []
        self._to_stop: list[Listening] = []
        # What was counted by those of which nobody is left.
        self._past = Counts()

    def change(self, listening: Listening) -> None:
        """
        Let another one serve whoever comes.

        @param listening: its factory has been started. That of the former is stopped when the last of its
            connections has gone.
        """
        former, self.present = self.present, listening
        listening.admission.follow(former.admission)
        self.guards.serve(listening)
        self._former.append(former)
        self._to_stop.append(former)
        former.when_empty().addCallback(lambda _: self._over(former))

    def counted(self) -> Counts:
        """What happened until now, under all of them."""
        counts = self.present.counted()
        counts.add(self._past)
        for former in self._former:
            counts.add(former.counted())
        return counts

    def connections(self) -> list[Guarded]:
        """Those that are open, under all of them."""
        return [guard for one in (*self._former, self.present) for guard in one.guards]

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open, at once if none is."""
        empty = DeferredList([one.when_empty() for one in (*self._former, self.present)])
        return empty.addCallback(lambda _: None)

    @property
    def idle_timeout(self) -> float:
        """The shortest that any of them has, 0 where none has one."""
        timeouts = (one.limits.idle_timeout for one in (*self._former, self.present))
        return min(filter(None, timeouts), default=0.0)

    def close_idle(self) -> None:
        """See `Listening.close_idle`."""
        for one in (*self._former, self.present):
            one.close_idle()

    def stop_former(self) -> None:
        """The listener ends: stop the factories of those before, whose connections end in a moment."""
        for former in tuple(self._to_stop):
            self._stop(former)

    def _over(self, former: Listening) -> None:
        self._former.remove(former)
        self._past.add(former.counts)
        self._stop(former)

    def _stop(self, former: Listening) -> None:
        if former not in self._to_stop:
            return
        self._to_stop.remove(former)
        try:
            former.factory.doStop()
        except Exception:  # noqa: BLE001 - the factory may be anybody's; nobody waits for it
            _log.failure("{service} failed to stop", service=former.service)
