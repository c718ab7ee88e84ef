"""
Does echo get slower when somebody looks at the page?

Echo answers 10,000 messages a second, which are 20,000 facts, while the page at / is open in a real browser
and while it is not, in turns. The browser is on the load's core and gives way to the load there, and as root
the daemon and the load come before everything else: what is measured is what the page costs the daemon, not
what it costs to draw it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from bench import compiled
from bench.figures import ratios
from bench.generator import Load
from bench.report import bound, say, table
from bench.servers import netsvc
from bench.system import LOAD_CORE, SERVER_CORE, in_real_time, on_core, preferred, seconds_taken, tree
from tests.browser.chromium import PROGRAM, Chromium
from tests.live.daemon import Daemon

#: Messages a second, on so many connections; each is a fact when it comes and another when it goes.
RATE, CONNECTIONS = 10_000, 64

#: Seconds of one measurement, and rounds, each of which measures with the page open and with it closed.
SECONDS, ROUNDS = 1.5, 9

#: Seconds of load before the first one: until the timeline is full, as it is after a while.
WARM = 2.5

#: How much longer the slowest hundredth of the messages may take while the page is open.
MOST = 1.5

#: The niceness that gives way to everybody.
_LAST = 19

_OPEN, _CLOSED = "page open", "page closed"

#: What the page says of the facts that it was told of in the last seconds.
_STATUS = "document.querySelector('#facts-status').innerText.match(/^([0-9,.]+) facts .* in samples$/)?.[1]"


def main() -> bool:
    """Measure and print; gives whether the bound holds."""
    if compiled.load() is None or shutil.which(PROGRAM) is None:
        say(f"\nnot measured: echo while the page is open, which needs a C compiler and {PROGRAM}")
        return False
    figures: dict[str, dict[str, list[float]]] = {
        key: {_OPEN: [], _CLOSED: []} for key in ("p50", "p99", "cpu")
    }
    seen: list[float] = []
    with _running() as (daemon, browser, load):
        for number in range(ROUNDS):
            # Each is first in every other round, so that neither has the better place.
            for which in (_OPEN, _CLOSED) if number % 2 else (_CLOSED, _OPEN):
                if which == _OPEN:
                    found, facts = _watched(daemon, browser, load)
                    seen.append(facts)
                else:
                    found = _measured(daemon, load)
                for key, value in found.items():
                    figures[key][which].append(value)
    for key in ("p50", "p99"):
        table(f"message to answer at {RATE:,} a second, {key}", "µs", figures[key])
    table("the daemon's processor time for a message", "µs", figures["cpu"])
    times = {f"{key}, open / closed": ratios(of[_OPEN], of[_CLOSED]) for key, of in figures.items()}
    table("the same, round by round", "times", times)
    # Far fewer than there were: the browser had no core to run on, and nobody watched.
    table(f"facts that the page was told of, of {2 * RATE:,} a second", "a second", {_OPEN: seen})
    return bound("median of the ratios of p99", median(times["p99, open / closed"]), MOST)


@contextmanager
def _running() -> Iterator[tuple[Daemon, Chromium, Load]]:
    """The daemon on a core of its own, a browser and the load on the other."""
    with ExitStack() as stack:
        with preferred(SERVER_CORE):
            daemon = stack.enter_context(netsvc("--echo=tcp://127.0.0.1:0", "--web=tcp://127.0.0.1:0"))
        profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        with on_core(LOAD_CORE):
            browser = Chromium(Path(profile))
        stack.callback(browser.stop)
        options = {"connections": CONNECTIONS, "rate": RATE, "seconds": SECONDS, "warm": WARM, "rest": True}
        load = stack.enter_context(Load("tcp", LOAD_CORE, port=daemon.port("echo"), **options))
        for pid in (daemon.process.pid, load.pid):
            in_real_time(pid)
        yield daemon, browser, load


def _watched(daemon: Daemon, browser: Chromium, load: Load) -> tuple[dict[str, float], float]:
    """
    Measure while the page is open.

    @return: the figures, and how many facts a second the page says there were.
    @raise AssertionError: it says nothing of that kind, so that nobody watched.
    """
    with browser.tab(f"http://127.0.0.1:{daemon.port('web')}/") as tab:
        tab.wait_for("document.querySelector('#state').dataset.state === 'live'")
        _give_way(browser)
        found = _measured(daemon, load)
        return found, float(tab.wait_for(_STATUS).replace(",", ""))


def _measured(daemon: Daemon, load: Load) -> dict[str, float]:
    """Measure, once the same load has run for as long already."""
    load.measure()
    before = seconds_taken(daemon.process.pid)
    found = load.measure()
    taken = seconds_taken(daemon.process.pid) - before
    if found["errors"]:
        raise RuntimeError(f"{found['errors']} of {found['count']} answers were wrong")
    return {"p50": found["p50"] / 1e3, "p99": found["p99"] / 1e3, "cpu": 1e6 * taken / found["count"]}


def _give_way(browser: Chromium) -> None:
    """Let the browser's threads come after all others."""
    for pid in tree(browser.process.pid):
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), _LAST)
