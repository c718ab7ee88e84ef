"""The timeline beside a list: what is noted, handed on, read in slices, forgotten and lost."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netsvc.facts import CLOSED, OPENED, RECEIVED, Facts, Row
from netsvc.journal.timeline import Timeline
from tests.fuzz.states.examples import examples
from tests.journal.rows import origin

_SECOND = 10**9

#: Bytes that the ring may take: some dozen facts.
_MEMORY = 12_000


class _Reading(RuleBasedStateMachine):
    """Facts come by the batch, as from the daemon, and somebody reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _SECOND
        self.later: list[Any] = []
        self.facts = Facts(clock=lambda: self.now, later=lambda seconds, call: self.later.append(call))
        self.timeline = Timeline(_MEMORY, self.facts.flush, began=5)
        self.facts.keep(self.timeline)
        self.facts.begin_after(5)
        # What was noted, and of that the seqs that have been seen in the timeline.
        self.noted: list[tuple[str, bytes | None]] = []
        self.emptied = 0

    @rule(
        data=st.binary(max_size=200),
        count=st.integers(1, 40),
        kind=st.sampled_from([OPENED, RECEIVED, CLOSED]),
        book=st.booleans(),
    )
    def note(self, data: bytes, count: int, kind: str, book: bool) -> None:
        for _ in range(count):
            if book and kind == RECEIVED:
                self._note_in_book(data)
            else:
                shown = data if kind == RECEIVED else None
                self.facts.emit(kind, origin(), shown, None if kind == OPENED else "fin")
                self.noted.append((kind, shown))

    def _note_in_book(self, data: bytes) -> None:
        whence = origin()
        book = self.facts.book(whence[0], whence[1])
        if not book:
            self.facts.begin(self.now)
        book += (self.now, RECEIVED, whence, data, None)
        self.noted.append((RECEIVED, data))

    @rule(nanoseconds=st.sampled_from([0, 1, 999, 1000, _SECOND, -_SECOND]))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds

    @precondition(lambda self: self.later)
    @rule()
    def hand_on(self) -> None:
        calls, self.later[:] = list(self.later), []
        for call in calls:
            call()

    @rule()
    def clear(self) -> None:
        self.timeline.clear()
        self.emptied = len(self.noted)

    @rule(place=st.integers(-2, 60), limit=st.integers(1, 50))
    def read(self, place: int, limit: int) -> None:
        there = self._there()
        seqs = [row[0] for row in there]
        seq = seqs[place] if 0 <= place < len(seqs) else (seqs[0] - 1 if seqs and place < 0 else 1 << 60)
        for about in (seq - 1, seq, seq + 1):
            later = [row for row in there if row[0] > about]
            assert self.timeline.since(about) == later
            assert self.timeline.since(about, limit) == later[:limit]
            earlier = [row for row in reversed(there) if row[0] < about]
            assert self.timeline.before(about, limit) == earlier[:limit]

    def _there(self) -> list[Row]:
        return self.timeline.since(0)

    @invariant()
    def what_is_there_is_the_newest(self) -> None:
        there = self._there()
        assert len(there) == len(self.timeline) <= len(self.noted) - self.emptied
        newest = self.noted[len(self.noted) - len(there) :]
        assert [(row[2], row[5]) for row in there] == newest
        seqs = [row[0] for row in there]
        assert seqs == sorted(set(seqs)), "seq rises"
        assert self.timeline.size <= _MEMORY
        assert self.timeline.taken == len(self.noted)
        assert self.timeline.left == len(self.noted) - len(there)
        assert self.timeline.last == (seqs[-1] if seqs else 0)
        assert not seqs or self.timeline.gone < seqs[0]


TestReading = _Reading.TestCase
TestReading.settings = examples()
