"""
Plays a few connections to one service: from the socket through the guard to the service, and back.

A play is the service, its settings and limits, and steps: connect, send, turn, wait, break … At its end all
connections end in one of three ways, and then nothing may be left: no connection, no timer, no reader, no
entry in a list; and the facts must tell of all of it.
"""

from __future__ import annotations

import dataclasses
import errno
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from netsvc.clientlist.memory import ClientList
from netsvc.construct import named, stream_factory
from netsvc.facts import Facts
from netsvc.journal.memory import Ring
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.registry import Registry, discover
from netsvc.service import NetService
from netsvc.settings import Limits, Networks, SettingError, defaults
from netsvc.trafficlog import TrafficLog
from tests.fuzz.books import Books
from tests.fuzz.disk import Disk
from tests.fuzz.peers import Peer, TLSPeer
from tests.fuzz.wires import Reactor, connect

#: What is done, to which connection, and with what.
Step = tuple[str, int, Any]

#: The service of which a play brings its own factory.
WILD = NetService(name="wild", summary="does anything", stream="tests.fuzz.wild.WildFactory")

_LINES = {"opened": "opened {peer}", "received": "got {data} from {peer}", "closed": "{peer} ended: {reason}"}

#: Small, so that a play meets them.
_LIMITS = Limits(
    max_connections=3,
    per_address=3,
    new_per_second=1000.0,
    idle_timeout=20.0,
    handshake_timeout=2.0,
    first_line_timeout=3.0,
    write_timeout=1.0,
    close_timeout=0.5,
    write_budget=100_000,
    log_rate=3.0,
)

#: Seconds after which nobody may be there any more, in steps that let each timer have its time.
_PATIENCE, _PULSE = 40, 0.5


class Play(NamedTuple):
    """
    What happens.

    @ivar service: the service's name.
    @ivar settings: those that are not the default.
    @ivar limits: those that are not this file's.
    @ivar proxy: ``off``, ``optional`` or ``required``.
    @ivar transport: ``tcp``, ``unix`` or ``endpoint``; TLS is the check's to say.
    @ivar steps: what happens.
    @ivar end: how everything ends: ``break``, ``drain``, or, where nobody reads any more, ``vanish``.
    """

    service: str
    settings: dict[str, Any]
    limits: dict[str, Any]
    proxy: str
    transport: str
    steps: tuple[Step, ...]
    end: str


@cache
def registry() -> Registry:
    """The services that are installed."""
    return discover()


def service_named(name: str) -> NetService:
    """A declaration; of `WILD` too."""
    return WILD if name == WILD.name else registry().services[name]


def limits_with(own: Mapping[str, Any], others: Limits) -> Limits:
    """Limits where some are others than usual; networks stand there as tuples of texts."""
    read: dict[str, Any] = {
        key: Networks.of(*value) if type(value) is tuple else value for key, value in own.items()
    }
    return dataclasses.replace(others, **read)


class Stage:
    """Everything that a play needs, as the daemon has it put together."""

    def __init__(self, play: Play, tls: ssl.SSLContext | None) -> None:
        """
        @param tls: what the listener speaks TLS with.
        @raise SettingError: the service does not take its settings.
        """
        service = service_named(play.service)
        self.reactor = Reactor()
        self.books = Books()
        self.clients = ClientList(self.reactor)
        self.disk = Disk()
        self.log = TrafficLog(self.reactor, {service.name: service.log or _LINES}, {"tcp://x": 3.0})
        self.facts = Facts(capture=1 << 30, clock=lambda: 1_473_977_352_000_000_000)
        self.timeline = Ring(65_536, self.facts.flush)
        self.facts.keep(self.timeline)
        for sink in (self.log, self.books):
            self.facts.subscribe(sink)
        self.shared = named(service.name, service.shared)() if service.shared else None
        self.listening = Listening(
            service=service.name,
            listener="tcp://x",
            transport="tls" if tls else play.transport,
            factory=stream_factory(service.name, service.stream, self._arguments(service, play)),
            limits=limits_with({**service.limits, **play.limits}, _LIMITS),
            facts=self.facts,
            clock=self.reactor,
            tls=tls,
            proxy=play.proxy,
            first=service.first,
            over_endpoint=play.transport == "endpoint",
        )
        self.factory = GuardFactory(self.listening)
        self.peers: dict[int, Peer] = {}

    def _arguments(self, service: NetService, play: Play) -> dict[str, Any]:
        needed = {
            "reactor": self.reactor,
            "clients": self.clients,
            "timeline": self.timeline,
            "journal": self.disk,
        }
        arguments: dict[str, Any] = {**defaults(service.settings), **play.settings}
        arguments.update({name: thing for name, thing in needed.items() if name in service.needs})
        if self.shared is not None:
            arguments["shared"] = self.shared
        return arguments


