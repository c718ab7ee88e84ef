"""
Connections through transport, guard and an echo, beside a model of what was said and who has gone: any steps,
and in the end nothing is left of any of them.
"""

from __future__ import annotations

import errno
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory

from netsvc.facts import Facts
from netsvc.net.factory import GuardFactory
from netsvc.net.fast.stream import MOST_READ
from netsvc.net.listening import Listening
from netsvc.services.echo import Echo
from netsvc.settings import Limits, Networks
from tests.fuzz.books import Books
from tests.fuzz.states.examples import examples
from tests.fuzz.wires import Reactor, Wire, connect

_LIMITS = Limits(
    max_connections=4,
    per_address=2,
    new_per_second=1e6,
    idle_timeout=20.0,
    write_timeout=3.0,
    close_timeout=0.5,
    write_budget=100_000,
    trusted=Networks.of("127.0.0.1"),
    deny=Networks.of("203.0.113.0/24"),
)

_HOSTS = ("127.0.0.1", "198.51.100.7", "198.51.100.8", "203.0.113.9")
#: What is said: some bytes, so many times.
_SAID = ((b"x", 1), (b"hello python\r\n", 1), (b"y", 70_000), (b"z", 300_000))

#: Bytes that may be on their way through one connection: what one read brings, what makes the transport call
#: its buffer full, and what the budget allows beyond.
_UNDER_WAY = MOST_READ + 65_536 + _LIMITS.write_budget

_PULSE = 0.5


