"""What a load has counted: latencies in an HDR histogram, and all that went another way than it should."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from netsvc.commands.loadmessage import Differs

#: The longest latency that is told from longer ones, in microseconds: an hour.
LONGEST = 3_600_000_000

#: Digits of a latency that are kept, whatever its size.
_SIGNIFICANT = 3


class Latencies:
    """
    How long things took, to three digits, in memory that does not grow with their number.

    @ivar fresh: nanoseconds, to be appended to; `settle` empties it.
    """

    def __init__(self) -> None:
        self.fresh: list[int] = []
        self._histogram = HdrHistogram(1, LONGEST, _SIGNIFICANT)
        self._total = 0

    def settle(self) -> None:
        """Count what is fresh. Many at once cost less than each by itself."""
        self._total += sum(self.fresh)
        for microseconds, count in Counter([value // 1000 for value in self.fresh]).items():
            self._histogram.record_value(min(max(microseconds, 1), LONGEST), count)
        self.fresh.clear()

    @property
    def count(self) -> int:
        """How many were counted."""
        return int(self._histogram.get_total_count())

    def percentile(self, percent: float) -> int:
        """The microseconds that so many per cent took at most; 0 without any."""
        return int(self._histogram.get_value_at_percentile(percent)) if self.count else 0

    def mean(self) -> float:
        """Microseconds on average; 0 without any."""
        return self._total / 1000 / self.count if self.count else 0.0

    def least(self) -> int:
        """The shortest, in microseconds; 0 without any."""
        return int(self._histogram.get_min_value()) if self.count else 0

    def most(self) -> int:
        """The longest, in microseconds; 0 without any."""
        return int(self._histogram.get_max_value()) if self.count else 0

    def recorded(self) -> list[tuple[int, int]]:
        """Each latency that occurred, in microseconds, and how often; shortest first."""
        return [
            (int(item.value_iterated_to), int(item.count_added_in_this_iter_step))
            for item in self._histogram.get_recorded_iterator()
        ]


@dataclass
class Tally:
    """
    The counts of one run, over all its flows.

    @ivar latencies: of answers, from when the message was sent, or at a fixed rate should have been.
    @ivar lateness: at a fixed rate, how long after its time a message left, the client being the reason.
    @ivar sent: messages.
    @ivar received: bytes that came.
    @ivar last: when something last came, in nanoseconds of the load's clock; 0 if nothing did.
    @ivar lost: datagrams without an answer in time.
    @ivar late: answers to datagrams that came when they had been counted as lost; they are not lost, then.
    @ivar duplicated: answers that came once more.
    @ivar reordered: answers with a number below one that came before (RFC 4737 section 3.3).
    @ivar unexpected: datagrams that answer nothing.
    @ivar unasked: connections that were ended because more came than had been asked for.
    @ivar first_unasked: what came on the first of those.
    @ivar differing: answers that are not what was sent.
    @ivar difference: the first of those.
    @ivar refused: how often the system said that nobody receives our datagrams.
    @ivar last_refused: when it last did, as `last`.
    @ivar broken: connections that were lost before the end, with the reasons and how often each.
    """

    latencies: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    sent: int = 0
    received: int = 0
    last: int = 0
    lost: int = 0
    late: int = 0
    duplicated: int = 0
    reordered: int = 0
    unexpected: int = 0
    unasked: int = 0
    first_unasked: bytes = b""
    differing: int = 0
    difference: Differs | None = None
    refused: int = 0
    last_refused: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    def differs(self, difference: Differs) -> None:
        """Count an answer that is not what was sent."""
        self.differing += 1
        self.difference = self.difference or difference
