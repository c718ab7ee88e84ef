"""How a daemon's memory and descriptors go over time, and how late its loop was."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from tests.live.daemon import PATIENCE, Daemon

#: Seconds between two looks.
INTERVAL = 1.0

_HOUR = 3600.0
_MIB = 1 << 20

#: Windows into which the last half is divided; the least memory in each is what is held and not only passing.
_WINDOWS = 12


@dataclass
class Course:
    """
    Looks at one process.

    @ivar samples: seconds since the begin, bytes resident, descriptors.
    """

    daemon: Daemon
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        began = time.monotonic()
        while not stop.wait(INTERVAL):
            self.samples.append((time.monotonic() - began, self.daemon.memory(), self.daemon.descriptors()))

    def slope(self) -> float:
        """
        How memory grew in the last half, in MiB an hour.

        It is the median of the slopes between any two of the windows that the half is divided into (Theil and
        Sen), by the least memory in each.
        """
        last = self.samples[len(self.samples) // 2 :]
        size = max(1, len(last) // _WINDOWS)
        windows = [last[begin : begin + size] for begin in range(0, size * (len(last) // size), size)]
        points = [(window[len(window) // 2][0], min(memory for _, memory, _ in window)) for window in windows]
        return theil_sen(points) * _HOUR / _MIB

    def most(self) -> tuple[float, int]:
        """The most memory, in MiB, and the most descriptors."""
        return max(one[1] for one in self.samples) / _MIB, max(one[2] for one in self.samples)

    def write(self, path: Path) -> None:
        """Write the samples as a table, for a look at them."""
        lines = (f"{seconds:.1f}\t{memory}\t{descriptors}\n" for seconds, memory, descriptors in self.samples)
        path.write_text("seconds\tresident bytes\tdescriptors\n" + "".join(lines))


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between any two points; 0 where there are fewer than two."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(points)
        for later in points[index + 1 :]
    ]
    return median(slopes) if slopes else 0.0


def metrics(web: int) -> Mapping[str, float]:
    """The daemon's metrics, by the name with its labels as the text has them."""
    text = asked(web, "/metrics").decode()
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.M)}


def asked(web: int, path: str) -> bytes:
    """What the web service answers to a GET."""
    connection = HTTPConnection("127.0.0.1", web, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def latest(found: Mapping[str, float]) -> str:
    """How late the loop was, in words: the share of looks in each bucket that has any, the last ones."""
    buckets = [
        (name.partition('le="')[2].partition('"')[0], count)
        for name, count in found.items()
        if name.startswith("netsvc_loop_lag_seconds_bucket")
    ]
    total = buckets[-1][1] if buckets else 0.0
    worst = next((bound for bound, count in buckets if count == total), "?")
    within = next((bound for bound, count in buckets if count >= 0.99 * total), "?")
    return f"99 % within {within} s, the worst within {worst} s, of {total:,.0f} looks"
