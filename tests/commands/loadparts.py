"""Parts for tests of a load: time and transports in memory, and flows over them."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from netsvc.commands.loadcourse import Course
from netsvc.commands.loadmessage import (
    Messages,
)
from netsvc.commands.loadstream import StreamFlow
from netsvc.commands.loadtally import Tally


class Time(Clock):
    """Twisted's clock, also in nanoseconds."""

    def nanoseconds(self) -> int:
        """As `perf_counter_ns` has them."""
        return round(self.seconds() * 1e9)


class Abortable(StringTransport):
    """A transport in memory that can be aborted."""

    aborted = False

    def abortConnection(self) -> None:
        """Remember it."""
        self.aborted = True


class AtOnce(Abortable):
    """One that takes a few bytes at once, as a socket does."""

    takes = 0

    def writeSomeData(self, data: bytes) -> int:
        """Twisted's `tcp.Connection` has it."""
        taken = data[: self.takes]
        self.takes -= len(taken)
        self.io.write(taken)
        return len(taken)


def abortable() -> Any:
    """Its methods are untyped, so it is too."""
    return cast(Any, Abortable)()


def at_once() -> Any:
    """The same."""
    return cast(Any, AtOnce)()


def stream(
    time: Time,
    tally: Tally,
    course: Course | None,
    transport: Any,
    depth: int = 1,
    size: int = 16,
    kind: type[StreamFlow] = StreamFlow,
    expect: str = "suffix",
) -> StreamFlow:
    """A flow over a transport in memory."""
    flow = kind(Messages(size), depth, expect, tally, time.nanoseconds)
    cast(Any, flow).makeConnection(transport)
    if course is not None:
        flow.place(0, 1, course.freed)
    return flow
