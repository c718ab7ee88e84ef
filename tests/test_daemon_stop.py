"""`netsvc.daemon`: a stop hears those who have just come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from netsvc.counters import Counts
from netsvc.daemon import Daemon
from netsvc.net.listener import Listener, Place
from netsvc.net.listening import Guarded, Listening
from netsvc.ready import ReadyFile


class _Reactor(Clock):
    """As much of a reactor as the daemon uses; it runs."""

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.callLater(0, call)

    def callWhenRunning(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


class _Connection:
    """One that has said so much."""

    bytes_in = bytes_out = messages_out = seen = 0
    quiet_since = 0.0

    def __init__(self, messages_in: int) -> None:
        self.messages_in = messages_in

    def time_out_idle(self) -> None:
        pass

    def drain(self) -> None:
        pass

    def abort(self) -> None:
        pass


class _Listener:
    """One with connections; it tells when it is asked what."""

    origin = "--one"
    listening: Listening | None = None

    def __init__(self, clock: Clock, *messages: int) -> None:
        self._clock = clock
        self._connections = [_Connection(number) for number in messages]
        self.asked: list[tuple[str, float]] = []

    def connections(self) -> Sequence[Guarded]:
        return self._connections

    def start(self) -> Deferred[None]:
        return succeed(None)

    def place(self) -> Place:
        return Place("one", "tcp://127.0.0.1:7", "tcp", "127.0.0.1", 7)

    def counted(self) -> Counts:
        return Counts()

    def dropped(self) -> int:
        return 0

    def stop_accepting(self) -> Deferred[None]:
        self.asked.append(("stop", self._clock.seconds()))
        return succeed(None)

    def drain(self) -> Deferred[None]:
        self.asked.append(("drain", self._clock.seconds()))
        return succeed(None)

    def abort(self) -> None:
        pass


@pytest.mark.parametrize(
    ("messages", "waits"),
    [((), False), ((1,), False), ((3, 1), False), ((0,), True), ((1, 0), True)],
    ids=str,
)
def test_connections_are_closed_at_once_but_for_those_that_have_said_nothing_yet(
    messages: tuple[int, ...], waits: bool
) -> None:
    clock = _Reactor()
    listener = _Listener(clock, *messages)
    listeners: list[Listener] = [listener]
    ended: list[str] = []
    daemon = Daemon(clock, listeners, [], 10.0, ReadyFile(""), ended.append)
    daemon.startService()
    stopped = daemon.stopService()
    clock.advance(0.01)
    assert [what for what, _ in listener.asked] == (["stop"] if waits else ["stop", "drain"])
    clock.pump([0.05, 0.0, 0.0])
    assert [what for what, _ in listener.asked] == ["stop", "drain"]
    assert stopped.called
    assert ended == []
