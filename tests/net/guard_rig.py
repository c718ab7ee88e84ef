"""A guard between a service and a transport in memory whose peer, system and clock are the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from netsvc.facts import Fact, Facts, Row
from netsvc.net.factory import GuardFactory
from netsvc.net.guard import Guard
from netsvc.net.listening import Listening
from netsvc.settings import Limits

CLIENT = IPv4Address("TCP", "192.0.2.7", 4711)
SERVER = IPv4Address("TCP", "192.0.2.1", 8009)


class Turns(Clock):
    """A clock in which what is asked for at once comes in the next turn, as in a reactor."""

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        return super().callLater(max(delay, 1e-6), callable, *args, **kw)


class Wire(StringTransport):
    """
    A TCP transport as Twisted's is, as far as a guard sees it.

    @ivar finished: it was asked to close its sending side.
    @ivar closed: it was asked to close.
    @ivar aborted: it was asked to abort.
    @ivar pressure: what is registered as its producer.
    """

    TLS = False

    # Any, because mypy would hold a flag that was asserted false for false for ever.
    finished: Any
    closed: Any
    aborted: Any

    def __init__(self, peer: IAddress = CLIENT) -> None:
        super().__init__(SERVER, peer)  # type: ignore[no-untyped-call]
        self.finished = self.closed = self.aborted = False

    @property
    def pressure(self) -> Any:
        return self.producer

    @property
    def reading(self) -> Any:
        return self.producerState == "producing"

    def sent(self) -> bytes:
        """All that was written."""
        return bytes(self.value())  # type: ignore[no-untyped-call]

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseWriteConnection(self) -> None:
        self.finished = True

    def loseConnection(self) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.aborted = True


class Recorder(Protocol):
    """
    A service that notes what happens to it.

    @ivar events: ``made``, the bytes received, ``lost``.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.events.append("lost")


class Push:
    """A push producer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Rig:
    """
    One listener with a service, and the facts that come of it.

    @ivar services: the service's protocols, as they were built.
    @ivar facts: what was noted.
    """

    def __init__(
        self,
        make: Callable[[], IProtocol] = Recorder,
        limits: Limits | None = None,
        **listening: Any,
    ) -> None:
        self.clock = Turns()
        self.facts: list[Fact] = []
        self.services: list[Any] = []
        facts = Facts()
        facts.subscribe(self)  # type: ignore[arg-type]
        factory = Factory()

        def build() -> IProtocol:
            self.services.append(make())
            return self.services[-1]  # type: ignore[no-any-return]

        factory.protocol = build  # type: ignore[assignment]
        self.listening = Listening(
            service="tested",
            listener="tcp://192.0.2.1:8009",
            transport="tls" if "tls" in listening else "tcp",
            factory=factory,
            limits=limits or Limits(),
            facts=facts,
            clock=self.clock,
            **listening,
        )
        self.factory = GuardFactory(self.listening)

    def note(self, row: Row) -> None:
        self.facts.append(Fact.of(row))

    def connect(self, peer: IAddress = CLIENT) -> tuple[Guard, Wire]:
        """A client connects."""
        wire = Wire(peer)
        guard = self.factory.buildProtocol(peer)
        guard.makeConnection(wire)
        return guard, wire

    def kinds(self) -> list[str]:
        """The kinds of the facts, a refusal or an end with its reason."""
        return [f"{fact.kind} {fact.reason}" if fact.reason else fact.kind for fact in self.facts]

    @staticmethod
    def lose(guard: Guard, clean: bool = True) -> None:
        """The transport is gone."""
        guard.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))
