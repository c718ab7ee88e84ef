"""`netsvc.daemon`: it starts its listeners, and stops in order."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.application.service import IService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from netsvc.counters import Counts
from netsvc.daemon import Daemon
from netsvc.net.listener import Listener, Place
from netsvc.net.listening import Guarded, Listening
from netsvc.ready import ReadyFile

_GRACE = 10.0


class _Reactor(Clock):
    """As much of a reactor as the daemon uses."""

    def __init__(self) -> None:
        super().__init__()
        self.running = True
        self.when_running: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.callLater(0, call)

    def callWhenRunning(self, call: Callable[..., object], *arguments: object) -> None:
        """It runs already, unless a test says that it does not yet."""
        if self.running:
            call(*arguments)
        else:
            self.when_running.append(lambda: call(*arguments))


class _Fake:
    """
    A listener without a socket: it keeps to the contract and tells what it is asked, in order.

    @ivar opening, closing, draining: what its methods return.
    """

    def __init__(self, name: str, asked: list[str]) -> None:
        self.origin = f"--{name}"
        self.listening: Listening | None = None
        self.name = name
        self.address = "127.0.0.1"
        self.opening: Deferred[None] = succeed(None)
        self.closing: Deferred[None] = succeed(None)
        self.draining: Deferred[None] = succeed(None)
        self._asked = asked

    def start(self) -> Deferred[None]:
        self._asked.append(f"{self.name} start")
        return self.opening

    def place(self) -> Place:
        return Place(self.name, f"tcp://127.0.0.1:7/{self.name}", "tcp", self.address, 7)

    def counted(self) -> Counts:
        return Counts()

    def dropped(self) -> int:
        return 0

    def connections(self) -> Sequence[Guarded]:
        return ()

    def stop_accepting(self) -> Deferred[None]:
        self._asked.append(f"{self.name} stop")
        return self.closing

    def drain(self) -> Deferred[None]:
        self._asked.append(f"{self.name} drain")
        return self.draining

    def abort(self) -> None:
        self._asked.append(f"{self.name} abort")
        if not self.draining.called:
            self.draining.callback(None)


class _Deaf(_Fake):
    """One whose end never comes, whatever is asked."""

    def abort(self) -> None:
        self._asked.append(f"{self.name} abort")


class _Rig:
    """A daemon over fake listeners, and what came of it."""

    def __init__(self, ready: str = "", kind: type[_Fake] = _Fake, journal: Any = None) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.reactor = _Reactor()
        self.one = kind("one", self.asked)
        self.two = kind("two", self.asked)
        listeners: list[Listener] = [self.one, self.two]
        self.sinks = [lambda: self.asked.append("sink a"), lambda: self.asked.append("sink b")]
        self.daemon = Daemon(
            self.reactor, listeners, self.sinks, _GRACE, ReadyFile(ready), self.ended.append, journal=journal
        )

    def stop(self) -> Deferred[None]:
        self.asked.clear()
        return self.daemon.stopService()

    def turn(self, seconds: float = 0.0) -> None:
        self.reactor.advance(seconds)


def _fired(deferred: Deferred[None]) -> bool:
    return bool(deferred.called)


@pytest.fixture
def rig() -> _Rig:
    return _Rig()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    yield lines
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def dispositions() -> Iterator[None]:
    """What a test leaves of the process's signal dispositions is checked, and mended."""
    former = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, disposition in former:
        left = signal.getsignal(number)
        signal.signal(number, disposition)
        assert left is disposition


def test_it_is_a_service(rig: _Rig) -> None:
    assert verifyObject(IService, rig.daemon)


def test_all_listeners_start_in_their_order_and_the_log_says_where(rig: _Rig, logged: list[str]) -> None:
    rig.daemon.startService()
    assert rig.asked == ["one start", "two start"]
    assert "one listens on tcp://127.0.0.1:7/one" in logged
    assert logged[-1] == "netsvc is ready; listeners open: 2"
    assert rig.ended == []


def test_it_is_ready_only_when_the_reactor_runs_and_takes_signals(rig: _Rig, logged: list[str]) -> None:
    rig.reactor.running = False
    rig.daemon.startService()
    assert rig.asked == ["one start", "two start"]
    assert logged == []
    for call in rig.reactor.when_running:
        call()
    assert logged[-1] == "netsvc is ready; listeners open: 2"


def test_it_is_ready_only_when_every_listener_is_open(rig: _Rig, logged: list[str]) -> None:
    rig.two.opening = Deferred()
    rig.daemon.startService()
    assert logged == []
    rig.two.opening.callback(None)
    assert len(logged) == 3