@implementer(IHalfCloseableProtocol)
class _HalfClosing(Echo):
    """An echo that goes on when its client has finished sending, and closes when it is told to."""

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`."""

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`."""


class _Client:
    """
    One client, and what the model knows of it.

    @ivar said: what it has sent.
    @ivar finished: it sends no more.
    @ivar disturbed: something has happened because of which not everything need come back.
    @ivar pushed: its service has written what was not said.
    @ivar held: while its service wants to read nothing, bytes that it got before that; None otherwise.
    """

    def __init__(self, wire: Wire, number: int, host: str) -> None:
        self.wire = wire
        self.number = number
        self.host = host
        self.service: Any = None
        self.said = bytearray()
        self.finished = False
        self.disturbed = False
        self.pushed = False
        self.held: int | None = None

    @property
    def gone(self) -> bool:
        return self.wire.closed


class _Serving(RuleBasedStateMachine):
    """A listener and its clients."""

    def __init__(self) -> None:
        super().__init__()
        self.reactor = Reactor()
        self.books = Books()
        facts = Facts(capture=1 << 30)
        facts.subscribe(self.books)
        self.services: list[Any] = []
        factory: Factory[Any] = Factory()
        factory.noisy = False
        factory.buildProtocol = self._build  # type: ignore[method-assign]
        self.listening = Listening(
            service="echo",
            listener="tcp://x",
            transport="tcp",
            factory=factory,
            limits=_LIMITS,
            facts=facts,
            clock=self.reactor,
        )
        self.guards = GuardFactory(self.listening)
        self.clients: list[_Client] = []
        self.connections = 0
        self.half_closing = False

    def _build(self, addr: object) -> Echo:
        self.services.append(_HalfClosing() if self.half_closing else Echo())
        return self.services[-1]  # type: ignore[no-any-return]

    def _here(self) -> list[_Client]:
        return [one for one in self.clients if not one.gone]

    # -- what clients do ---------------------------------------------------------------------------------

    @rule(host=st.sampled_from(_HOSTS), room=st.sampled_from([1 << 30, 0, 100]), half_closing=st.booleans())
    def connect(self, host: str, room: int, half_closing: bool) -> None:
        reason = self._refusal(host)
        before, self.half_closing = len(self.services), half_closing
        guard = self.guards.buildProtocol(None)  # type: ignore[arg-type]
        self.connections += 1
        client = _Client(connect(guard, (host, 40_000), room, self.reactor), self.connections, host)
        self.reactor.turn()
        if reason is None:
            (client.service,) = self.services[before:]
            self.clients.append(client)
        else:
            assert client.gone, "refused and still there"
            assert len(self.services) == before, "a service was built for nobody"
        (told,) = [end for number, end in enumerate(self.books.ends(), 1) if number == client.number]
        assert told == (["opened", ""] if reason is None else ["refused", reason])

    def _refusal(self, host: str) -> str | None:
        if len(self._here()) >= _LIMITS.max_connections:
            return "max_connections"
        if host.startswith("203."):
            return "deny"
        same = sum(one.host == host for one in self._here())
        return "per_address" if same >= _LIMITS.per_address and host != "127.0.0.1" else None

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3), said=st.lists(st.sampled_from(_SAID), min_size=1, max_size=4))
    def send(self, which: int, said: list[tuple[bytes, int]]) -> None:
        pieces = [piece * times for piece, times in said]
        client = self._client(which)
        if not client.finished:
            client.wire.arriving += pieces
            client.said += b"".join(pieces)
            self._turn()

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3))
    def finish_sending(self, which: int) -> None:
        client = self._client(which)
        if not client.finished:
            client.finished = True
            client.wire.arriving.append(b"")
            self._turn()

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3), room=st.sampled_from([0, 1000, 100_000, 1 << 30]))
    def take(self, which: int, room: int) -> None:
        self._client(which).wire.room = room
        self._turn()

    # -- what the service and the daemon do --------------------------------------------------------------

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3))
    def hold(self, which: int) -> None:
        client = self._client(which)
        client.held = len(self.books.received(client.number))
        client.service.transport.pauseProducing()

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3))
    def let_go_on(self, which: int) -> None:
        client = self._client(which)
        client.held = None
        client.service.transport.resumeProducing()
        self._turn()

    @precondition(lambda self: self._here())
    @rule(which=st.integers(0, 3), times=st.integers(1, 6))
    def push(self, which: int, times: int) -> None:
        client = self._client(which)
        client.disturbed = client.pushed = True
        for _ in range(times):
            client.service.transport.write(b"p" * 30_000)
        self._turn()

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 3.1, 21.0]))
    def time_passes(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / _PULSE))):
            for client in self.clients:
                # Whoever reads too little for too long, or is idle, may end by it.
                client.disturbed |= seconds > 1
            self.reactor.advance(min(seconds, _PULSE))
            self.listening.close_idle()
            self._turn()

    @precondition(lambda self: self._here())
    @rule(
        which=st.integers(0, 3),
        how=st.sampled_from(["break", "idle", "loseConnection", "loseWriteConnection", "abortConnection"]),
    )
    def end(self, which: int, how: str) -> None:
        """In one rule, so that it does not happen too often."""
        client = self._client(which)
        client.disturbed = True
        if how == "break":
            client.wire.broken = errno.ECONNRESET
            self.reactor.lose(client.wire)
        elif how == "idle":
            self._idle()
        else:
            getattr(client.service.transport, how)()
        self._turn()
        assert client.gone or how.startswith("lose")

    def _idle(self) -> None:
        """Nobody sends, nobody takes: everybody has gone, for one reason or the other."""
        for client in self._here():
            client.disturbed = True
        for _ in range(round(4 * _LIMITS.idle_timeout / _PULSE)):
            self.reactor.advance(_PULSE)
            self.listening.close_idle()
            self._turn()
        assert not self._here(), "somebody idle is still there"

    @precondition(lambda self: len(self.clients) > 3)
    @rule(patient=st.booleans())
    def drain(self, patient: bool) -> None:
        for client in self._here():
            client.disturbed = True
        for guard in list(self.listening.guards):
            guard.drain() if patient else guard.abort()
        self._turn()
        assert patient or not self._here()

    # -- the model ---------------------------------------------------------------------------------------

    def _client(self, which: int) -> _Client:
        here = self._here()
        return here[which % len(here)]

    def _turn(self) -> None:
        # A turn reads one piece of each, or a part of a large one.
        for _ in range(12 + 4 * sum(len(one.wire.arriving) for one in self.clients)):
            self.reactor.turn()

    @invariant()
    def what_comes_back_is_what_was_said(self) -> None:
        for client in self.clients:
            received, sent = self.books.received(client.number), self.books.sent(client.number)
            assert client.said.startswith(received), "the service got what was not said"
            assert client.pushed or received.startswith(sent), "an echo of something else"
            assert client.held in (None, len(received)), "it got something although it wanted nothing"
            assert sent.startswith(client.wire.sent), "not what the service wrote"
            free = client.wire.room > len(client.said) and not client.disturbed and client.held is None
            if free and not client.gone:
                assert client.wire.sent == client.said, "something is not on its way"

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        for client in self._here():
            sent = len(self.books.sent(client.number)) - len(client.wire.sent)
            assert sent <= _UNDER_WAY, f"{sent} bytes wait for one client"

    @invariant()
    def an_echo_is_read_no_faster_than_it_is_taken(self) -> None:
        ends = self.books.ends()
        for client in self.clients:
            assert client.pushed or ends[client.number - 1][1] != "write_budget", (
                "more was read than was taken"
            )

    @invariant()
    def counts_and_facts_agree(self) -> None:
        assert not self.books.problems, self.books.problems
        counts = self.listening.counted()
        ends = self.books.ends()
        assert counts.opened == sum(one[0] == "opened" for one in ends)
        assert sum(counts.refused.values()) == sum(one[0] == "refused" for one in ends)
        assert counts.opened - counts.closed == len(self._here()) == len(self.listening.guards)
        numbers = range(1, self.connections + 1)
        assert counts.bytes_in == sum(len(self.books.received(number)) for number in numbers)
        assert counts.bytes_out == sum(len(self.books.sent(number)) for number in numbers)

    def teardown(self) -> None:
        for guard in list(self.listening.guards):
            guard.drain()
        for client in self._here():
            client.wire.room = 1 << 30
        for _ in range(40):
            self._turn()
            self.reactor.advance(_PULSE)
        assert not self.listening.guards, "connections that never end"
        assert not self.reactor.left(), f"left behind: {self.reactor.left()}"
        admission = self.listening.admission
        for _ in range(_LIMITS.max_connections):
            assert admission.open_socket() is None, "a connection that has gone is still counted"
        self.books.settle(lambda address: None)
        assert not self.books.problems, self.books.problems


TestServing = _Serving.TestCase
TestServing.settings = examples(2.0)
