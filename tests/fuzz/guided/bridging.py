"""A service that does whatever a third party's might, over WebSocket: all that a transport can be asked."""

from __future__ import annotations

from typing import Any

from netsvc.facts import Facts
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.settings import Limits
from netsvc.web.bridge import Bridge
from tests.fuzz import plays
from tests.fuzz.books import Books
from tests.fuzz.guided.choosing import Choices
from tests.fuzz.guided.reading import Reading
from tests.fuzz.wild import WildFactory
from tests.net.guard_rig import Turns
from tests.web.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from tests.web.socket_rig import ARRIVAL, Client

#: Steps of one input; turns of the reactor behind each.
_STEPS, _TURNS = 40, 3

#: Seconds in which everybody goes, once the daemon has begun to stop, in steps.
_PATIENCE, _PULSE = 60, 0.5

_LIMITS = Limits(idle_timeout=20.0, write_timeout=3.0, close_timeout=0.5, write_budget=100_000)

_KINDS = ("frame", "frame", "frame", "raw", "stall", "flow", "wait", "end", "guard", "lose")
_OPCODES = (TEXT, BINARY, CONTINUATION, PING, CLOSE, TEXT, BINARY, TEXT)
_WAITS = (0.01, 0.6, 2.1, 21.0)


class _Peer:
    """
    The client, and the transport between it and the WebSocket.

    @ivar over: the connection is gone.
    """

    def __init__(self, guards: GuardFactory, clock: Turns, offer: str) -> None:
        guard = guards.buildProtocol(None)  # type: ignore[arg-type]
        self._clock = clock
        self._client = Client(clock, Bridge(guard, ARRIVAL), None, offer)
        self._wire: Any = self._client.wire
        self._coming: list[bytes] = []
        self._ended = self._stalled = self.over = False

    def send(self, data: bytes) -> None:
        """Send bytes, which are read when somebody reads."""
        if data and not self._ended:
            self._coming.append(data)

    def end(self) -> None:
        """Send no more."""
        if not self._ended:
            self._ended = True
            self._coming.append(b"")

    def press(self, stalled: bool) -> None:
        """Read nothing, or again."""
        producer = self._wire.producer
        if producer is None or self._stalled == stalled or self.over:
            return
        self._stalled = stalled
        if stalled:
            producer.pauseProducing()
        else:
            producer.resumeProducing()

    def lose(self) -> None:
        """The connection breaks."""
        self.over = True
        self._client.lose(clean=False)

    def turn(self) -> None:
        """What a transport does in one turn: it gives what has come, and ends where it was told to."""
        while self._coming and self._reading():
            data = self._coming.pop(0)
            if data:
                self._client.socket.dataReceived(data)
            else:
                self._client.socket.readConnectionLost()
        if not self.over and (self._wire.aborted or (self._wire.closed and not self._stalled)):
            self.over = True
            self._client.lose(clean=not self._wire.aborted)
        self._client.received()
        self._clock.advance(0.001)

    def _reading(self) -> bool:
        wire = self._wire
        return bool(wire.producerState == "producing" and not (self.over or wire.closed or wire.aborted))


def bridge(data: bytes) -> None:
    """Such a service gets frames: facts add up, nothing raises, and nothing is left."""
    given = Reading(data)
    settings = Choices(given).settings(plays.WILD)
    clock, books, facts = Turns(), Books(), Facts(capture=1 << 30)
    facts.subscribe(books)
    listening = Listening(
        service="wild",
        listener="ws://x",
        transport="ws",
        factory=WildFactory(**settings, messages=True),
        limits=_LIMITS,
        facts=facts,
        clock=clock,
    )
    peer = _Peer(GuardFactory(listening), clock, given.one_of(("", "permessage-deflate")))
    steps = 0
    while given and steps < _STEPS:
        steps += 1
        _step(given, peer, listening, clock)
        for _ in range(_TURNS):
            peer.turn()
    _settle(peer, listening, clock)
    books.settle(lambda address: None)
    assert not books.problems, books.problems
    counts = listening.counted()
    assert counts.opened == counts.closed, counts


def _step(given: Reading, peer: _Peer, listening: Listening, clock: Turns) -> None:
    byte = given.byte()
    what = _KINDS[byte % len(_KINDS)]
    if what == "frame":
        opcode = given.byte()
        peer.send(frame(_OPCODES[opcode % len(_OPCODES)], given.piece()[:2000], fin=not opcode & 8))
    elif what == "raw":
        peer.send(given.piece())
    elif what in ("stall", "flow"):
        peer.press(what == "stall")
    elif what == "wait":
        clock.advance(given.one_of(_WAITS))
        listening.close_idle()
    elif what == "end":
        peer.end()
    elif what == "lose" and not peer.over:
        peer.lose()
    elif what == "guard":
        gently = given.byte() % 4
        for guard in list(listening.guards):
            guard.drain() if gently else guard.abort()


def _settle(peer: _Peer, listening: Listening, clock: Turns) -> None:
    for guard in list(listening.guards):
        guard.drain()
    for _ in range(_PATIENCE):
        peer.press(False)
        peer.turn()
        clock.advance(_PULSE)
    assert not listening.guards, "a connection that never ends"
    assert peer.over, "a WebSocket that nobody is behind"
    assert not clock.getDelayedCalls(), f"left behind: {clock.getDelayedCalls()}"
