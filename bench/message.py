"""
What does one message cost?

Processor time per message of 64 bytes on 64 connections with one message under way each: netsvc's timestamp
as it is by default, beside time-stamping echoes that are nothing else, on Twisted and on asyncio. To know
where we stand; there is no bound.
"""

from __future__ import annotations

from bench.load import ClosedLoop
from bench.report import ratios, table
from bench.servers import cpu_seconds, netsvc, peer

CONNECTIONS, MESSAGES, ROUNDS = 64, 20_000, 11


def main() -> bool:
    """Measure and print."""
    cost: dict[str, list[float]] = {}
    with (
        netsvc("--timestamp=127.0.0.1:0") as daemon,
        peer("twisted") as (twisted, twisted_port),
        peer("asyncio") as (asyncio, asyncio_port),
        ClosedLoop(daemon.port("timestamp"), CONNECTIONS) as ours,
        ClosedLoop(twisted_port, CONNECTIONS) as on_twisted,
        ClosedLoop(asyncio_port, CONNECTIONS) as on_asyncio,
    ):
        servers = {
            "netsvc": (daemon.process.pid, ours),
            "bare Twisted": (twisted, on_twisted),
            "bare asyncio": (asyncio, on_asyncio),
        }
        for number in range(ROUNDS + 1):
            for name, (pid, load) in servers.items():
                before = cpu_seconds(pid)
                load.run(MESSAGES)
                if number:
                    cost.setdefault(name, []).append(1e6 * (cpu_seconds(pid) - before) / MESSAGES)
    table("processor time per message", "µs", cost)
    beside = {f"netsvc / {name}": ratios(cost["netsvc"], cost[name]) for name in list(cost)[1:]}
    table("the same, round by round", "times", beside)
    return True