def simpler(play: Play) -> Iterator[Play]:
    """The same play without one thing."""
    for at in range(len(play.steps)):
        yield play._replace(steps=play.steps[:at] + play.steps[at + 1 :])
    for key in play.limits:
        yield play._replace(limits={name: one for name, one in play.limits.items() if name != key})


def check(play: Play) -> None:
    """Play it."""
    perform(play, None, None)


def check_tls(play: Play, serving: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """The same on a TLS listener."""
    perform(play, serving, client)


def perform(
    play: Play, serving: ssl.SSLContext | None = None, client: ssl.SSLContext | None = None
) -> Stage | None:
    """
    Play it, and see that nothing is left.

    @return: the stage after the play; None where the service refuses its settings.
    """
    try:
        stage = Stage(play, serving)
    except SettingError:
        if not play.settings:
            raise
        return None
    for what, who, argument in play.steps:
        _STEPS[what](stage, who, argument, client)
    _end(stage, play)
    _settle(stage)
    if play.settings.get("linger"):
        assert not stage.clients.entries(), "entries of clients that have gone"
    return stage


# -- steps ------------------------------------------------------------------------------------------------


def _connect(stage: Stage, who: int, argument: Any, client: ssl.SSLContext | None) -> None:
    if who in stage.peers:
        return
    address, room = argument
    guard = stage.factory.buildProtocol(None)  # type: ignore[arg-type]
    number = len(stage.peers) + 1
    wire = connect(guard, address, room, stage.reactor)
    stage.peers[who] = Peer(wire, number) if client is None else TLSPeer(wire, number, client)


def _turn(stage: Stage, who: int, argument: int, client: object) -> None:
    for _ in range(argument):
        stage.reactor.turn()


def _wait(stage: Stage, who: int, argument: float, client: object) -> None:
    stage.reactor.advance(argument)


def _idle(stage: Stage, who: int, argument: object, client: object) -> None:
    stage.listening.close_idle()


def _drain(stage: Stage, who: int, argument: object, client: object) -> None:
    for guard in list(stage.listening.guards):
        guard.drain()


def _give_up(stage: Stage, who: int, argument: object, client: object) -> None:
    for guard in list(stage.listening.guards):
        guard.abort()


def _commit(stage: Stage, who: int, argument: bool, client: object) -> None:
    stage.disk.commit(argument)


def _of_peer(name: str) -> Any:
    def step(stage: Stage, who: int, argument: Any, client: object) -> None:
        if who in stage.peers:
            getattr(stage.peers[who], name)(argument)

    return step


_STEPS = {
    "connect": _connect,
    "turn": _turn,
    "wait": _wait,
    "idle": _idle,
    "drain": _drain,
    "give_up": _give_up,
    "commit": _commit,
    **{name: _of_peer(name) for name in ("send", "raw", "spoil", "end", "take", "fail", "shake")},
}


# -- the end ----------------------------------------------------------------------------------------------


def _end(stage: Stage, play: Play) -> None:
    if play.end == "break":
        for peer in stage.peers.values():
            peer.fail(errno.ECONNRESET)
            stage.reactor.lose(peer.wire)
        stage.reactor.turn()
        return
    for guard in list(stage.listening.guards):
        guard.drain()
    for _ in range(_PATIENCE):
        if not stage.listening.guards:
            return
        for peer in stage.peers.values():
            peer.take(1 << 20 if play.end == "drain" else 0)
        stage.reactor.turn()
        stage.reactor.turn()
        stage.reactor.advance(_PULSE)


def _settle(stage: Stage) -> None:
    # What is still to be recorded is nobody's any more.
    stage.disk.commit(True)
    assert not stage.listening.guards, f"connections that never end: {len(stage.listening.guards)}"
    stage.reactor.turn()
    stage.log.stop()
    stage.books.settle(stage.clients.name_of)
    stage.clients.close()
    assert not stage.reactor.left(), f"left behind: {stage.reactor.left()}"
    assert not stage.facts.missed, f"sinks that raised: {stage.facts.missed}"
    assert not stage.books.problems, stage.books.problems
    counts = stage.listening.counted()
    assert counts.opened == counts.closed, counts
    admission, limits = stage.listening.admission, stage.listening.limits
    for _ in range(limits.max_connections):
        assert admission.open_socket() is None, "a connection that has gone is still counted"
    for peer in stage.peers.values():
        peer.compare(stage.books.received(peer.number), stage.books.sent(peer.number))
