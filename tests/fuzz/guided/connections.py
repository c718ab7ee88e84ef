"""Connections to a service, through guard and transport; and datagrams, through their port."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any

from twisted.internet.protocol import Factory

from netsvc.facts import Facts
from netsvc.net.factory import GuardFactory
from netsvc.net.listening import Listening
from netsvc.services.chat import ChatFactory
from netsvc.services.echo import EchoFactory
from netsvc.services.room import Room
from netsvc.services.timestamp import TimestampFactory
from netsvc.settings import Limits, Networks
from tests.fuzz import bursts, datagrams, plays, streams
from tests.fuzz.books import Books
from tests.fuzz.bursts import Burst
from tests.fuzz.corpora import TCP_PEERS, UNIX_PEERS
from tests.fuzz.guided.choosing import Choices
from tests.fuzz.guided.reading import Reading, pieces_at, single
from tests.fuzz.guided.scratch import serving
from tests.fuzz.handshakes import careless
from tests.fuzz.plays import Play
from tests.fuzz.wires import Reactor, Wire, connect
from tests.net.tls_client import VERSIONS

#: Steps of one play, lest an input be slow and not new.
_STEPS = 40

#: Bytes up to which a connection also gets its bytes one by one.
_SINGLE = 64

_STREAMS = (*(name for name in plays.registry().builtin if name != "web"), plays.WILD.name)
_DATAGRAMS = (*_STREAMS[:-1], bursts.WILD.name)
_PROXY = ("off", "off", "optional", "required")
_ENDS = ("break", "drain", "vanish")

#: What a step's byte says is to happen; sending is what happens most.
_KINDS = ("send", "send", "send", "connect", "wait", "take", "end", "fail", "idle", "drain", "commit", "raw")


# -- streams ----------------------------------------------------------------------------------------------


def stream(data: bytes) -> None:
    """
    A service gets connections: nothing is left of them, facts tell what was on the wire, and an echo is the
    beginning of what came.
    """
    given = Reading(data)
    name = given.one_of([one for one in _STREAMS if plays.service_named(one).stream])
    service, choices = plays.service_named(name), Choices(given)
    proxy, transport = given.one_of(_PROXY), given.one_of(("tcp", "unix", "endpoint", "tls"))
    settings, limits = choices.settings(service), choices.limits(streams.LIMITS)
    if proxy != "off":
        limits["proxies"] = ("0.0.0.0/0", "::/0")
    peers: Any = UNIX_PEERS if transport == "unix" else TCP_PEERS
    steps: list[plays.Step] = [("connect", who, (peers[who], 1 << 20)) for who in range(2)]
    while given and len(steps) < _STEPS:
        steps += _step(given, peers)
    tls = transport == "tls"
    play = Play(name, settings, limits, proxy, "tcp" if tls else transport, tuple(steps), given.one_of(_ENDS))
    if tls:
        play = play._replace(steps=tuple(_shaking(steps)))
        version = given.one_of(tuple(VERSIONS))
        stage = plays.perform(play, serving(), _careless(version))
    else:
        stage = plays.perform(play)
    if stage is not None and name == "echo":
        for peer in stage.peers.values():
            received, sent = stage.books.received(peer.number), stage.books.sent(peer.number)
            assert received.startswith(sent), "an echo of what was not said"


def _shaking(steps: list[plays.Step]) -> Iterator[plays.Step]:
    """The same steps of clients who answer whatever TLS asks of them."""
    for step in steps:
        yield step
        yield from [("turn", 0, 1), ("shake", step[1], None)] * 2


@cache
def _careless(version: str) -> ssl.SSLContext:
    return careless(version)


def _step(given: Reading, peers: Any) -> list[plays.Step]:
    """One step; its byte's highest bit says that the reactor does not turn behind it."""
    byte = given.byte()
    what, who = _KINDS[byte % len(_KINDS)], byte // len(_KINDS) % 3
    argument: Any = None
    if what in ("send", "raw"):
        argument = given.piece()
    elif what == "connect":
        argument = (given.one_of(peers), given.one_of(streams.ROOMS))
    elif what == "wait":
        argument = given.one_of(streams.WAITS)
    elif what == "take":
        argument = given.one_of(streams.ROOMS)
    elif what == "fail":
        argument = given.one_of(streams.ERRORS)
    elif what in ("end", "commit"):
        argument = bool(given.byte() % 4)
    elif what == "drain" and given.byte() % 4 == 0:
        what = "give_up"
    step: plays.Step = (what, who, argument)
    return [step] if byte & 0x80 else [step, ("turn", 0, 1)]


# -- every split is the same ------------------------------------------------------------------------------


def _now() -> int:
    return 1_473_977_352_000_000_000


def _factory(name: str, room: Room) -> Factory[Any]:
    if name == "echo":
        return EchoFactory()
    if name == "timestamp":
        return TimestampFactory(framing="line", max_line=40, now=_now)
    if name == "literal":
        return TimestampFactory(
            framing="line", data="repr", style="plain", clock="iso", max_line=40, now=_now
        )
    return ChatFactory(room, max_line=40, max_members=3)


