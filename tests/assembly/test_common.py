"""What all parts of a daemon share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from netsvc.assembly import common as module
from netsvc.assembly.common import Common
from netsvc.configuration import CommandLine, configuration_of
from netsvc.facts import RECEIVED
from netsvc.journal.query import Filter, Page
from netsvc.journal.reading import Gap
from netsvc.journal.watch import Found, Watchers
from netsvc.registry import discover
from tests.journal.disk.rig import Loop
from tests.journal.rows import origin, seqs

_EVERYTHING = Filter()


def test_a_fact_is_behind_the_beginning_although_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time_ns()
    common = Common(configuration_of(CommandLine(), discover(), {}, "netsvc.toml"), Clock())
    monkeypatch.setattr(common.facts, "_clock", lambda: now - 10**12)
    common.facts.emit(RECEIVED, origin(), b"x")
    assert common.timeline.last > common.timeline.gone


class Run:
    """
    What a daemon with a journal has, from its start to its stop.

    @ivar watchers: read what it has noted, and what others had.
    @ivar seqs: of what it has noted.
    """

    def __init__(self, journal: Path) -> None:
        self._loop = Loop()
        command_line = CommandLine(journal=str(journal))
        self._common = common = Common(configuration_of(command_line, discover(), {}, ""), self._loop)
        assert common.journal is not None
        self._journal = common.journal
        self.watchers = Watchers(
            common.facts, common.timeline, common.clients, self._loop, history=self._journal.history
        )

    @property
    def seqs(self) -> list[int]:
        return seqs(self._common.timeline.since(0, 100))

    def note(self, *data: bytes) -> None:
        """Note facts."""
        for one in data:
            self._common.facts.emit(RECEIVED, origin(), one)

    def found_by(self, asked: Deferred[Found]) -> Found:
        """What a question ends with."""
        found: list[Found] = []
        asked.addCallback(found.append)
        self._loop.until(lambda: bool(found))
        return found[0]

    @contextmanager
    def running(self) -> Iterator[Run]:
        self._journal.open()
        yield self
        closed = self._journal.close()
        self._loop.until(lambda: closed.called)


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("noted", [(), (b"3", b"4")])
def test_what_was_recorded_before_the_clock_was_set_back_is_before_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, noted: tuple[bytes, ...]
) -> None:
    tomorrow = time.time_ns() + 86_400 * 10**9
    with monkeypatch.context() as patch:
        patch.setattr(module, "time_ns", lambda: tomorrow)
        with Run(tmp_path / "journal.db").running() as run:
            run.note(b"1", b"2")
            first, second = run.seqs
    with Run(tmp_path / "journal.db").running() as run:
        assert run.found_by(run.watchers.wait(_EVERYTHING, 1, "last", 0)).rows == []
        run.note(*noted)
        for after, data in ((0, [b"1", b"2", *noted]), (first, [b"2", *noted])):
            found = run.found_by(run.watchers.read(_EVERYTHING, Page(after, order)))
            assert [row[5] for row in found.rows][:: 1 if order == "oldest" else -1] == data
            assert (found.gap, found.more) == (None, False)
        waited = run.found_by(run.watchers.wait(_EVERYTHING, 1 + len(noted), first, 0))
        assert (seqs(waited.rows), waited.gap) == ([second, *run.seqs], None)
        # What has left the journal since is not known to be all that there was.
        lost = run.found_by(run.watchers.read(_EVERYTHING, Page(first - 10, order)))
        assert lost.gap == Gap(first - 10, first - 1, None)
