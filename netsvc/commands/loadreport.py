"""What a run of a load has shown: as lines for people, with a plot of the latencies, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from netsvc.commands.loadmessage import DIGITS, Differs
from netsvc.commands.loadplan import Plan
from netsvc.commands.loadtally import Latencies, Tally

#: From this part of a core on, more of the latency is this process's than one would like to know.
BUSY = 0.9

#: Microseconds after their time that one in a hundred messages may leave, before it is worth a line.
LATE = 1000

PERCENTILES = (50, 90, 99, 99.9)

#: Rows and columns of the plot.
_ROWS, _COLUMNS = 16, 40

#: Bytes of a wrong answer, and of the right one, that are shown.
_SHOWN = 40


@dataclass(frozen=True)
class Result:
    """
    A run and what it was.

    @ivar plan: what was asked for.
    @ivar elapsed: seconds, see `netsvc.commands.loadrun.Run`.
    @ivar busy: see there.
    @ivar unsent: messages whose time had come and that could not leave.
    @ivar dropped: datagrams that this machine dropped because this process did not read them in time.
    @ivar tally: the counts.
    """

    plan: Plan
    elapsed: float
    busy: float
    unsent: int
    dropped: int
    tally: Tally

    @property
    def answered(self) -> int:
        """Messages that were answered, and in time."""
        return self.tally.latencies.count

    @property
    def unanswered(self) -> int:
        """Messages on streams that were neither answered nor answered wrongly."""
        return max(self.tally.sent - self.answered - self.tally.differing, 0)

    @property
    def per_second(self) -> float:
        """Answered messages a second."""
        return self.answered / self.elapsed if self.elapsed else 0.0

    @property
    def bytes_sent(self) -> int:
        """Bytes of the messages that left."""
        return self.tally.sent * self.plan.size

    @property
    def client_was_the_limit(self) -> bool:
        """Whether this process could hardly do more, so that the server may be faster than it seems."""
        return self.busy >= BUSY


def faults(result: Result) -> list[str]:
    """What went wrong, a line for each; without any, the load did what it should."""
    tally = result.tally
    lines = []
    if tally.differing:
        answers = "answer differs" if tally.differing == 1 else "answers differ"
        lines.append(f"{tally.differing} {answers} from what was sent{_first(tally.difference)}")
    if tally.unasked:
        ended = f"{tally.unasked} of {result.plan.connections} connections were ended"
        lines.append(f"{ended}: {_some(tally.first_unasked, 0)} came where nothing had been asked")
    for reason, count in tally.broken.most_common():
        lines.append(f"{count} of {result.plan.connections} connections were lost: {reason}")
    if not result.answered:
        said = ": nobody receives there" if tally.refused else ""
        lines.append(f"{result.plan.address}: none of {tally.sent} messages was answered{said}")
    elif tally.refused:
        lines.append(f"{result.plan.address}: {_gone(tally)}")
    elif not result.plan.address.is_datagram and result.unanswered and not tally.broken:
        lines.append(f"{result.unanswered} of {tally.sent} messages were not answered")
    if result.unsent and result.answered:
        lines.append(f"{result.unsent} messages could not leave: the server does not take that many")
    return lines


def as_text(result: Result, blocks: bool) -> Iterator[str]:
    """
    The report, line by line, without what `faults` says.

    @param blocks: whether block characters can be shown.
    """
    tally, latencies = result.tally, result.tally.latencies
    yield _what(result)
    yield (
        f"answered   {latencies.count:,} of {tally.sent:,} in {result.elapsed:.2f} s: "
        f"{result.per_second:,.0f} messages/s, {_bytes_a_second(result, result.bytes_sent)} sent, "
        f"{_bytes_a_second(result, tally.received)} received"
    )
    if result.plan.address.is_datagram:
        yield _datagrams(result)
    if latencies.count:
        yield f"latency    {_times(latencies)}"
        yield from _plot(latencies.recorded(), blocks)
    yield from _remarks(result)


def as_json(result: Result) -> dict[str, Any]:
    """The report, for programs; times in microseconds."""
    tally = result.tally
    found: dict[str, Any] = {
        "address": str(result.plan.address),
        "connections": result.plan.connections,
        "depth": result.plan.depth,
        "rate": result.plan.rate,
        "size": result.plan.size,
        "expect": result.plan.expect,
        "seconds": round(result.elapsed, 6),
        "sent": tally.sent,
        "answered": result.answered,
        "unsent": result.unsent,
        "differing": tally.differing,
        "broken": dict(tally.broken),
        "messages_per_second": round(result.per_second, 1),
        "bytes_sent": result.bytes_sent,
        "bytes_received": tally.received,
        "latency_us": _summary(tally.latencies),
        "client": {"busy": round(result.busy, 3), "was_the_limit": result.client_was_the_limit},
        "faults": faults(result),
        "distribution_us": tally.latencies.recorded(),
    }
    if result.plan.address.is_datagram:
        for name in ("lost", "late", "duplicated", "reordered", "unexpected", "refused"):
            found[name] = getattr(tally, name)
        found["dropped_by_client"] = result.dropped
    else:
        found["unanswered"] = result.unanswered
        found["unasked"] = tally.unasked
    if result.plan.rate is not None:
        found["left_late_us"] = _summary(tally.lateness)
    if tally.difference is not None:
        # Bytes that are no text are escaped as in a Python literal.
        found["first_difference"] = {
            "expected": repr(tally.difference.expected)[1:],
            "came": repr(tally.difference.came)[1:],
        }
    return found


def duration(microseconds: float) -> str:
    """A time with a unit that fits it, three digits of it being exact."""
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds >= size:
            return f"{_three_digits(microseconds / size)} {unit}"
    return f"{microseconds:.0f} µs"


def bins(recorded: list[tuple[int, int]], number: int) -> list[tuple[int, int]]:
    """
    Gather latencies in bins, each as much longer than the one before as all others are.

    @param recorded: latencies from 1 on and how often each occurred, shortest first.
    @param number: of bins, at most.
    @return: for each bin the longest latency that belongs to it, and how many do.
    """
    first, last = recorded[0][0], recorded[-1][0]
    factor = (last / first) ** (1 / number)
    gathered: list[tuple[int, int]] = []
    rest = iter(recorded)
    latency, count = next(rest)
    for step in range(1, number + 1):
        edge = last if step == number else math.floor(first * factor**step)
        if gathered and edge == gathered[-1][0]:
            continue
        inside = 0
        while count and latency <= edge:
            inside += count
            latency, count = next(rest, (0, 0))
        gathered.append((edge, inside))
        if not count:
            break
    return gathered


def _what(result: Result) -> str:
    kind = "socket" if result.plan.address.is_datagram else "connection"
    flows = f"{result.plan.connections} {kind}{'s' * (result.plan.connections != 1)}"
    if result.plan.rate is None:
        course = f"closed loop of {result.plan.depth} on each"
    else:
        course = f"{result.plan.rate:,.15g} messages/s"
    return f"{result.plan.address}: {flows}, {course}, {result.plan.size} bytes"


def _datagrams(result: Result) -> str:
    tally = result.tally
    text = (
        f"datagrams  lost {tally.lost:,} ({tally.lost / max(tally.sent, 1):.2%}), late {tally.late:,}, "
        f"duplicated {tally.duplicated:,}, reordered {tally.reordered:,}"
    )
    if tally.unexpected:
        text += f", unexpected {tally.unexpected:,}"
    return text


def _times(latencies: Latencies) -> str:
    shown = [f"p{percent:g} {duration(latencies.percentile(percent))}" for percent in PERCENTILES]
    return ", ".join([*shown, f"max {duration(latencies.most())}", f"mean {duration(latencies.mean())}"])


def _plot(recorded: list[tuple[int, int]], blocks: bool) -> Iterator[str]:
    rows = bins(recorded, _ROWS)
    most = max(count for _, count in rows)
    total = sum(count for _, count in rows)
    so_far = 0
    yield "           up to      messages  so far"
    for latency, count in rows:
        so_far += count
        bar = _bar(count / most, blocks)
        yield f"  {duration(latency):>14}  {count:>12,} {_part(so_far / total):>7}  {bar}".rstrip()


def _bar(part: float, blocks: bool) -> str:
    if not blocks:
        return "#" * math.ceil(part * _COLUMNS)
    eighths = math.ceil(part * _COLUMNS * 8)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8]).strip()


def _part(part: float) -> str:
    # What is not all must not be shown as all.
    return "100 %" if part == 1 else f"{math.floor(part * 1000) / 10:.1f} %"


def _remarks(result: Result) -> Iterator[str]:
    lateness = result.tally.lateness
    if result.client_was_the_limit:
        yield (
            f"The client was the limit: it used {result.busy:.0%} of a processor core. "
            "The server may be faster than this."
        )
    if lateness.percentile(99) >= LATE:
        yield (
            f"Messages left later than they should, the client being the reason (p99 "
            f"{duration(lateness.percentile(99))}, max {duration(lateness.most())}); latencies contain that."
        )
    if result.dropped:
        yield f"{result.dropped:,} answers were dropped here, because the client did not read them in time."


def _summary(latencies: Latencies) -> dict[str, float]:
    shown: dict[str, float] = {f"p{percent:g}": latencies.percentile(percent) for percent in PERCENTILES}
    return {
        "min": latencies.least(),
        "mean": round(latencies.mean(), 1),
        **shown,
        "max": latencies.most(),
    }


def _gone(tally: Tally) -> str:
    times = f"({tally.refused} datagrams were refused)"
    if tally.last_refused > tally.last:
        return f"nobody receives there any more {times}"
    return f"for a time nobody received there {times}"


def _first(difference: Differs | None) -> str:
    if difference is None:
        return ""
    expected, came = difference.expected, difference.came
    # Behind what stands before the message, if anything can and it is found.
    begin = max(came.find(expected[:DIGITS]), 0) if len(came) > len(expected) else 0
    same = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(came[begin:], expected, strict=False))
    )
    return f"; the first from byte {same} on: {_some(came, begin + same)} for {_some(expected, same)}"


def _some(data: bytes, place: int) -> str:
    """A few bytes, from a place that matters on."""
    return repr(data[place : place + _SHOWN]) + " and more" * (len(data) > place + _SHOWN)


def _bytes_a_second(result: Result, total: int) -> str:
    number = total / result.elapsed if result.elapsed else 0.0
    for unit, size in (("GB/s", 1e9), ("MB/s", 1e6), ("kB/s", 1e3)):
        if number >= size:
            return f"{_three_digits(number / size)} {unit}"
    return f"{number:.0f} B/s"


def _three_digits(number: float) -> str:
    return f"{number:.{max(0, 2 - math.floor(math.log10(number)))}f}" if number < 1000 else f"{number:.0f}"