def split(data: bytes) -> None:
    """
    What a client gets back, what others get, and how its connection ends, does not depend on how its bytes
    were cut, with and without a PROXY header.
    """
    given = Reading(data)
    name = given.one_of(("echo", "timestamp", "literal", "chat", "chat"))
    proxy = given.one_of(("off", "optional", "required"))
    places = given.places()
    said = given.rest()
    whole = _outcome(name, proxy, [said] if said else [])
    assert _outcome(name, proxy, pieces_at(said, places)) == whole, f"not so when cut at {places}"
    if len(said) <= _SINGLE:
        assert _outcome(name, proxy, single(said)) == whole, "not so byte by byte"
    if name == "echo" and proxy == "off":
        assert whole[0] == said, "an echo of something else"


def _outcome(name: str, proxy: str, pieces: list[bytes]) -> tuple[bytes, bytes, list[list[str]]]:
    """What the client got, what another one got, and the kinds of the facts of both."""
    reactor, books, room = Reactor(), Books(), Room(_now)
    facts = Facts(capture=1 << 30)
    facts.subscribe(books)
    # Who comes first is told at once what becomes of the other.
    first = _guards("chat", "off", facts, reactor, ChatFactory(room))
    watcher = _client(first, reactor)
    _say(reactor, watcher, [b"watcher\n"])
    client = _client(_guards(name, proxy, facts, reactor, _factory(name, room)), reactor)
    _say(reactor, client, pieces)
    _say(reactor, client, [b""])
    reactor.advance(5.0)
    reactor.turn()
    seen = bytes(client.sent), bytes(watcher.sent)
    for wire in (client, watcher):
        reactor.lose(wire)
    reactor.turn()
    books.settle(lambda address: None)
    assert not books.problems, books.problems
    assert not reactor.left(), f"left behind: {reactor.left()}"
    return (*seen, books.ends())


def _guards(name: str, proxy: str, facts: Facts, reactor: Reactor, factory: Factory[Any]) -> GuardFactory:
    return GuardFactory(
        Listening(
            service=name,
            listener="tcp://x",
            transport="tcp",
            factory=factory,
            limits=Limits(proxies=Networks.of("0.0.0.0/0"), close_timeout=0.5),
            facts=facts,
            clock=reactor,
            proxy=proxy,
        )
    )


def _client(guards: GuardFactory, reactor: Reactor) -> Wire:
    guard = guards.buildProtocol(None)  # type: ignore[arg-type]
    return connect(guard, ("198.51.100.7", 40_000), 1 << 30, reactor)


def _say(reactor: Reactor, wire: Wire, pieces: list[bytes]) -> None:
    for piece in pieces:
        if not wire.closed:
            wire.arriving.append(piece)
            reactor.turn()
            reactor.turn()


# -- datagrams --------------------------------------------------------------------------------------------


def datagram(data: bytes) -> None:
    """
    A service gets datagrams: nobody is sent more than it has earned, some are sent nothing, and what is
    acknowledged as recorded is.
    """
    given = Reading(data)
    name = given.one_of(_DATAGRAMS_ALL)
    service = bursts.WILD if name == bursts.WILD.name else plays.registry().services[name]
    choices = Choices(given)
    settings, limits = choices.settings(service), choices.limits(datagrams.LIMITS)
    bound = given.one_of(datagrams.BOUND)
    sources = [datagrams.source(choices.chance, bound) for _ in range(3)]
    steps: list[bursts.Step] = []
    while given and len(steps) < _STEPS:
        steps += _burst_step(given, sources)
    bursts.check(Burst(name, settings, limits, bound, tuple(steps)))


_DATAGRAMS_ALL = tuple(
    name for name in _DATAGRAMS if name == bursts.WILD.name or plays.registry().services[name].datagram
)


def _burst_step(given: Reading, sources: list[Any]) -> list[bursts.Step]:
    byte = given.byte()
    what = ("come", "come", "come", "error", "fail", "wait", "drop", "hang_up", "commit", "stop")[byte % 10]
    step: bursts.Step
    if what == "come":
        asked = given.one_of(datagrams.ASKED) if byte & 0x40 else "192.0.2.1"
        step = ("come", (given.piece(), given.one_of(sources), asked))
    elif what == "error":
        step = ("come", given.one_of(datagrams.ERRORS))
    elif what in ("fail", "hang_up"):
        step = (what, given.one_of(datagrams.ERRORS))
    elif what == "wait":
        step = (what, given.one_of(datagrams.WAITS))
    elif what == "drop":
        step = (what, given.one_of((1, 2**31, 2**32 - 1)))
    else:
        step = (what, bool(given.byte() % 4))
    return [step] if byte & 0x80 else [step, ("turn", 1)]
