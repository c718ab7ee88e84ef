"""``netsvc bench``: puts load on a service and measures the answers."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import click

from netsvc.commands.address import Address, AddressType
from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.loadcourse import ClosedLoop, Course, FineTimer, FixedRate
from netsvc.commands.loaddatagrams import LONGEST_DATAGRAM, DatagramFlow
from netsvc.commands.loadmessage import SHORTEST, Messages
from netsvc.commands.loadopen import open_datagrams, open_streams
from netsvc.commands.loadprogress import Progress
from netsvc.commands.loadreport import Result, as_json, as_text, faults
from netsvc.commands.loadrun import Run
from netsvc.commands.loadstream import Flow
from netsvc.commands.loadtally import Tally
from netsvc.commands.running import run
from netsvc.commands.standard_output import write_line

#: Seconds that a run takes if nothing else was said.
SECONDS = 10.0

#: Messages that may wait on each connection at a fixed rate: more than a server that keeps up ever lets wait.
DEPTH_AT_RATE = 1024

#: Seconds after which a server is given up that answers no datagram at all.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Plan:
    """
    What the user asked for, complete.

    @ivar seconds: None if a count or a rate says when it is over.
    @ivar count: None if the time says when it is over.
    """

    address: Address
    tls: TLSOptions
    connections: int
    depth: int
    rate: float | None
    seconds: float | None
    count: int | None
    size: int
    expect: str
    timeout: float


def plan(
    address: Address,
    tls: TLSOptions,
    connections: int,
    depth: int | None,
    rate: float | None,
    seconds: float | None,
    count: int | None,
    size: int,
    expect: str,
    timeout: float | None,
) -> Plan:
    """
    Complete what the user said.

    @raise click.UsageError: it does not fit together.
    """
    datagrams = address.is_datagram
    timeout = timeout or (1.0 if datagrams else 5.0)
    if datagrams and not SHORTEST <= size <= LONGEST_DATAGRAM:
        raise click.UsageError(
            f"--size is {SHORTEST} to {LONGEST_DATAGRAM} for datagrams, so that each has a number and fits"
        )
    if depth is None:
        depth = 1
        if rate is not None and expect != "any":
            # What is lost is known after the timeout; until then it must not keep others from leaving.
            depth = max(DEPTH_AT_RATE, round(2 * rate * timeout) if datagrams else 0)
    if depth > 1 and not datagrams:
        if expect == "any":
            raise click.UsageError("--expect any takes each piece for an answer, so --depth is 1")
        if expect == "suffix" and size < SHORTEST:
            raise click.UsageError(
                f"--size below {SHORTEST} needs --expect echo or --depth 1: so short a message could be "
                "found in what stands before it"
            )
    if seconds is None and count is None:
        seconds = SECONDS
    if rate is not None:
        # At a rate the time is a number of messages.
        total = None if seconds is None else max(1, round(rate * seconds))
        count = min(number for number in (count, total) if number is not None)
        seconds = None
    return Plan(address, tls, connections, depth, rate, seconds, count, size, expect, timeout)


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
    type=click.FloatRange(0, 1e7, min_open=True),
    help="Messages a second over all connections, sent at their times whatever comes back.",
)
@click.option(
    "--seconds", type=click.FloatRange(0, 1e6, min_open=True), help=f"How long. [default: {SECONDS:g}]"
)
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
    type=click.FloatRange(0, 3600, min_open=True),
    help="Seconds after which a datagram is lost, or a silent server given up. [default: 1 or 5]",
)
@click.option("--json", "as_json_", is_flag=True, help="Print the report as JSON.")
@tls_options
def command(tls: TLSOptions, as_json_: bool, **options: Any) -> None:
    """
    Put load on a service and measure its answers.

    Without --rate each connection sends a message when it has the answer to the one before. With --rate
    messages leave at their times, and latencies count from those. Exit status 1: nothing was answered,
    answers differ from what was sent, or connections were lost. Lost datagrams are a result.
    """
    planned = plan(tls=tls, **options)
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

    patience = max(_PATIENCE, 3 * planned.timeout) if planned.address.is_datagram else planned.timeout
    # A collection that looks through all that was imported would be a latency of ours.
    gc.collect()
    gc.freeze()
    with FineTimer(reactor) as timer, progress:
        course = _course(planned, tally, timer)
        running = Run(reactor, flows, course, tally, patience, look)
        try:
            await running.go(planned.seconds)
        finally:
            progress.close()
            result = Result(
                address=str(planned.address),
                datagrams=planned.address.is_datagram,
                connections=planned.connections,
                depth=planned.depth,
                rate=planned.rate,
                size=planned.size,
                expect=planned.expect,
                elapsed=running.elapsed,
                busy=running.busy or 0.0,
                unsent=course.unsent(),
                dropped=dropped,
                tally=tally,
            )
            report(result)
    if wrong := faults(result):
        for line in wrong[:-1]:
            complain(line)
        raise NotDone(wrong[-1])


async def _open(reactor: Any, planned: Plan, tally: Tally) -> tuple[Sequence[Flow], Sequence[DatagramFlow]]:
    """All flows, and those of them that are sockets for datagrams."""
    messages = Messages(planned.size)
    how = (planned.connections, messages, planned.depth, planned.expect, tally)
    if not planned.address.is_datagram:
        return await open_streams(reactor, planned.address, planned.tls, *how), []
    sockets = await open_datagrams(reactor, planned.address, *how, planned.timeout)
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
