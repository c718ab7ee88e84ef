"""A site in memory: requests in as bytes, answers out as bytes, and a clock that a test moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zope.interface import implementer

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.bridges import Bridges
from netsvc.clientlist.memory import ClientList
from netsvc.facts import RECEIVED, Facts
from netsvc.interfaces import Arrival, IArrivalTransport, ListenerAddress
from netsvc.journal.timeline import Timeline
from netsvc.journal.watch import Watchers
from netsvc.net.listening import Listening
from netsvc.settings import Limits
from netsvc.view import View
from netsvc.web.site import Shared, WebSite, web_factory
from netsvc.websettings import Web
from tests.net.guard_rig import Turns

#: A client on this machine, at a listener on loopback.
HERE = Arrival("tcp", "127.0.0.1", 40_000, "127.0.0.1", 8080)

#: One from elsewhere, at a listener for everybody.
ELSEWHERE = Arrival("tcp", "203.0.113.7", 40_000, "192.0.2.5", 8080)

TOKEN = "a-token-for-tests"


@implementer(IArrivalTransport)
class Wire(StringTransport):
    """The transport of one connection, as a guard is to its protocol."""

    def __init__(self, arrival: Arrival) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", arrival.local_address, arrival.local_port or 0),
            peerAddress=IPv4Address("TCP", arrival.address, arrival.port or 0),
        )
        self._arrival = arrival
        self.aborted = False

    def arrival(self) -> Arrival:
        return self._arrival

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


@dataclass
class Answer:
    """
    One answer.

    @ivar status: its number.
    @ivar headers: by name in lower case; of several the last.
    @ivar body: with the chunks put together.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Connection:
    """A client's connection."""

    def __init__(self, site: WebSite, clock: Clock, arrival: Arrival = HERE) -> None:
        self.wire = Wire(arrival)
        self.clock = clock
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        """Bytes of the client's; a closed connection takes none."""
        if not self.wire.disconnecting:
            self.channel.dataReceived(data)

    def ask(self, path: str, method: str = "GET", host: str = "localhost", **headers: str) -> Answer:
        """Send a request and have the answer, in as many turns of the reactor as that takes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        self.turn()
        return self.answer(method == "HEAD")

    def turn(self, times: int = 200) -> None:
        """Let the reactor go round, without that time passes to speak of."""
        for _ in range(times):
            self.clock.advance(0.000001)

    def answer(self, head: bool = False) -> Answer:
        """What was sent since the last time, as one answer."""
        (answer,) = self.answers(head)
        return answer

    def answers(self, head: bool = False) -> list[Answer]:
        """What was sent since the last time."""
        sent, found = self.wire.value(), []
        self.wire.clear()
        while sent:
            answer, sent = read_answer(sent, head)
            found.append(answer)
        return found

    @property
    def closing(self) -> bool:
        """Whether our side wants to close."""
        return bool(self.wire.disconnecting)

    def end_of_input(self) -> None:
        """The client sends no more."""
        IHalfCloseableProtocol(self.channel).readConnectionLost()

    def lose(self) -> None:
        """The connection is gone."""
        self.channel.connectionLost(Failure(ConnectionDone()))


def read_answer(sent: bytes, head: bool = False) -> tuple[Answer, bytes]:
    """The first answer, and what is behind it."""
    text, _, rest = sent.partition(b"\r\n\r\n")
    first, *lines = text.decode("latin-1").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    if head or status in ("304", "204"):
        return Answer(int(status), headers, b""), rest
    if headers.get("transfer-encoding") == "chunked":
        body, rest = _unchunked(rest)
    else:
        size = int(headers["content-length"])
        body, rest = rest[:size], rest[size:]
    return Answer(int(status), headers, body), rest


def _unchunked(rest: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            return body, rest


class Rig:
    """
    A daemon without sockets, and one site of it.

    @ivar clock: the reactor's time.
    @ivar facts: the dispatcher.
    @ivar view: the daemon as the site sees it.
    @ivar site: the factory.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        limits: Limits | None = None,
        ready: Callable[[], bool] = lambda: True,
        **settings: Any,
    ) -> None:
        self.clock = Turns()
        # A connection that began at 0 has not begun.
        self.clock.advance(1.0)
        self.now = 1_700_000_000 * 10**9
        self.facts = Facts(clock=self._time, later=self.clock.callLater)
        self.timeline = Timeline(1 << 24, self.facts.flush, 1)
        self.facts.keep(self.timeline)
        self.clients = ClientList(self.clock)
        self.watchers = Watchers(self.facts, self.timeline, self.clients, self.clock)
        self.hidden = 0
        self.listeners: list[Any] = []
        self.view = View(
            facts=self.facts,
            timeline=self.timeline,
            watchers=self.watchers,
            clients=self.clients,
            journal=None,
            listeners=self.listeners,
            bridges=Bridges({}, self._no_listening, self.clock),
            shared=self._no_shared,
            ready=ready,
            hidden=lambda: self.hidden,
            seconds=self.clock.seconds,
        )
        self.limits = limits or Limits()
        self.shared = Shared()
        self.settings = settings
        self.site = self.make_site(address)

    def make_site(self, address: str) -> WebSite:
        """One more site."""
        site = web_factory(
            reactor=self.clock,
            daemon=self.view,
            listener=ListenerAddress(f"tcp://{address}:8080", "tcp", address, 8080),
            limits=self.limits,
            shared=self.shared,
            **vars(replace(Web(), **self.settings)),
        )
        assert isinstance(site, WebSite)
        return site

    def connect(self, arrival: Arrival = HERE) -> Connection:
        """A new connection."""
        return Connection(self.site, self.clock, arrival)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect()
        answer = connection.ask(path, method, **headers)
        connection.lose()
        return answer

    def receive(
        self, data: bytes, connection: int | None = 1, service: str = "echo", port: int = 4711
    ) -> None:
        """Note that something was received."""
        origin = (service, "tcp://127.0.0.1:7", "tcp", "127.0.0.1", port, "127.0.0.1:7", connection)
        self.facts.emit(RECEIVED, origin, data)

    def _time(self) -> int:
        self.now += 1000
        return self.now

    def _no_shared(self, service: str) -> Any:
        raise KeyError(service)

    def _no_listening(self, service: Any, url: str) -> Listening:
        raise AssertionError((service, url))
