"""
One socket for the datagrams of a load: finds by the messages' numbers what was lost, doubled, reordered or
late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import count, islice
from time import perf_counter_ns
from typing import Protocol

from netsvc.commands.loadmessage import Differs, Messages, check_answer, number_answered
from netsvc.commands.loadstream import Freed
from netsvc.commands.loadtally import Tally

#: The longest datagram that UDP over IPv4 carries (RFC 768, RFC 791).
LONGEST_DATAGRAM = 65507

#: Numbers that are remembered as answered, and as given up, to know their answers when they come again.
REMEMBERED = 65536


class Transport(Protocol):
    """What carries the datagrams of a flow: `netsvc.commands.loadsocket.ConnectedSocket`."""

    received: Callable[[bytes], None]
    refused: Callable[[], None]
    drained: Callable[[], None]

    def write(self, data: bytes) -> None:
        """Send one, or keep it until there is room."""

    def is_full(self) -> bool:
        """Whether something waits for room; `drained` is called when nothing does any more."""
        ...

    def dropped(self) -> int:
        """How many came and were dropped on this machine."""
        ...

    def close(self) -> None:
        """Close it."""


class DatagramFlow:
    """See `netsvc.commands.loadstream.Flow`."""

    def __init__(
        self,
        transport: Transport,
        messages: Messages,
        depth: int,
        expect: str,
        tally: Tally,
        timeout: float,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """
        @param transport: where the datagrams go.
        @param messages: what to send; their size leaves room for the number.
        @param depth: messages that may wait for an answer.
        @param expect: ``echo``, ``suffix``, or ``any``: each datagram that comes answers the oldest message.
        @param tally: where to count.
        @param timeout: seconds after which a message is lost.
        @param clock: nanoseconds.
        """
        self._transport = transport
        transport.received = self.datagram_received
        transport.refused = self._refused
        transport.drained = self._drained
        self._messages = messages
        self._depth = depth
        self._expect = expect
        self._tally = tally
        self._timeout = round(timeout * 1e9)
        self._clock = clock
        self._open = True
        self._numbers = iter(count())
        self._freed: Freed | None = None
        self._highest = -1
        # Number to time, in the order of sending.
        self._times: OrderedDict[int, int] = OrderedDict()
        self._answered: OrderedDict[int, None] = OrderedDict()
        self._given_up: OrderedDict[int, None] = OrderedDict()

    def place(self, first: int, step: int, freed: Freed) -> None:
        """See `Flow`."""
        self._numbers, self._freed = count(first, step), freed

    def send(self, times: list[int]) -> None:
        """See `Flow`."""
        for time, number in zip(times, self._numbers):  # noqa: B905 - the numbers have no end
            self._times[number] = time
            self._tally.sent += 1
            self._transport.write(self._messages.make(number))

    def room(self) -> int:
        """See `Flow`."""
        return self._depth - len(self._times) if self._open and not self._transport.is_full() else 0

    def under_way(self) -> int:
        """See `Flow`."""
        return len(self._times)

    def alive(self) -> bool:
        """See `Flow`."""
        return self._open

    def expire(self, now: int) -> None:
        """See `Flow`."""
        expired = 0
        while self._times:
            number, time = next(iter(self._times.items()))
            if now - time < self._timeout:
                break
            del self._times[number]
            _remember(self._given_up, number)
            expired += 1
        self._tally.lost += expired
        if expired and self._freed is not None:
            self._freed(self, expired, now)

    def judge(self) -> None:
        """See `Flow`: a datagram is whole."""

    def finish(self) -> None:
        """See `Flow`."""
        if self._open:
            self._open = False
            self._tally.lost += len(self._times)
            self._times.clear()
            self._transport.close()

    def dropped(self) -> int:
        """How many datagrams came and were dropped on this machine."""
        return self._transport.dropped()

    def datagram_received(self, datagram: bytes) -> None:
        """Take a datagram from the peer."""
        now = self._clock()
        tally = self._tally
        if not self._open:
            return
        tally.received += len(datagram)
        tally.last = now
        try:
            number = self._number_answered(datagram)
        except ValueError:
            tally.unexpected += 1
            return
        try:
            if self._expect != "any":
                check_answer(self._expect, self._messages, number, datagram)
        except Differs as difference:
            tally.differs(difference)
            self._take_differing(number, now)
            return
        time = self._times.pop(number, None)
        if time is None:
            self._came_too_often_or_late(number)
            return
        tally.latencies.fresh.append(now - time)
        if number < self._highest:
            tally.reordered += 1
        else:
            self._highest = number
        self._answer(number, now)

    def _take_differing(self, number: int, now: int) -> None:
        """A message whose answer differs waits for no other, and is not lost."""
        if self._times.pop(number, None) is not None:
            self._answer(number, now)
        elif number in self._given_up:
            self._unlose(number)

    def _answer(self, number: int, now: int) -> None:
        _remember(self._answered, number)
        if self._freed is not None:
            self._freed(self, 1, now)

    def _refused(self) -> None:
        self._tally.refused += 1
        self._tally.last_refused = self._clock()

    def _drained(self) -> None:
        if self._open and self._freed is not None:
            self._freed(self, 0, self._clock())

    def _number_answered(self, datagram: bytes) -> int:
        if self._expect != "any":
            return number_answered(self._expect, self._messages, datagram)
        for number in islice(self._times, 1):
            return number
        raise ValueError

    def _came_too_often_or_late(self, number: int) -> None:
        if number in self._given_up:
            self._unlose(number)
            self._tally.late += 1
        elif number in self._answered:
            self._tally.duplicated += 1
        else:
            self._tally.unexpected += 1

    def _unlose(self, number: int) -> None:
        del self._given_up[number]
        _remember(self._answered, number)
        self._tally.lost -= 1


def _remember(numbers: OrderedDict[int, None], number: int) -> None:
    numbers[number] = None
    if len(numbers) > REMEMBERED:
        numbers.popitem(last=False)
