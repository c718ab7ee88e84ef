"""The daemon and its journal: opened before anybody is served, closed when all else has ended."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from netsvc.daemon import Daemon
from netsvc.journal.disk.schema import JournalError
from netsvc.ready import ReadyFile
from tests.test_daemon import _Reactor

GRACE = 10.0


class Journal:
    """One that does as it is told."""

    origin = "--journal"

    def __init__(self, error: str = "") -> None:
        self.asked: list[str] = []
        self.closing: Deferred[None] = Deferred()
        self._error = error

    def open(self) -> None:
        self.asked.append("open")
        if self._error:
            raise JournalError(self._error)

    def close(self) -> Deferred[None]:
        self.asked.append("close")
        return self.closing


class Rig:
    """A daemon without listeners."""

    def __init__(self, error: str = "") -> None:
        self.reactor = _Reactor()
        self.ended: list[str] = []
        self.journal = Journal(error)
        journal: Any = self.journal
        sinks = [partial(self.journal.asked.append, "sink")]
        self.daemon = Daemon(
            self.reactor, [], sinks, GRACE, ReadyFile(""), self.ended.append, journal=journal
        )

    def stop(self) -> list[None]:
        """Stop it; the list has something in it once it has."""
        stopped: list[None] = []
        self.daemon.stopService().addCallback(stopped.append)
        self.reactor.advance(0.1)
        return stopped


def test_it_is_opened_first_and_closed_last() -> None:
    rig = Rig()
    rig.daemon.startService()
    assert rig.journal.asked == ["open"]
    stopped = rig.stop()
    assert rig.journal.asked == ["open", "sink", "close"]
    assert stopped == []
    rig.journal.closing.callback(None)
    assert stopped == [None]


def test_one_that_cannot_be_used_ends_the_daemon_in_one_line() -> None:
    rig = Rig("/var/x: no")
    rig.daemon.startService()
    assert rig.ended == ["--journal /var/x: no"]
    assert not rig.daemon.ready


def test_a_disk_that_never_answers_is_waited_for_no_longer_than_the_grace() -> None:
    rig = Rig()
    rig.daemon.startService()
    stopped = rig.stop()
    rig.reactor.advance(GRACE - 1)
    assert stopped == []
    rig.reactor.advance(1)
    assert stopped == [None]


def test_a_second_signal_ends_the_wait_for_the_disk() -> None:
    rig = Rig()
    rig.daemon.startService()
    stopped = rig.stop()
    rig.daemon._abort()
    rig.reactor.advance(1.5)
    assert stopped == [None]
