"""``netsvc bench``: puts load on a service and measures the answers."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import click

from netsvc.commands.address import AddressType
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.loadcourse import ClosedLoop, Course, FineTimer, FixedRate
from netsvc.commands.loaddatagrams import DatagramFlow
from netsvc.commands.loadopen import open_datagrams, open_streams
from netsvc.commands.loadplan import DEPTH_AT_RATE, SECONDS, Asked, Plan, plan
from netsvc.commands.loadprogress import Progress
from netsvc.commands.loadreport import Result, as_json, as_text, faults
from netsvc.commands.loadrun import Run
from netsvc.commands.loadstream import Flow
from netsvc.commands.loadtally import Tally
from netsvc.commands.positive import Positive
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line

#: The lowest rate: a message in eleven days.
SLOWEST = 1e-6


@click.command("bench")
@click.argument("address", type=AddressType())
@click.option(
    "-c",
    "--connections",
    type=click.IntRange(1, 60000),
    default=10,
    show_default=True,
    help="Connections, or sockets for datagrams.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 1_000_000),
    help=f"Messages that may wait for an answer on each. [default: 1; with --rate {DEPTH_AT_RATE}]",
)
@click.option(
    "--rate",
    type=Positive(1e7, SLOWEST),
    help="Messages a second over all connections, sent at their times whatever comes back.",
)
@click.option("--seconds", type=Positive(), help=f"How long. [default: {SECONDS:g}]")
@click.option("--count", type=click.IntRange(1), help="How many messages.")
@click.option(
    "--size", type=click.IntRange(1, 1 << 24), default=64, show_default=True, help="Bytes of each message."
)
@click.option(
    "--expect",
    type=click.Choice(["suffix", "echo", "any"]),
    default="suffix",
    show_default=True,
    help="An answer ends with what was sent, is what was sent, or is anything.",
)
@click.option(
    "--timeout",
    type=Positive(3600),
    help="Seconds after which a datagram is lost, or a silent server given up. [default: 1 or 5]",
)
@click.option("--json", "as_json_", is_flag=True, help="Print the report as JSON.")
@tls_options
def command(tls: TLSOptions, as_json_: bool, **options: Any) -> None:
    """
    Put load on a service and measure its answers.

    Without --rate each connection sends a message when it has the answer to the one before. With --rate
    messages leave at their times, and latencies count from those. Exit status 1: nothing was answered,
    answers differ from what was sent or came unasked, connections were lost, or a server of datagrams went
    away. Lost datagrams are a result.
    """
    planned = plan(Asked(tls=tls, **options))
    run(lambda reactor: bench(reactor, planned, _print_json if as_json_ else _print_text))


async def bench(reactor: Any, planned: Plan, report: Callable[[Result], None]) -> None:
    """
    Open the flows, run, report.

    @param report: prints the result, also of a run that was cancelled.
    @raise NotDone: something of it is a fault.
    """
    tally = Tally()
    flows, sockets = await _open(reactor, planned, tally)
    progress = Progress(tally, planned.seconds, planned.count)
    dropped = 0

    def look(seconds: float) -> None:
        nonlocal dropped
        dropped = sum(flow.dropped() for flow in sockets)
        progress.show(seconds)

    # A collection that looks through all that was imported would be a latency of ours.
    gc.collect()
    gc.freeze()
    with FineTimer(reactor) as timer, progress:
        course = _course(planned, tally, timer)
        running = Run(reactor, flows, course, tally, planned.patience, look)
        try:
            await running.go(planned.seconds)
        finally:
            progress.close()
            result = Result(planned, running.elapsed, running.busy or 0.0, course.unsent(), dropped, tally)
            report(result)
    if wrong := faults(result):
        for line in wrong[:-1]:
            complain(line)
        raise NotDone(wrong[-1])


async def _open(reactor: Any, planned: Plan, tally: Tally) -> tuple[Sequence[Flow], Sequence[DatagramFlow]]:
    """All flows, and those of them that are sockets for datagrams."""
    if not planned.address.is_datagram:
        return await open_streams(reactor, planned, tally), []
    sockets = await open_datagrams(reactor, planned, tally)
    return sockets, sockets


def _course(planned: Plan, tally: Tally, timer: FineTimer) -> Course:
    if planned.rate is None:
        return ClosedLoop(planned.count)
    assert planned.count is not None
    return FixedRate(planned.rate, planned.count, tally, perf_counter_ns, timer.call_later)


def _print_text(result: Result) -> None:
    blocks = sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf")
    for line in as_text(result, blocks):
        write_line(line)


def _print_json(result: Result) -> None:
    write_line(json.dumps(as_json(result)))
