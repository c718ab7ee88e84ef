"""Servers under the same load in turn, round by round: what else the machine does disturbs them alike."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import compiled
from bench.contenders import Server, missing, started
from bench.figures import Run, numbers, rotated
from bench.generator import AnyLoad, Load, LoadError, SimpleLoad
from bench.report import say
from bench.system import LOAD_CORE, SERVER_CORE, datagrams, memory, preferred, seconds_taken
from bench.works import CERTIFICATE, Work
from tests.certificates import make_authority
from tests.live.daemon import eventually

#: Seconds of load before the first run: for caches, and for netsvc until its timeline is full, as it is in a
#: daemon that has run for a while.
WARM, WARM_NETSVC = 0.3, 2.5

_MICROSECOND = 1e-6

#: Connections that the load in Python makes.
_FEW = 1000


@functools.cache
def _certificate() -> tuple[tempfile.TemporaryDirectory[str], str]:
    directory = tempfile.TemporaryDirectory()
    return directory, str(make_authority(Path(directory.name)).server_both)


def _with_certificate(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if not any(CERTIFICATE in one for one in arguments):
        return arguments
    return tuple(one.replace(CERTIFICATE, _certificate()[1]) for one in arguments)


@contextmanager
def serving(work: Work, name: str, keep_memory: bool = True) -> Iterator[Server]:
    """A contender on the servers' core, for the time of a with statement."""
    arguments = _with_certificate(work.netsvc), _with_certificate(work.peers)
    with ExitStack() as stack:
        with preferred(SERVER_CORE):
            server = stack.enter_context(started(name, work.kind, *arguments, keep_memory=keep_memory))
        yield server


def simple(work: Work) -> bool:
    """Whether the load in Python can do it too."""
    few = work.options.get("connections", 1) <= _FEW
    return work.load == "tcp" and few and not work.half_of and not {"depth", "tls"} & set(work.options)


def loading(work: Work, name: str, server: Server) -> AnyLoad:
    """The load of a work on a server, ready to measure."""
    if compiled.load() is None:
        return SimpleLoad(server.port, seconds=work.seconds, **work.options)
    warm = WARM_NETSVC if name == "netsvc" and work.load != "cycle" else WARM
    options = {"seconds": work.seconds, "warm": warm, **work.options}
    if work.fill and name == "netsvc":
        _fill(server, work.fill)
    return Load(work.load, LOAD_CORE, port=server.port, **options)


def run_once(server: Server, load: AnyLoad) -> Run:
    """Load a server and see what it takes."""
    _, lost = datagrams(server.port)
    before = seconds_taken(server.pid)
    measured = load.measure()
    # Datagrams that nobody acknowledges may still wait to be read.
    eventually(lambda: not datagrams(server.port)[0])
    taken = seconds_taken(server.pid) - before
    lost = datagrams(server.port)[1] - lost
    count = measured["count"] - lost
    run = {
        "cpu": taken / count / _MICROSECOND,
        "rate": count / measured["seconds"],
        "lost": lost + measured["errors"],
    }
    if measured["compared"]:
        run |= {key: measured[key] / 1000 for key in ("p50", "p99", "p999")}
    return run


def compare(work: Work, rounds: int) -> dict[str, list[Run]]:
    """
    Measure everybody who does a work.

    @param rounds: how many.
    @return: for each by name its run in every round; nothing where the load cannot be had.
    """
    names = present(work)
    if work.half_of and work.half_of not in names:
        return {}
    if work.half_of:
        work = _at_half_the_rate(work)
    with ExitStack() as stack:
        ready: dict[str, tuple[Server, AnyLoad]] = {}
        for name in names:
            try:
                server = stack.enter_context(serving(work, name))
                ready[name] = server, stack.enter_context(loading(work, name, server))
            except LoadError as error:
                say(f"  {name} is left out: {error}")
        runs: dict[str, list[Run]] = {name: [] for name in ready}
        for number in range(rounds):
            for name in rotated(list(runs), number):
                try:
                    runs[name].append(run_once(*ready[name]))
                except LoadError as error:
                    say(f"  {name} is left out: {error}")
                    del runs[name]
    return runs


def compare_memory(work: Work, rounds: int) -> dict[str, list[Run]]:
    """
    Measure what idle connections take, each server by itself and anew in every round.

    Before, each has had a few connections, so that what is loaded or made for the first is not counted.
    """
    names = present(work)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        for name in rotated(names, number):
            with serving(work, name, keep_memory=False) as server:
                warm = WARM_NETSVC if name == "netsvc-full" else 0.0
                few = {**work.options, "connections": 100}
                loading(dataclasses.replace(work, options={**few, "warm": warm}), name, server).close()
                before = memory(server.pid)
                with loading(dataclasses.replace(work, options={**work.options, "warm": 0}), name, server):
                    taken = memory(server.pid) - before
            runs[name].append({"memory": taken / work.options["connections"]})
    return runs


def present(work: Work) -> list[str]:
    """The contenders that can be measured here; of the others it is said why not."""
    if compiled.load() is None and not simple(work):
        say("  left out: its load is written in C, and there is no C compiler")
        return []
    names = []
    for name in work.contenders:
        if why := missing(name):
            say(f"  {name} is left out: {why}")
        else:
            names.append(name)
    return names


def _at_half_the_rate(work: Work) -> Work:
    with serving(work, work.half_of) as server, loading(work, work.half_of, server) as load:
        most = max(numbers([run_once(server, load) for _ in range(5)], "rate"))
    say(f"  {work.half_of} does {most:,.0f} a second, so everybody is given {most / 2:,.0f}")
    return dataclasses.replace(work, options={**work.options, "rate": most / 2})


def _fill(server: Server, entries: int) -> None:
    """Enter clients that do not read the list to its end."""
    options = {"connections": 8, "names": entries, "most": entries, "warm": 3600, "abandon": True}
    Load("cycle", LOAD_CORE, port=server.port, **options).close()
