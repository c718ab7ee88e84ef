"""
A real daemon whose timeline a test can ask: what netsvc noted tells more than its log.

The daemon gets one service more, `facts`, through the plugin interface. A client sends it one line of JSON
that says which facts it waits for, and is answered once there are that many.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from netsvc.facts import Fact, Origin
from netsvc.journal.memory import Ring
from tests.live.daemon import Daemon, read_all

#: Seconds between two looks at the timeline, in the daemon.
_LOOKS = 0.02

_PLUGIN = """
from netsvc.service import NetService
facts = NetService(name="facts", summary="hands out facts", stream="tests.live.timeline.FactsFactory",
                   needs=("reactor", "timeline"))
"""


class _Facts(Protocol):
    """Waits, for one client, until there are facts enough."""

    transport: ITransport

    def __init__(self, reactor: Any, timeline: Ring) -> None:
        self._timeline = timeline
        self._line = b""
        self._question: dict[str, Any] = {}
        self._found: list[Fact] = []
        self._look = LoopingCall(self._find)
        self._look.clock = reactor

    def dataReceived(self, data: bytes) -> None:
        self._line += data
        if self._line.endswith(b"\n") and not self._look.running:
            self._question = json.loads(self._line)
            self._look.start(_LOOKS)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._look.running:
            self._look.stop()

    def _find(self) -> None:
        question = self._question
        for row in self._timeline.since(question["after"]):
            question["after"] = row[0]
            fact = Fact.of(row)
            if all(_column(fact, key) == value for key, value in question["columns"].items()):
                self._found.append(fact)
        if len(self._found) >= question["count"]:
            self._look.stop()
            facts = [fact.as_json(lambda address: None) for fact in self._found[: question["limit"]]]
            self.transport.write(json.dumps([question["after"], len(self._found), facts]).encode())
            self.transport.loseConnection()


def _column(fact: Fact, name: str) -> object:
    return getattr(fact.origin if name in Origin._fields else fact, name)


class FactsFactory(Factory[_Facts]):
    """Makes what each client that waits for facts talks to."""

    noisy = False

    def __init__(self, reactor: Any, timeline: Ring) -> None:
        """@param timeline: the daemon's ring."""
        self._reactor = reactor
        self._timeline = timeline

    def buildProtocol(self, addr: Any) -> _Facts:
        return _Facts(self._reactor, self._timeline)


class WatchedDaemon(Daemon):
    """A daemon whose facts can be waited for."""

    def facts(self, count: int = 1, after: int = 0, **columns: object) -> list[dict[str, Any]]:
        """
        Wait until there are facts enough, and get all that are there by then.

        @param count: how many at least; with 0 it does not wait.
        @param after: only facts with a greater seq.
        @param columns: of `netsvc.facts.Fact` and `Origin`, what they must be, such as ``kind="refused"``.
        @raise TimeoutError: they have not come.
        """
        return list(self._ask(count, after, columns)[2])

    def count(self, **columns: object) -> int:
        """How many such facts there are."""
        return int(self._ask(0, 0, columns, limit=0)[1])

    def last_fact(self) -> int:
        """The seq of the newest fact."""
        return int(self._ask(0, 0, {}, limit=0)[0])

    def _ask(self, count: int, after: int, columns: Mapping[str, object], limit: int | None = None) -> Any:
        """The last seq, how many facts there are, and the oldest of them up to a limit."""
        question = {"count": count, "after": after, "columns": columns, "limit": limit}
        with self.connect("facts") as sock:
            sock.sendall(json.dumps(question).encode() + b"\n")
            return json.loads(read_all(sock))


@contextmanager
def watched(directory: Path, *arguments: str, **options: Any) -> Iterator[WatchedDaemon]:
    """A daemon for the time of a with statement; the arguments are `Daemon`'s."""
    plugins = directory / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "netsvc_facts.py").write_text(_PLUGIN)
    project = Path(__file__).parents[2]
    path = os.pathsep.join(
        filter(None, [str(directory / "site"), str(project), os.environ.get("PYTHONPATH")])
    )
    daemon = WatchedDaemon(
        directory, *arguments, "--facts=127.0.0.1:0", environment={"PYTHONPATH": path}, **options
    )
    try:
        yield daemon
    finally:
        daemon.stop()
