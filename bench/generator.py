"""The load in C (`load.c`), started and asked for measurements; and a simple one without a compiler."""

from __future__ import annotations

import json
import subprocess
from abc import ABC, abstractmethod
from time import perf_counter
from typing import Any, Self

from bench import compiled
from bench.load import ClosedLoop
from bench.report import percentile
from bench.system import preferred

_PERCENTS = {"p50": 50, "p99": 99, "p999": 99.9}


class LoadError(Exception):
    """The load could not go on; the text is what it says of that."""


class AnyLoad(ABC):
    """A load on one server, its connections open for as long as it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    @abstractmethod
    def measure(self) -> dict[str, Any]:
        """
        Load the server for once.

        @return: ``count`` of answers, ``errors``, ``seconds``, ``compared`` bytes, and ``p50``, ``p99`` and
            ``p999`` in nanoseconds.
        @raise LoadError: it could not go on.
        """

    @abstractmethod
    def close(self) -> None:
        """End the load, and its connections."""


class Load(AnyLoad):
    """
    The one in C. It also tells the ``longest`` latency, ``splits`` of messages and the TLS ``cipher``.

    @ivar pid: its process id.
    """

    def __init__(self, kind: str, core: int, **options: Any) -> None:
        """
        Start it; returns when it has tried everything out.

        @param kind: ``tcp``, ``udp`` or ``cycle``.
        @param core: the core that it runs on.
        @param options: `load.c`'s; True for those that take no value.
        @raise LoadError: it could not begin.
        """
        program = compiled.load()
        if program is None:
            raise LoadError("there is no C compiler")
        arguments = []
        for name, value in options.items():
            if value is not False and value is not None:
                arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        with preferred(core):
            self._process = subprocess.Popen(
                [program, kind, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.pid = self._process.pid
        try:
            self._read()
        except LoadError:
            self.close()
            raise

    def measure(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._read()
        measured: dict[str, Any] = json.loads(self._read())
        self._read()
        return measured

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadError(self._process.stderr.read().strip() or "the load has ended")
        return line


class SimpleLoad(AnyLoad):
    """The same in Python, for messages one by one. It costs more than many a server, which then waits."""

    def __init__(self, port: int, connections: int, size: int, seconds: float, stamp: bool = False) -> None:
        """
        Connect.

        @param port: of 127.0.0.1.
        @param connections: how many.
        @param size: of a message, in bytes.
        @param seconds: of one measurement.
        @param stamp: whether a stamp comes before the message in its answer.
        """
        self._size = size
        self._seconds = seconds
        self._connections = connections
        self._loop = ClosedLoop(port, connections, b"x" * size, stamp)
        self._loop.run(connections)

    def measure(self) -> dict[str, Any]:
        waited: list[float] = []
        begin = perf_counter()
        while perf_counter() - begin < self._seconds:
            waited += self._loop.run(10 * self._connections)
        seconds = perf_counter() - begin
        at = {key: 1e9 * percentile(waited, percent) for key, percent in _PERCENTS.items()}
        return {
            "count": len(waited),
            "errors": 0,
            "seconds": seconds,
            "compared": len(waited) * self._size,
            **at,
        }

    def close(self) -> None:
        self._loop.__exit__()
