"""
What a test sees of a daemon: where its services are, and what has happened since the test began.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from netsvc.testing.daemon import Daemon, DaemonError

#: A client: an address, an address with a port, or what ``getsockname`` gives.
Peer = str | tuple[Any, ...]

#: Seconds that one request may wait; the daemon allows 300.
_LONGEST_WAIT = 60.0

#: Seconds that the daemon may need for an answer beyond those.
_PATIENCE = 30.0

#: The most facts in one answer.
_MOST = 10_000

#: Facts that an error shows.
_SHOWN = 30

#: Bytes of a message that an error shows.
_SHOWN_BYTES = 200


class NotSeenError(AssertionError):
    """What a test has waited for did not happen; the text says what did."""


@dataclass(frozen=True)
class Fact:
    """
    Something that happened.

    @ivar seq: rises from fact to fact.
    @ivar time: nanoseconds since the epoch.
    @ivar kind: ``opened``, ``received``, ``sent``, ``closed`` or ``refused``.
    @ivar service: the service's name.
    @ivar listener: the listener's URL.
    @ivar transport: ``tcp``, ``tls``, ``udp``, ``unix``, ``unix-datagram``, ``ws`` or ``wss``.
    @ivar address: the client's address, or a path.
    @ivar port: the client's port; None on a UNIX socket.
    @ivar local: the address and port that the client reached.
    @ivar connection: the connection's number; None of a datagram.
    @ivar name: the client's name in the client list, if it has one.
    @ivar length: of the message, in bytes; None where there is none.
    @ivar data: the message, up to the first `capture` bytes (4096); None where there is none.
    @ivar reason: why it was closed or refused.
    @ivar details: what else is known.
    """

    seq: int
    time: int
    kind: str
    service: str
    listener: str
    transport: str
    address: str
    port: int | None
    local: str
    connection: int | None
    name: str | None
    length: int | None
    data: bytes | None
    reason: str | None
    details: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Fact:
        """A fact of the API's."""
        rest = dict(document)
        known = {name: rest.pop(name) for name in cls.__dataclass_fields__ if name != "details"}
        known["time"] = int(known["time"])
        if known["data"] is not None:
            known["data"] = base64.b64decode(known["data"])
        return cls(**known, details=rest)

    def __str__(self) -> str:
        place = self.address if self.port is None else f"{self.address}:{self.port}"
        parts = [self.kind, self.service, self.transport, ascii(place)[1:-1]]
        if self.connection is not None:
            parts.append(f"#{self.connection}")
        if self.data is not None:
            parts.append(repr(self.data[:_SHOWN_BYTES]))
        if (self.length or 0) > _SHOWN_BYTES:
            parts.append(f"({self.length} bytes)")
        if self.reason is not None:
            parts.append(self.reason)
        return " ".join(parts)


@dataclass(frozen=True)
class Service:
    """
    Where a service is.

    @ivar name: its name.
    @ivar places: its listeners, as ``--ready`` tells of them.
    @ivar web: host and port of the web service.
    """

    name: str
    places: tuple[Mapping[str, Any], ...]
    web: tuple[str, int]

    @property
    def host(self) -> str:
        """The IP address on which it listens."""
        return self.address[0]

    @property
    def port(self) -> int:
        """The port on which it listens, the same for all of its transports."""
        return self.address[1]

    @property
    def address(self) -> tuple[str, int]:
        """
        Host and port, as ``socket.create_connection`` takes them.

        @raise ValueError: it has none, or several.
        """
        found = {(place["address"], place["port"]) for place in self.places if place["port"] is not None}
        if len(found) != 1:
            raise ValueError(
                f"{self.name} listens on {_listed(self.places)}: look for the right one in its places"
            )
        return found.pop()

    @property
    def path(self) -> str:
        """
        The path of its UNIX socket.

        @raise ValueError: it has none, or several.
        """
        found = [place["address"] for place in self.places if place["port"] is None]
        if len(found) != 1:
            raise ValueError(
                f"{self.name} listens on {_listed(self.places)}: look for the right one in its places"
            )
        return str(found[0])

    @property
    def websocket(self) -> str:
        """The URL by which it can be reached over WebSocket."""
        host, port = self.web
        return f"ws://{host}:{port}/ws/{self.name}"


