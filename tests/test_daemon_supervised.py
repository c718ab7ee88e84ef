"""`netsvc.daemon` towards its supervisor: what it says, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from netsvc.counters import Counts
from netsvc.daemon import Daemon
from netsvc.net.listener import Listener, Place
from netsvc.net.listening import Guarded, Listening
from netsvc.ready import ReadyFile
from netsvc.systemd import Notifier
from tests.live.supervisor import Supervisor

_READY = ["READY=1", "STATUS=listeners open: 1"]


class _Reactor(Clock):
    """As much of a reactor as the daemon uses; it runs."""

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.callLater(0, call)

    def callWhenRunning(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


class _Listener:
    """One that is open when a test says so."""

    origin = "--one"
    listening: Listening | None = None

    def __init__(self) -> None:
        self.opening: Deferred[None] = Deferred()

    def start(self) -> Deferred[None]:
        return self.opening

    def place(self) -> Place:
        return Place("one", "tcp://127.0.0.1:7", "tcp", "127.0.0.1", 7)

    def counted(self) -> Counts:
        return Counts()

    def dropped(self) -> int:
        return 0

    def connections(self) -> Sequence[Guarded]:
        return ()

    def stop_accepting(self) -> Deferred[None]:
        return succeed(None)

    def drain(self) -> Deferred[None]:
        return succeed(None)

    def abort(self) -> None:
        pass


class _Rig:
    """A daemon of one listener with a supervisor that listens on a real socket."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.reactor = _Reactor()
        self.listener = _Listener()
        self.ended: list[str] = []
        listeners: list[Listener] = [self.listener]
        self.daemon = Daemon(
            self.reactor,
            listeners,
            [],
            10.0,
            ReadyFile(""),
            self.ended.append,
            supervisor=Notifier(dict(supervisor.environment)),
        )

    def heard(self) -> list[list[str]]:
        return self.supervisor.drain()

    def stop(self) -> None:
        stopped = self.daemon.stopService()
        self.reactor.pump([0.0] * 5)
        assert stopped.called


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[_Rig]:
    with closing(Supervisor(tmp_path, watchdog=4.0)) as supervisor:
        yield _Rig(supervisor)


def test_it_is_ready_when_its_listeners_are_open_and_not_before(rig: _Rig) -> None:
    rig.daemon.startService()
    rig.reactor.advance(1.0)
    assert rig.heard() == [["WATCHDOG=1"]]
    rig.listener.opening.callback(None)
    assert rig.heard() == [_READY]
    rig.stop()


def test_it_never_is_when_one_cannot_be_opened(rig: _Rig) -> None:
    rig.daemon.startService()
    rig.listener.opening.errback(OSError("no"))
    assert rig.ended
    assert _READY not in rig.heard()
    rig.stop()


def test_it_lives_from_its_start_to_its_end(rig: _Rig) -> None:
    rig.listener.opening.callback(None)
    rig.daemon.startService()
    rig.reactor.pump([1.0] * 10)
    assert rig.heard().count(["WATCHDOG=1"]) == 6
    rig.stop()
    rig.reactor.pump([1.0] * 10)
    # The time that connections and the journal may take, and a moment.
    assert rig.heard() == [["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=21000000"]]
    assert rig.reactor.getDelayedCalls() == []


def test_it_says_when_it_reads_its_configuration_again_and_when_that_is_over(rig: _Rig) -> None:
    reading: list[Deferred[None]] = []

    async def read_again() -> None:
        reading.append(Deferred())
        await reading[-1]

    rig.daemon.reloads_by(read_again)
    rig.listener.opening.callback(None)
    rig.daemon.startService()
    rig.heard()
    rig.daemon.reload()
    rig.reactor.advance(0.1)
    (message,) = rig.heard()
    assert message[0] == "RELOADING=1"
    reading[0].callback(None)
    assert rig.heard() == [_READY]
    rig.stop()