def test_a_listener_beyond_loopback_is_told_once(rig: _Rig, logged: list[str]) -> None:
    rig.two.address = "0.0.0.0"
    rig.daemon.startService()
    assert len([line for line in logged if "beyond loopback" in line]) == 1


def test_a_listener_that_cannot_open_ends_it_with_one_line_that_names_the_option(
    rig: _Rig, logged: list[str]
) -> None:
    rig.two.opening = Deferred()
    rig.daemon.startService()
    rig.two.opening.errback(CannotListenError("127.0.0.1", 7, OSError(98, "Address already\nin use")))
    (line,) = rig.ended
    assert line.startswith("--two: cannot listen: ")
    assert "Address already in use" in line
    assert "\n" not in line
    assert not any("ready" in line for line in logged)


def test_a_listener_that_raises_ends_it_and_the_others_were_still_started() -> None:
    class Raises(_Fake):
        def start(self) -> Deferred[None]:
            super().start()
            if self.name == "one":
                raise OSError("no such thing")
            return self.opening

    rig = _Rig(kind=Raises)
    rig.daemon.startService()
    assert rig.ended == ["--one: cannot listen: no such thing"]
    assert rig.asked == ["one start", "two start"]


def test_stopped_before_it_had_opened_is_no_failure(rig: _Rig, tmp_path: Path) -> None:
    rig.two.opening = Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    rig.two.opening.cancel()
    rig.turn()
    assert _fired(stopped)
    assert rig.ended == []


def test_stop_is_listeners_then_connections_then_sinks(rig: _Rig) -> None:
    rig.one.closing, rig.two.closing = Deferred(), Deferred()
    rig.one.draining, rig.two.draining = Deferred(), Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    assert rig.asked == ["one stop", "two stop"]
    rig.two.closing.callback(None)
    assert rig.asked == ["one stop", "two stop"]
    rig.one.closing.callback(None)
    assert rig.asked[2:] == ["one drain", "two drain"]
    rig.one.draining.callback(None)
    rig.turn(1)
    assert rig.asked[4:] == []
    rig.two.draining.callback(None)
    assert not _fired(stopped)
    rig.turn()
    assert rig.asked[4:] == ["sink a", "sink b"]
    assert _fired(stopped)
    assert rig.reactor.getDelayedCalls() == []


def test_what_a_connection_tells_as_it_ends_comes_before_the_sinks_stop(rig: _Rig) -> None:
    rig.one.draining = Deferred()
    rig.daemon.startService()
    rig.stop()

    def last_connection_lost() -> None:
        rig.one.draining.callback(None)
        rig.asked.append("the last fact")

    rig.reactor.callLater(1, last_connection_lost)
    rig.turn(1)
    rig.turn()
    assert rig.asked[-3:] == ["the last fact", "sink a", "sink b"]


def test_idle_it_stops_at_once(rig: _Rig) -> None:
    rig.daemon.startService()
    stopped = rig.stop()
    rig.turn()
    assert _fired(stopped)
    assert "one abort" not in rig.asked


def test_after_the_grace_connections_are_dropped(rig: _Rig) -> None:
    rig.one.draining = Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    rig.turn(_GRACE - 0.5)
    assert "one abort" not in rig.asked
    rig.turn(0.5)
    rig.turn()
    assert rig.asked[-4:] == ["one abort", "two abort", "sink a", "sink b"]
    assert _fired(stopped)
    assert rig.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_drops_connections_at_once(rig: _Rig, number: signal.Signals) -> None:
    rig.one.draining = Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    signal.raise_signal(number)
    # Not within the signal, which can come between any two steps.
    assert "one abort" not in rig.asked
    rig.turn()
    rig.turn()
    assert rig.asked[-4:] == ["one abort", "two abort", "sink a", "sink b"]
    assert _fired(stopped)


def test_more_signals_change_nothing(rig: _Rig) -> None:
    rig.one.draining = Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
    rig.turn()
    rig.turn()
    assert _fired(stopped)
    assert rig.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("what", ["closing", "draining"])
def test_a_listener_whose_end_never_comes_is_given_up(what: str, logged: list[str]) -> None:
    rig = _Rig(kind=_Deaf)
    setattr(rig.one, what, Deferred())
    rig.daemon.startService()
    stopped = rig.stop()
    rig.turn(_GRACE)
    assert "one abort" in rig.asked
    assert not _fired(stopped)
    rig.turn(1)
    rig.turn()
    assert _fired(stopped)
    assert rig.asked[-2:] == ["sink a", "sink b"]
    assert any("did not end" in line for line in logged)
    assert rig.reactor.getDelayedCalls() == []