class Netsvc:
    """
    A daemon, as one test sees it.

    Its services are its attributes: ``netsvc.echo.port``.

    @ivar url: of the page and the API.
    """

    def __init__(self, daemon: Daemon) -> None:
        """
        Begin a test.

        @param daemon: it runs.
        @raise DaemonError: it does not answer, or has no web service.
        """
        self._daemon = daemon
        first = next((place for place in daemon.places if place["service"] == "web"), None)
        if first is None:
            raise DaemonError("the daemon runs without its web service, by which tests see what happens")
        self._web: tuple[str, int] = first["address"], first["port"]
        self.url = f"http://{self._web[0]}:{self._web[1]}"
        self._begin = int(self._ask("/api/facts", {"after": "last", "limit": "1"})["last"])

    def service(self, name: str) -> Service:
        """
        Where a service is; for names that are no attributes.

        @raise KeyError: it does not run; or it is on WebSocket only.
        """
        places = tuple(place for place in self._daemon.places if place["service"] == name)
        if not places:
            there = ", ".join(sorted({place["service"] for place in self._daemon.places}))
            raise KeyError(f"no service {name!r}; there are {there}")
        return Service(name, places, self._web)

    def __getattr__(self, name: str) -> Service:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.service(name)
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def wait(
        self,
        contains: str | bytes | None = None,
        *,
        service: str | None = None,
        kind: str | None = None,
        peer: Peer | None = None,
        name: str | None = None,
        connection: int | None = None,
        listener: str | None = None,
        count: int = 1,
        timeout: float = 10.0,
        after: Fact | int | None = None,
    ) -> list[Fact]:
        """
        Wait until something has happened in this test, or see that it has.

        @param contains: bytes, or text as UTF-8, in what was received or sent, however that was cut: the
            fact is the one with the end of it.
        @param service: a service's name.
        @param kind: ``opened``, ``received``, ``sent``, ``closed`` or ``refused``.
        @param peer: the client: ``"127.0.0.1"``, ``"127.0.0.1:5000"``, or what ``getsockname`` gives.
        @param name: the client's name in the client list.
        @param connection: a connection's number.
        @param listener: a listener's URL.
        @param count: how many facts.
        @param timeout: seconds.
        @param after: only what came later than this fact.
        @return: so many facts, oldest first.
        @raise NotSeenError: they did not come in time; it is an AssertionError.
        @raise DaemonError: the daemon does not answer.
        """
        # Of interest is the line of the test.
        __tracebackhide__ = True
        query = _query(contains, service, kind, peer, name, connection, listener)
        seq = self._seq(after)
        until = time.monotonic() + timeout
        found: list[Fact] = []
        while True:
            left = max(0.0, until - time.monotonic())
            answer = self._ask(
                "/api/wait",
                {
                    **query,
                    "after": str(seq),
                    "count": str(min(_MOST, count - len(found))),
                    "timeout": f"{min(left, _LONGEST_WAIT):.3f}",
                },
                left,
            )
            found += map(Fact.of, answer["facts"])
            seq = answer["last"]
            if len(found) >= count:
                return found
            if not left:
                raise NotSeenError(self._not_seen(found, count, timeout, query))

    def facts(
        self,
        contains: str | bytes | None = None,
        *,
        service: str | None = None,
        kind: str | None = None,
        peer: Peer | None = None,
        name: str | None = None,
        connection: int | None = None,
        listener: str | None = None,
        after: Fact | int | None = None,
    ) -> list[Fact]:
        """
        What has happened in this test so far.

        @return: oldest first; the arguments are those of `wait`.
        @raise DaemonError: the daemon does not answer, or cannot read its journal.
        """
        __tracebackhide__ = True
        query = _query(contains, service, kind, peer, name, connection, listener)
        return list(self._facts(query, self._seq(after)))

    def log(self) -> str:
        """The daemon's log, from its start on."""
        return self._daemon.log()

    def report(self) -> str:
        """What somebody wants to see when the test has failed: its facts, one line each."""
        try:
            facts = self.facts()
        except (DaemonError, ValueError) as error:
            # Whatever it is, it is not what the test failed for.
            return str(error)
        return _lines(facts) or "nothing happened"

    def _facts(self, query: Mapping[str, str], seq: int) -> Iterator[Fact]:
        __tracebackhide__ = True
        # What comes while this is read has no end.
        end = self._ask("/api/facts", {**query, "after": "last", "limit": "1"})["last"]
        page = {**query, "before": str(end + 1), "limit": str(_MOST)}
        while seq < end:
            answer = self._ask("/api/facts", {**page, "after": str(seq)})
            yield from map(Fact.of, answer["facts"])
            if answer["last"] <= seq:
                raise DaemonError(f"the daemon could not read on behind seq {seq}; its log says why")
            seq = answer["last"]

    def _not_seen(self, found: list[Fact], count: int, timeout: float, query: Mapping[str, str]) -> str:
        asked = ", ".join(f"{key} {_shown(key, value)}" for key, value in query.items()) or "anything"
        came = f"{len(found)} of {count} with {asked} within {timeout:g} s"
        return f"{came}; what happened in this test:\n{self.report()}"

    def _seq(self, after: Fact | int | None) -> int:
        if after is None:
            return self._begin
        return after.seq if isinstance(after, Fact) else after

    def _ask(self, path: str, query: Mapping[str, str], wait: float = 0.0) -> dict[str, Any]:
        __tracebackhide__ = True
        # Neither a proxy nor a redirection: it is on this machine.
        connection = http.client.HTTPConnection(*self._web, timeout=min(wait, _LONGEST_WAIT) + _PATIENCE)
        try:
            connection.request("GET", f"{path}?{urlencode(query)}", headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            raise self._daemon.ended() from None
        finally:
            connection.close()
        answer: dict[str, Any] = json.loads(body)
        if "facts" not in answer:
            raise ValueError(answer.get("error", f"the daemon answered {response.status}"))
        return answer


def _query(
    contains: str | bytes | None,
    service: str | None,
    kind: str | None,
    peer: Peer | None,
    name: str | None,
    connection: int | None,
    listener: str | None,
) -> dict[str, str]:
    """A question to the API."""
    given = {
        "service": service,
        "kind": kind,
        "peer": _peer(peer),
        "name": name,
        "connection": None if connection is None else str(connection),
        "listener": listener,
    }
    query = {key: value for key, value in given.items() if value is not None}
    if contains is not None:
        data = contains.encode("utf-8", "surrogateescape") if isinstance(contains, str) else bytes(contains)
        # Text could begin with the API's own hex:.
        query["contains"] = f"hex:{data.hex()}"
    return query


def _peer(peer: Peer | None) -> str | None:
    if peer is None or isinstance(peer, str):
        return peer
    address, port = peer[:2]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _shown(key: str, value: str) -> str:
    return repr(bytes.fromhex(value.removeprefix("hex:")) if key == "contains" else value)


def _lines(facts: list[Fact]) -> str:
    left_out = [f"  … {len(facts) - _SHOWN} before"] if len(facts) > _SHOWN else []
    return "\n".join([*left_out, *(f"  {fact}" for fact in facts[-_SHOWN:])])


def _listed(places: tuple[Mapping[str, Any], ...]) -> str:
    return ", ".join(str(place["listener"]) for place in places) or "nothing"
