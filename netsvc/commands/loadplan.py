"""What a user asks of a load, and what that comes to: defaults that depend on it, and what does not fit."""

from __future__ import annotations

from dataclasses import dataclass

import click

from netsvc.commands.address import Address
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.loaddatagrams import LONGEST_DATAGRAM
from netsvc.commands.loadmessage import SHORTEST

#: Seconds that a run takes if nothing else was said.
SECONDS = 10.0

#: Messages that may wait on each connection at a fixed rate: more than a server that keeps up ever lets wait.
DEPTH_AT_RATE = 1024

#: Seconds after which a server is given up that answers no datagram at all.
_PATIENCE = 5.0


@dataclass(frozen=True)
class Asked:
    """
    What the user said; None where nothing was said.

    @ivar connections: how many, or sockets for datagrams.
    @ivar depth: messages that may wait for an answer on each.
    @ivar rate: messages a second over all of them; None for a closed loop.
    @ivar seconds: how long messages leave.
    @ivar count: how many leave.
    @ivar size: bytes of each.
    @ivar expect: ``suffix``, ``echo`` or ``any``.
    @ivar timeout: seconds after which a datagram is lost, or a silent server given up.
    """

    address: Address
    tls: TLSOptions
    connections: int
    depth: int | None
    rate: float | None
    seconds: float | None
    count: int | None
    size: int
    expect: str
    timeout: float | None


@dataclass(frozen=True)
class Plan:
    """
    The same, complete.

    @ivar seconds: None in a closed loop that a count ends.
    @ivar count: None in a closed loop that the time ends.
    @ivar patience: seconds of silence, and behind the time, after which the run is over.
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
    patience: float


def plan(asked: Asked) -> Plan:
    """
    Complete what the user said.

    @raise click.UsageError: it does not fit together.
    """
    datagrams = asked.address.is_datagram
    timeout = asked.timeout or (1.0 if datagrams else 5.0)
    seconds, count = _length(asked)
    depth = _depth(asked, timeout) if asked.depth is None else asked.depth
    if datagrams and not SHORTEST <= asked.size <= LONGEST_DATAGRAM:
        raise click.UsageError(
            f"--size is {SHORTEST} to {LONGEST_DATAGRAM} for datagrams, so that each has a number and fits"
        )
    if depth > 1 and not datagrams:
        if asked.expect == "any":
            raise click.UsageError("--expect any takes each piece for an answer, so --depth is 1")
        if asked.expect == "suffix" and asked.size < SHORTEST:
            raise click.UsageError(
                f"--size below {SHORTEST} needs --expect echo or --depth 1: so short a message could be "
                "found in what stands before it"
            )
    return Plan(
        address=asked.address,
        tls=asked.tls,
        connections=asked.connections,
        depth=depth,
        rate=asked.rate,
        seconds=seconds,
        count=count,
        size=asked.size,
        expect=asked.expect,
        timeout=timeout,
        patience=max(_PATIENCE, 3 * timeout) if datagrams else timeout,
    )


def _length(asked: Asked) -> tuple[float | None, int | None]:
    """How long it takes, and how many messages leave: at a rate, each tells the other."""
    seconds = SECONDS if asked.seconds is None and asked.count is None else asked.seconds
    if asked.rate is None:
        return seconds, asked.count
    total = None if seconds is None else max(1, round(asked.rate * seconds))
    count = min(number for number in (asked.count, total) if number is not None)
    return count / asked.rate, count


def _depth(asked: Asked, timeout: float) -> int:
    if asked.rate is None or asked.expect == "any":
        return 1
    # What is lost is known after the timeout; until then it must not keep others from leaving.
    return max(DEPTH_AT_RATE, round(2 * asked.rate * timeout) if asked.address.is_datagram else 0)
