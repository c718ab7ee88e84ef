"""`netsvc.daemon`: it reads its configuration again, one time after the other, and lets listeners go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from twisted.internet.defer import Deferred

from netsvc.ready import ReadyFile
from netsvc.systemd import Notifier
from tests.test_daemon import _Fake, _fired, _Rig


class _Told(Notifier):
    """A supervisor that remembers what it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.told: list[str] = []

    def ready(self, status: str) -> None:
        self.told.append(f"ready {status}")

    def reloading(self) -> None:
        self.told.append("reloading")

    def stopping(self, seconds: float = 0.0) -> None:
        self.told.append("stopping")


class _House(_Rig):
    """A daemon whose reading again takes as long as a test wants."""

    def __init__(self, ready: str = "") -> None:
        super().__init__(ready)
        self.supervisor = self.daemon._supervisor = _Told()
        self.reading: list[Deferred[None]] = []
        self.change: Callable[[], None] = lambda: None
        self.daemon.reloads_by(self._read)

    async def _read(self) -> None:
        self.reading.append(Deferred())
        await self.reading[-1]
        self.change()

    def hangup(self) -> None:
        self.daemon.reload()
        self.turn()

    def replace(self, ready: ReadyFile | None = None) -> _Fake:
        """The first listener is dropped, and another one takes its place."""
        new = _Fake("three", self.asked)
        self.daemon.listeners[:] = [new, self.two]  # type: ignore[index]
        self.daemon.change(opened=[new], dropped=[self.one], carried=[], grace=5.0, ready=ready)
        return new


@pytest.fixture
def house() -> _House:
    return _House()


def test_it_reads_again_and_tells_its_supervisor_before_and_after(house: _House) -> None:
    house.daemon.startService()
    house.hangup()
    assert house.supervisor.told == ["ready listeners open: 2", "reloading"]
    house.reading[0].callback(None)
    assert house.supervisor.told[2:] == ["ready listeners open: 2"]


def test_what_comes_while_it_starts_is_done_when_it_is_ready(house: _House) -> None:
    house.two.opening = Deferred()
    house.daemon.startService()
    house.hangup()
    assert house.reading == []
    house.two.opening.callback(None)
    assert len(house.reading) == 1
    assert house.supervisor.told == ["ready listeners open: 2", "reloading"]


def test_one_comes_after_the_other_and_many_are_one(house: _House) -> None:
    house.daemon.startService()
    for _ in range(5):
        house.hangup()
    assert len(house.reading) == 1
    house.reading[0].callback(None)
    assert len(house.reading) == 2
    house.reading[1].callback(None)
    assert len(house.reading) == 2
    house.hangup()
    assert len(house.reading) == 3


def test_a_daemon_that_stops_reads_nothing(house: _House) -> None:
    house.one.draining = Deferred()
    house.daemon.startService()
    house.daemon.stopService()
    house.hangup()
    assert house.reading == []
    house.one.draining.callback(None)
    house.turn()


def test_when_it_stops_meanwhile_nobody_is_told_that_it_is_ready(house: _House) -> None:
    house.daemon.startService()
    house.hangup()
    house.hangup()
    house.daemon.stopService()
    house.turn()
    house.reading[0].callback(None)
    assert len(house.reading) == 1
    assert house.supervisor.told == ["ready listeners open: 2", "reloading", "stopping"]


def test_a_defect_ends_one_reading_and_not_the_next(house: _House) -> None:
    house.daemon.startService()

    def fail() -> None:
        raise RuntimeError("a defect")

    house.change = fail
    house.hangup()
    house.reading[0].callback(None)
    assert house.supervisor.told[-1] == "ready listeners open: 2"
    house.change = lambda: None
    house.hangup()
    assert len(house.reading) == 2


def test_a_listener_that_is_dropped_ends_as_in_a_stop(house: _House) -> None:
    house.daemon.startService()
    house.one.draining = Deferred()
    house.asked.clear()
    house.replace()
    assert house.asked == ["one stop", "one drain"]
    house.one.draining.callback(None)
    assert house.reactor.getDelayedCalls() == []


def test_after_the_grace_its_connections_are_dropped_and_nobody_elses(house: _House) -> None:
    house.daemon.startService()
    house.one.draining = Deferred()
    house.asked.clear()
    house.replace()
    house.turn(5.0)
    assert house.asked == ["one stop", "one drain", "one abort"]


def test_a_stop_waits_for_those_that_still_end(house: _House) -> None:
    house.daemon.startService()
    draining = house.one.draining = Deferred()
    house.replace()
    stopped = house.stop()
    house.turn()
    assert house.asked == ["three stop", "two stop", "one drain", "three drain", "two drain"]
    assert not _fired(stopped)
    draining.callback(None)
    house.turn()
    assert _fired(stopped)
    assert house.reactor.getDelayedCalls() == []


def test_a_second_signal_drops_those_too(house: _House) -> None:
    house.daemon.startService()
    house.one.draining = Deferred()
    house.replace()
    stopped = house.stop()
    house.daemon.abort()
    house.turn()
    house.turn()
    assert "one abort" in house.asked
    assert _fired(stopped)


def test_the_ready_file_tells_of_those_that_there_are_now(tmp_path: Path) -> None:
    house = _House(str(tmp_path / "ready.json"))
    house.daemon.startService()
    new = house.replace()
    assert json.loads((tmp_path / "ready.json").read_text()) == [
        new.place().as_json(),
        house.two.place().as_json(),
    ]
    house.replace(ReadyFile(str(tmp_path / "other.json")))
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_a_ready_file_that_cannot_be_written_any_more_ends_nothing(tmp_path: Path) -> None:
    house = _House(str(tmp_path / "ready.json"))
    house.daemon.startService()
    tmp_path.joinpath("ready.json").unlink()
    tmp_path.rmdir()
    house.replace()
    assert house.ended == []
    assert house.daemon.ready
    tmp_path.mkdir()


def test_the_next_stop_has_the_grace_of_now(house: _House) -> None:
    house.daemon.startService()
    house.replace()
    house.two.draining = Deferred()
    stopped = house.stop()
    house.turn(5.0)
    house.turn()
    assert "two abort" in house.asked
    assert _fired(stopped)
