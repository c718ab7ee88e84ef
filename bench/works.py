"""The works that the servers are compared in, and what must hold for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.figures import Bound

_STREAMS = ("netsvc", "c", "uvloop", "asyncio", "streams", "twisted", "threaded", "select")
_DATAGRAMS = ("netsvc", "c", "blocking", "uvloop", "asyncio", "twisted")
_LISTS = ("netsvc", "threaded", "uvloop", "asyncio", "streams", "twisted")

#: In the netsvc's arguments and the peers': the file of a certificate and its key.
CERTIFICATE = "{certificate}"


@dataclass(frozen=True)
class Work:
    """
    One kind of work, and who does it.

    @ivar title: what is done, for people.
    @ivar one: what is counted, for people: a message, a cycle.
    @ivar kind: as the peers know it.
    @ivar contenders: who does it.
    @ivar netsvc: what netsvc is started with; it has one listener.
    @ivar peers: what the Python peers are started with, beyond the kind.
    @ivar load: the kind of load.
    @ivar options: the load's.
    @ivar bounds: what must hold.
    @ivar half_of: everybody is given half the rate that this server reaches; empty: as much as each can do.
    @ivar seconds: of one run.
    @ivar most_rounds: that are worth while; 0 is as many as are asked for.
    @ivar fill: names that netsvc's client list has from the beginning, which the peers make themselves.
    """

    title: str
    kind: str
    contenders: tuple[str, ...]
    netsvc: tuple[str, ...]
    one: str = "message"
    peers: tuple[str, ...] = ()
    load: str = "tcp"
    options: Mapping[str, Any] = field(default_factory=dict)
    bounds: tuple[Bound, ...] = ()
    half_of: str = ""
    seconds: float = 0.3
    most_rounds: int = 0
    fill: int = 0


def _timestamp(connections: int, size: int, *bounds: Bound, **more: Any) -> Work:
    return Work(
        f"timestamp, {_size(size)}, {_many(connections, 'connection')}",
        "timestamp",
        more.pop("contenders", _STREAMS),
        ("--timestamp=tcp://127.0.0.1:0",),
        options={"connections": connections, "size": size, "stamp": True},
        bounds=bounds,
        **more,
    )


def _echo(connections: int, size: int, *programs: str) -> Work:
    return Work(
        f"echo, {_size(size)}, {_many(connections, 'connection')}",
        "echo",
        _STREAMS + programs,
        ("--echo=tcp://127.0.0.1:0",),
        options={"connections": connections, "size": size},
    )


def _clients(entries: int, *bounds: Bound, **more: Any) -> Work:
    return Work(
        f"register, read the list and close, {entries:,} entries",
        "clients",
        more.pop("contenders", _LISTS),
        ("--clients=tcp://127.0.0.1:0",),
        one="cycle",
        peers=(f"--entries={entries}",),
        load="cycle",
        options={"connections": 8, "names": entries},
        bounds=bounds,
        fill=entries,
        **more,
    )


def _size(size: int) -> str:
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} bytes"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


#: What is measured to see how the cost grows: the bare essentials, in fewer rounds.
_GROWTH = {"contenders": ("netsvc", "c", "uvloop", "asyncio", "twisted"), "most_rounds": 5}

WORKS: Mapping[str, Work] = {
    "timestamp-64": _timestamp(
        64, 64, Bound("cpu", "uvloop", 1.0, 0.9), Bound("cpu", "c", 1.3, 1.15), seconds=0.5
    ),
    "timestamp-1000": _timestamp(1000, 64, Bound("cpu", "uvloop", 1.0, 0.9), seconds=0.5),
    "timestamp-1": _timestamp(1, 64),
    **{
        f"timestamp-{connections}-{name}": _timestamp(connections, size)
        for connections in (1, 64, 1000)
        for name, size in (("16", 16), ("1k", 1024), ("16k", 16384))
    },
    "rate": _timestamp(
        64,
        64,
        Bound("p99", "uvloop", 1.3),
        contenders=("netsvc", "c", "uvloop", "asyncio", "streams", "twisted"),
        half_of="uvloop",
        seconds=0.8,
    ),
    "lines": Work(
        "timestamp by lines, 64 bytes, 16 under way on each of 64 connections",
        "lines",
        _STREAMS,
        ("--timestamp=tcp://127.0.0.1:0?framing=line",),
        one="line",
        options={"connections": 64, "depth": 16, "stamp": True, "line": True},
    ),
    "echo-64": _echo(64, 64, "ncat", "socat", "inetd"),
    # ncat waits for cat to read while cat waits for ncat, for ever.
    "echo-1m": _echo(4, 1 << 20, "socat", "inetd"),
    "tls": Work(
        "echo over TLS 1.3, 64 bytes, 64 connections",
        "tls",
        ("netsvc", "uvloop", "asyncio", "streams", "twisted"),
        (f"--echo=tls://127.0.0.1:0?certificate={CERTIFICATE}",),
        peers=(f"--certificate={CERTIFICATE}",),
        options={"connections": 64, "tls": True},
        bounds=(Bound("cpu", "asyncio", 1.3),),
        seconds=0.5,
    ),
    "udp-ack": Work(
        "datagrams of 64 bytes, acknowledged, 64 under way",
        "udp-ack",
        _DATAGRAMS,
        ("--receiver=udp://127.0.0.1:0?ack=received",),
        one="datagram",
        load="udp",
        options={"connections": 8, "depth": 8, "answer": "Got your message!"},
        bounds=(Bound("cpu", "uvloop", 1.0, 0.9),),
        seconds=0.5,
    ),
    "udp": Work(
        "datagrams of 64 bytes, 20,000 a second, not acknowledged",
        "udp",
        _DATAGRAMS,
        ("--receiver=udp://127.0.0.1:0",),
        one="datagram",
        load="udp",
        options={"connections": 8, "rate": 20_000},
    ),
    "clients-100": _clients(100, Bound("cpu", "threaded", 0.8), seconds=0.5),
    "idle": Work(
        "10,000 connections that have sent one message",
        "timestamp",
        ("netsvc", "netsvc-full", "c", "uvloop", "asyncio", "streams", "twisted"),
        ("--tcp=tcp://127.0.0.1:0",),
        one="connection",
        options={"connections": 10_000, "stamp": True},
        bounds=(Bound("memory", "streams", 1.0),),
    ),
    "timestamp-10": _timestamp(10, 64, **_GROWTH),
    "timestamp-100": _timestamp(100, 64, **_GROWTH),
    "timestamp-10000": _timestamp(10_000, 64, seconds=1.0, **_GROWTH),
    **{
        f"clients-{entries}": _clients(entries, contenders=("netsvc", "threaded", "asyncio"), most_rounds=5)
        for entries in (10, 1000, 10_000, 100_000)
    },
}

#: Names for several works.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "peers": tuple(WORKS),
    "bounds": tuple(name for name, work in WORKS.items() if work.bounds),
    "growth-connections": tuple(f"timestamp-{number}" for number in (1, 10, 100, 1000, 10_000)),
    "growth-clients": tuple(f"clients-{number}" for number in (10, 100, 1000, 10_000, 100_000)),
}