class _HangingJournal:
    """One whose disk never answers."""

    def open(self) -> None:
        """It could still be opened."""

    def close(self) -> Deferred[None]:
        return Deferred()


@pytest.mark.parametrize("signals_before", [0, 1])
def test_a_journal_that_never_ends_has_a_grace_of_its_own_which_a_signal_ends(
    signals_before: int, logged: list[str]
) -> None:
    rig = _Rig(journal=_HangingJournal())
    rig.one.draining = Deferred()
    rig.daemon.startService()
    stopped = rig.stop()
    for _ in range(signals_before):
        signal.raise_signal(signal.SIGTERM)
    rig.turn(0 if signals_before else _GRACE)
    rig.turn(_GRACE - 1.5)
    assert rig.asked[-2:] == ["sink a", "sink b"]
    assert not _fired(stopped)
    signal.raise_signal(signal.SIGTERM)
    rig.turn()
    rig.turn(1)
    assert _fired(stopped)
    assert "the journal's disk does not answer; stopping without it" in logged
    assert not any("did not end" in line for line in logged)
    assert rig.reactor.getDelayedCalls() == []


def test_a_journal_that_never_ends_is_given_up_after_its_grace(logged: list[str]) -> None:
    rig = _Rig(journal=_HangingJournal())
    rig.daemon.startService()
    stopped = rig.stop()
    rig.turn()
    rig.turn(_GRACE - 0.1)
    assert not _fired(stopped)
    rig.turn(0.1)
    assert _fired(stopped)
    assert "the journal's disk does not answer; stopping without it" in logged
    assert rig.reactor.getDelayedCalls() == []


def test_a_listener_that_fails_to_stop_hinders_nobody(logged: list[str]) -> None:
    class Fails(_Fake):
        def stop_accepting(self) -> Deferred[None]:
            super().stop_accepting()
            if self.name == "one":
                raise RuntimeError("cannot stop")
            return self.closing

    rig = _Rig(kind=Fails)
    rig.daemon.startService()
    stopped = rig.stop()
    rig.turn()
    assert _fired(stopped)
    assert rig.asked == ["one stop", "two stop", "one drain", "two drain", "sink a", "sink b"]
    assert "while stopping" in logged


def test_a_sink_that_fails_to_stop_hinders_no_other(rig: _Rig, logged: list[str]) -> None:
    def fail() -> None:
        raise RuntimeError("cannot stop")

    daemon = Daemon(rig.reactor, [], [fail, *rig.sinks], _GRACE, ReadyFile(""), rig.ended.append)
    daemon.startService()
    stopped = daemon.stopService()
    rig.turn()
    assert _fired(stopped)
    assert rig.asked == ["sink a", "sink b"]
    assert "while stopping" in logged


def test_the_ready_file_has_every_listener_as_json(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    rig = _Rig(str(path))
    rig.daemon.startService()
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document == [rig.one.place().as_json(), rig.two.place().as_json()]
    assert os.listdir(tmp_path) == ["ready.json"]


def test_the_ready_file_waits_for_the_last_listener(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    rig = _Rig(str(path))
    rig.two.opening = Deferred()
    rig.daemon.startService()
    assert not path.exists()
    rig.two.opening.callback(None)
    assert path.exists()


def test_no_ready_file_when_a_listener_could_not_open(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    rig = _Rig(str(path))
    rig.two.opening = Deferred()
    rig.daemon.startService()
    rig.two.opening.errback(OSError("taken"))
    assert os.listdir(tmp_path) == []
    assert len(rig.ended) == 1


def test_the_ready_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ready.json"
    path.write_text("old")
    seen: list[str] = []
    replace = os.replace

    def look(source: str, target: str) -> None:
        # Up to the moment of the exchange whoever reads finds the old file, and then the new one, complete.
        seen.append(path.read_text())
        json.loads(Path(source).read_text(encoding="utf-8"))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    _Rig(str(path)).daemon.startService()
    assert seen == ["old"]
    assert json.loads(path.read_text())


@pytest.mark.parametrize("where", ["missing/ready.json", "directory", "missing/\x1b[2J\n"])
def test_a_ready_file_that_cannot_be_written_ends_it_with_one_line(
    tmp_path: Path, logged: list[str], where: str
) -> None:
    (tmp_path / "directory").mkdir()
    rig = _Rig(str(tmp_path / where))
    rig.daemon.startService()
    (line,) = rig.ended
    assert line.startswith("--ready ")
    assert "cannot be written" in line
    assert line.isprintable()
    assert os.listdir(tmp_path) == ["directory"]
    assert not any("is ready" in line for line in logged)
