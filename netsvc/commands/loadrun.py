"""One run of a load: begins it, watches it, and ends it when all is answered or nothing more comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns, process_time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from netsvc.commands.loadcourse import Course
from netsvc.commands.loadstream import Flow
from netsvc.commands.loadtally import Tally

#: Seconds from one look at a run to the next.
LOOK = 0.1


class Run:
    """
    A run.

    @ivar elapsed: seconds that the answers took: from its begin until the last one, but no less than what
        was asked for; until its end if there was no answer, or the course could not be run through.
    @ivar busy: which part of one processor core this process used while messages left, 1.0 being all of it.
    """

    def __init__(
        self,
        reactor: Any,
        flows: Sequence[Flow],
        course: Course,
        tally: Tally,
        patience: float,
        looked: Callable[[float], None],
        clock: Callable[[], int] = perf_counter_ns,
        processor: Callable[[], float] = process_time,
    ) -> None:
        """
        @param reactor: has the timers.
        @param flows: open.
        @param course: when messages leave.
        @param tally: where the flows count.
        @param patience: seconds without anything coming, while something should, and seconds behind the time
            that was asked for, after which the run is over.
        @param looked: called regularly with the seconds since the begin.
        @param clock: nanoseconds.
        @param processor: seconds of processor time that this process has used.
        """
        self._reactor = reactor
        self._flows = flows
        self._course = course
        self._tally = tally
        self._patience = round(patience * 1e9)
        self._looked = looked
        self._clock = clock
        self._processor = processor
        self._begun = self._quiet_since = self._asked = 0
        self._processor_begun = 0.0
        self._received = 0
        self._finished: Deferred[None] = Deferred(lambda _: None)
        self.elapsed = 0.0
        self.busy: float | None = None

    async def go(self, seconds: float | None) -> None:
        """
        Run until it is over. When it is cancelled, what was counted stays.

        @param seconds: the time that was asked for; None lets the course end by itself.
        """
        self._asked = round((seconds or 0.0) * 1e9)
        for number, flow in enumerate(self._flows):
            flow.place(number, len(self._flows), self._course.freed)
        self._processor_begun = self._processor()
        self._begun = self._quiet_since = self._clock()
        self._course.begin(self._flows, self._begun)
        ending = []
        if seconds is not None:
            ending.append(self._reactor.callLater(seconds, self._course.time_is_over))
            ending.append(self._reactor.callLater(seconds + self._patience / 1e9, self._finish))
        looking = LoopingCall(self._look)
        looking.clock = self._reactor
        looking.start(LOOK, now=False).addErrback(self._finished.errback)
        try:
            await self._finished
            for flow in self._flows:
                flow.judge()
        finally:
            if looking.running:
                looking.stop()
            for call in ending:
                if call.active():
                    call.cancel()
            self._end()

    def _look(self) -> None:
        now = self._clock()
        self._tally.latencies.settle()
        self._tally.lateness.settle()
        for flow in self._flows:
            flow.expire(now)
        under_way = sum(flow.under_way() for flow in self._flows)
        if self._tally.received != self._received or not under_way:
            self._received, self._quiet_since = self._tally.received, now
        over = self._course.is_over()
        if over:
            self._note_busy(now)
        self._looked((now - self._begun) / 1e9)
        if (
            (over and not under_way)
            or now - self._quiet_since > self._patience
            or not any(flow.alive() for flow in self._flows)
        ):
            self._finish()

    def _finish(self) -> None:
        if not self._finished.called:
            self._finished.callback(None)

    def _end(self) -> None:
        now = self._clock()
        self._note_busy(now)
        until = now
        if self._course.is_over() and self._tally.last:
            until = max(self._tally.last, min(self._begun + self._asked, now))
        self.elapsed = (until - self._begun) / 1e9
        self._course.close()
        for flow in self._flows:
            flow.finish()
        self._tally.latencies.settle()
        self._tally.lateness.settle()

    def _note_busy(self, now: int) -> None:
        if self.busy is None:
            wall = max((now - self._begun) / 1e9, 1e-9)
            self.busy = (self._processor() - self._processor_begun) / wall
