"""One connection of a load: sends messages when it is told to, and matches what comes to them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol

from zope.interface import implementer

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from netsvc.commands.dialing import reason_of
from netsvc.commands.loadmessage import Answers, Differs, Messages, answers_in_stream
from netsvc.commands.loadtally import Tally


class Flow(Protocol):
    """One connection, or one socket for datagrams."""

    def place(self, first: int, step: int, freed: Freed) -> None:
        """
        Give it its part in the load; before anything is sent.

        @param first: the number of its first message.
        @param step: from each of its messages to the next; so no two flows send the same.
        @param freed: is told of each answer.
        """

    def send(self, times: list[int]) -> None:
        """
        Send the next messages, no more than there is room for.

        @param times: when each should leave, in nanoseconds of the load's clock; latencies count from there.
        """

    def room(self) -> int:
        """How many messages may leave now."""

    def under_way(self) -> int:
        """How many messages wait for an answer that can still come."""

    def alive(self) -> bool:
        """Whether anything can still be sent or come."""

    def expire(self, now: int) -> None:
        """Give up what has waited too long, where that is known to be lost."""

    def judge(self) -> None:
        """Nothing more comes, however long one waits: count what came and is the begin of no answer."""

    def finish(self) -> None:
        """End it: count what is left as lost, where that is known, and close."""


#: Called with a flow, how many messages of it have been answered, and the time.
Freed = Callable[[Flow, int, int], None]


@implementer(IPushProducer)
class StreamFlow(StreamProtocol):
    """See `Flow`."""

    transport: Any

    def __init__(
        self,
        messages: Messages,
        depth: int,
        expect: str,
        tally: Tally,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """
        @param messages: what to send.
        @param depth: messages that may wait for an answer.
        @param expect: see `answers_in_stream`.
        @param tally: where to count.
        @param clock: nanoseconds.
        """
        self._messages = messages
        self._depth = depth
        self._expect = expect
        self._tally = tally
        self._clock = clock
        self._times: deque[int] = deque()
        self._open = True
        self._paused = False
        self._number = self._step = 0
        self._answers: Answers
        self._freed: Freed | None = None

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    def place(self, first: int, step: int, freed: Freed) -> None:
        self._number, self._step, self._freed = first, step, freed
        make = self._messages.make
        self._answers = answers_in_stream(
            self._expect, lambda number: make(first + number * step), self._depth
        )

    def send(self, times: list[int]) -> None:
        self._times += times
        self._tally.sent += len(times)
        if len(times) == 1:
            data = self._messages.make(self._number)
            self._number += self._step
        else:
            data = b"".join(self._make_next() for _ in times)
        self._write(data)

    def room(self) -> int:
        return self._depth - len(self._times) if self._open and not self._paused else 0

    def under_way(self) -> int:
        return len(self._times) if self._open else 0

    def alive(self) -> bool:
        return self._open

    def expire(self, now: int) -> None:
        """A stream loses nothing but all."""

    def judge(self) -> None:
        if self._open and self._times and (rest := self._answers.rest()):
            self._tally.differs(Differs(self._messages.make(self._number_waited_for()), rest))

    def finish(self) -> None:
        if self._open:
            self._open = False
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        now = self._clock()
        if not self._open:
            return
        self._tally.received += len(data)
        self._tally.last = now
        times = self._times
        if self._freed is None:
            self._end_unasked(data)
            return
        try:
            answered = self._answers.feed(data)
        except Differs as difference:
            if times:
                self._tally.differs(difference)
                self.finish()
            else:
                self._end_unasked(data)
            return
        asked = min(answered, len(times))
        if asked == 1:
            self._tally.latencies.fresh.append(now - times.popleft())
        elif asked:
            self._tally.latencies.fresh += [now - times.popleft() for _ in range(asked)]
        if answered > asked:
            self._end_unasked(data)
        elif asked:
            self._freed(self, asked, now)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._open:
            self._open = False
            self._tally.broken[reason_of(reason)] += 1

    def pauseProducing(self) -> None:
        """The server does not read: no more until it does."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._paused = False
        if self._freed is not None:
            self._freed(self, 0, self._clock())

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self._paused = True

    def _write(self, data: bytes) -> None:
        self.transport.write(data)

    def _end_unasked(self, data: bytes) -> None:
        self._tally.unasked += 1
        self._tally.first_unasked = self._tally.first_unasked or data
        self.finish()

    def _make_next(self) -> bytes:
        data = self._messages.make(self._number)
        self._number += self._step
        return data

    def _number_waited_for(self) -> int:
        return self._number - len(self._times) * self._step


class DirectStreamFlow(StreamFlow):
    """
    The same over a plain socket's transport, which has Twisted's ``writeSomeData``: tried first, it saves a
    turn of the reactor for each message.
    """

    _direct = True

    def _write(self, data: bytes) -> None:
        if self._direct:
            sent = self.transport.writeSomeData(data)
            if sent == len(data):
                return
            # From now on what does not fit waits in the transport, and must not be overtaken.
            self._direct = False
            data = data[sent:] if isinstance(sent, int) else data
        self.transport.write(data)
