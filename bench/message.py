"""
What does one message cost?

Processor time per message of 64 bytes on 64 connections: netsvc's timestamp as it is by default, beside
time-stamping echoes that are nothing else, on Twisted and on asyncio. In volleys, where a message on every
connection waits for the server, and singly, where the server sleeps and wakes for nearly every one. To know
where we stand; there is no bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.figures import ratios
from bench.load import ClosedLoop
from bench.report import table
from bench.servers import cpu_seconds, netsvc, peer

CONNECTIONS, VOLLEYS, ROUNDS = 64, 300, 11


def main() -> bool:
    """Measure and print."""
    with (
        netsvc("--timestamp=127.0.0.1:0") as daemon,
        peer("twisted_stock", "timestamp") as (twisted, twisted_port),
        peer("asyncio_protocol", "timestamp") as (asyncio, asyncio_port),
        ClosedLoop(daemon.port("timestamp"), CONNECTIONS) as ours,
        ClosedLoop(twisted_port, CONNECTIONS) as on_twisted,
        ClosedLoop(asyncio_port, CONNECTIONS) as on_asyncio,
    ):
        servers = {
            "netsvc": (daemon.process.pid, ours),
            "bare Twisted": (twisted, on_twisted),
            "bare asyncio": (asyncio, on_asyncio),
        }
        _compare("in volleys", servers, lambda load: load.volleys(VOLLEYS))
        _compare("singly", servers, lambda load: load.run(CONNECTIONS * VOLLEYS))
    return True


def _compare(
    how: str, servers: Mapping[str, tuple[int, ClosedLoop]], run: Callable[[ClosedLoop], object]
) -> None:
    cost: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(ROUNDS + 1):
        for name, (pid, load) in servers.items():
            before = cpu_seconds(pid)
            run(load)
            # The first round warms up.
            if number:
                cost[name].append(1e6 * (cpu_seconds(pid) - before) / (CONNECTIONS * VOLLEYS))
    table(f"processor time per message, {how}", "µs", cost)
    ours = cost.pop("netsvc")
    table(
        "the same, round by round", "times", {f"netsvc / {name}": ratios(ours, cost[name]) for name in cost}
    )
