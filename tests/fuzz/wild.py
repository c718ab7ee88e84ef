"""
A service that does whatever a third party's might: every call a transport has, at every moment.

It keeps the contract of Twisted's transports (one producer at a time, writes of bytes) and nothing else.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableProtocol, IProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.fuzz.inputs import Inputs

#: What the service does, one action with each event: the name of the call and its argument.
Action = tuple[str, Any]

#: Actions that may follow one another at once, without an event in between.
_AT_ONCE = 3


@implementer(IProducer)
class _Producer:
    """Writes a piece whenever it may, until it has written so many."""

    def __init__(self, service: Wild, pieces: int, streaming: bool) -> None:
        self._service = service
        self._left = pieces
        self._streaming = streaming
        self._paused = False
        self.stopped = False

    def begin(self) -> None:
        if self._streaming and not self.stopped:
            self.resumeProducing()

    def pauseProducing(self) -> None:
        assert not self.stopped, "paused although it was stopped"
        self._paused = True

    def resumeProducing(self) -> None:
        assert not self.stopped, "resumed although it was stopped"
        self._paused = False
        while not self._paused and not self.stopped:
            self._service.write(b"p" * 9000)
            self._left -= 1
            if self._left <= 0:
                self._service.unregister()
                return
            if not self._streaming:
                return

    def stopProducing(self) -> None:
        assert not self.stopped, "stopped twice"
        self.stopped = True
        self._service.producer = None


class Wild(Protocol):
    """The service, which does not know of half-closes."""

    transport: Any

    def __init__(self, actions: list[Action], messages: bool = False) -> None:
        """
        @param actions: what all connections do, one after the other.
        @param messages: what comes are messages, of which one may be empty.
        """
        self._actions = actions
        self._messages = messages
        self.producer: _Producer | None = None
        self.ended = 0

    def connectionMade(self) -> None:
        self._act()

    def dataReceived(self, data: bytes) -> None:
        assert not self.ended, "data after connectionLost"
        assert data or self._messages, "no data"
        self._act()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended += 1
        assert self.ended == 1, "lost twice"
        assert self.producer is None, "its producer was not stopped"
        self._act()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def unregister(self) -> None:
        if self.producer is not None:
            self.producer.stopped = True
            self.producer = None
            self.transport.unregisterProducer()

    def _act(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._actions:
                return
            name, argument = self._actions.pop(0)
            if name == "nothing":
                return
            self._do(name, argument)

    def _do(self, name: str, argument: Any) -> None:
        if name == "produce":
            if self.producer is None and not self.ended:
                pieces, streaming = argument
                self.producer = producer = _Producer(self, pieces, streaming)
                self.transport.registerProducer(producer, streaming)
                producer.begin()
        elif name == "unregister":
            self.unregister()
        elif argument is None:
            getattr(self.transport, name)()
        else:
            getattr(self.transport, name)(argument)


@implementer(IHalfCloseableProtocol)
class HalfClosingWild(Wild):
    """The service, which does."""

    def readConnectionLost(self) -> None:
        assert not self.ended, "half-closed after connectionLost"
        self._act()

    def writeConnectionLost(self) -> None:
        assert not self.ended, "half-closed after connectionLost"
        self._act()


class WildFactory(Factory[Wild]):
    """Makes one or the other for each connection."""

    noisy = False

    def __init__(self, actions: list[Action], half_closing: bool, messages: bool = False) -> None:
        """See `Wild`."""
        self._actions = list(actions)
        self._messages = messages
        self._make = HalfClosingWild if half_closing else Wild

    def buildProtocol(self, addr: Any) -> Wild:
        return self._make(self._actions, self._messages)


_CALLS = (
    "loseConnection",
    "loseConnection",
    "abortConnection",
    "loseWriteConnection",
    "pauseProducing",
    "resumeProducing",
    "resumeProducing",
    "stopProducing",
    "unregister",
    "nothing",
    "nothing",
    "getPeer",
    "getHost",
    "arrival",
)


def make_actions(chance: Inputs) -> list[Action]:
    """What a wild service shall do."""
    actions: list[Action] = []
    for _ in range(chance.below(12)):
        kind = chance.random()
        if kind < 0.3:
            data = b"w" * chance.one_of((0, 1, 100, 70_000, 200_000))
            actions.append(("write", bytearray(data) if chance.rarely() else data))
        elif kind < 0.35:
            actions.append(("writeSequence", [b"a", b"", b"bc"]))
        elif kind < 0.5:
            actions.append(("produce", (1 + chance.below(20), chance.often())))
        else:
            actions.append((chance.one_of(_CALLS), None))
    return actions
