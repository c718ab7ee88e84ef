"""Text from peers on its way to other people: lines, names, log lines, facts as JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from zope.interface import implementer

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from netsvc.facts import KINDS, REFUSED, Fact, Facts
from netsvc.journal.memory import Ring
from netsvc.services.lines import LineSplitter
from netsvc.services.plain import InvalidNameError, check_name, plain_line, read_name
from netsvc.services.room import JoinError, Room
from netsvc.trafficlog import TrafficLog
from tests.fuzz.campaign import one_line
from tests.fuzz.corpora import MESSAGES, TCP_PEERS, UNIX_PEERS
from tests.fuzz.inputs import Inputs
from tests.fuzz.plays import registry

_LISTENERS = (
    "tcp://127.0.0.1:8009",
    "unix:///run/a%20b.sock",
    "tcp:8009:interface=\\:\\:",
    "udp://[::1]:6667",
)

# -- lines ------------------------------------------------------------------------------------------------


class Lines(NamedTuple):
    """A stream, and the bytes that a line of it may have."""

    data: bytes
    most: int


def make_lines(chance: Inputs) -> Lines:
    """Some lines, short enough to be cut everywhere."""
    pieces = [chance.one_of(MESSAGES)[: 1 + chance.below(12)] for _ in range(1 + chance.below(4))]
    data = chance.broken(chance.one_of((b"\n", b"\r\n", b"\r", b"")).join(pieces), MESSAGES)[:48]
    return Lines(data, 1 + chance.size(20))


def check_lines(made: Lines) -> None:
    """Cut in two anywhere, or into single bytes, the stream has the same lines, the right ones."""
    data, most = made
    right = _right_lines(data, most)
    for at in range(len(data) + 1):
        assert _split([data[:at], data[at:]], most) == right, f"not when cut at {at}"
    assert _split([data[at : at + 1] for at in range(len(data))], most) == right, "not byte by byte"


def _right_lines(data: bytes, most: int) -> list[bytes | None]:
    *lines, rest = data.split(b"\n")
    right: list[bytes | None] = []
    for line in [*lines, *([rest] if rest else [])]:
        if len(line.removesuffix(b"\r")) > most:
            return [*right, None]
        right.append(line)
    return right


def _split(pieces: list[bytes], most: int) -> list[bytes | None]:
    splitter = LineSplitter(most)
    lines: list[bytes | None] = []
    for piece in pieces:
        lines += splitter.feed(piece)
    return lines + splitter.finish()


# -- names ------------------------------------------------------------------------------------------------


class Name(NamedTuple):
    """A name as it came, and the bytes that it may have."""

    data: bytes
    longest: int


def make_name(chance: Inputs) -> Name:
    """A name, broken or not."""
    data = chance.one_of(MESSAGES)[:300].strip(b"\r\n")
    if chance.often():
        text = chance.broken_text(data.decode("utf-8", "replace"), ("alice", "\u00e9\u4e00", "bob: "))
        data = text.encode("utf-8", "surrogatepass")
    return Name(chance.broken(data, MESSAGES)[:600], chance.one_of((1, 4, 64, 255)))


class _Member:
    """Somebody in a chat room, who sees to it that what is said can be shown."""

    def here(self, names: list[str]) -> None:
        for name in names:
            shown(name)

    def joined(self, name: str) -> None:
        shown(name)

    def left(self, name: str) -> None:
        shown(name)

    def said(self, name: str, text: str, time: int) -> None:
        shown(name)
        shown(text.replace("\t", ""))


def shown(text: str) -> None:
    """A text that a terminal or a page can be given as it is."""
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in text), f"a control character in {text!r}"
    assert not set(text) & set("\u2028\u2029\u202a\u202e\u2066\u2069\u200e\u200f\u061c"), text
    assert text.encode("utf-8").decode("utf-8") == text
    assert text.splitlines() in ([text], []), f"more than one line: {text!r}"


def check_name_and_text(made: Name) -> None:
    """A name is refused, or can be shown; whatever is said by it can be shown."""
    room, watcher, member = Room(), _Member(), _Member()
    room.join("watcher", watcher, 9)
    try:
        name = read_name(made.data, made.longest)
    except InvalidNameError as error:
        shown(str(error))
        name = "watcher's friend"
    else:
        assert len(name.encode("utf-8")) <= made.longest
        assert check_name(name, made.longest) == name == made.data.decode("utf-8")
        shown(name)
    text = made.data.decode("utf-8", "surrogateescape")
    assert plain_line(plain_line(text)) == plain_line(text), "what was made plain is not plain"
    assert len(plain_line(text)) <= 6 * len(text)
    try:
        room.join(name, member, 9)
    except (InvalidNameError, JoinError) as error:
        shown(str(error))
        return
    room.say(member, text)
    room.leave(member)
    room.join(name, member, 9)


# -- facts ------------------------------------------------------------------------------------------------


class Noted(NamedTuple):
    """Facts: for each its kind, service, listener, peer, data, reason, detail; and the capture."""

    facts: tuple[tuple[str, str, str, str, int | None, bytes | None, str | None, Any], ...]
    capture: int


def make_noted(chance: Inputs) -> Noted:
    """A few facts of any kind."""
    services = (*registry().services, "nobody's")
    made = []
    for _ in range(1 + chance.below(5)):
        kind = chance.one_of(KINDS)
        if chance.often():
            peer = chance.one_of(TCP_PEERS)
            address, port = str(peer[0]), int(peer[1])
        else:
            path = chance.one_of(UNIX_PEERS) or ""
            address, port = path if isinstance(path, str) else path.decode("utf-8", "surrogateescape"), None
            address = chance.broken_text(address, ("/run/{peer}", "%s"))
        data = chance.broken(chance.one_of(MESSAGES), MESSAGES) if chance.often() else None
        reason = chance.one_of(("fin", "idle", "tls", "{data}")) if kind != "opened" else None
        if kind in ("received", "sent"):
            data = data or b""
        detail = _detail(chance) if chance.rarely() else ()
        listener = chance.one_of(_LISTENERS)
        made.append((kind, chance.one_of(services), listener, address, port, data, reason, detail))
    return Noted(tuple(made), chance.one_of((0, 1, 16, 4096)))


def _detail(chance: Inputs) -> Any:
    texts = ("\udcff\n", "certificate verify failed", "x" * 300, None, 7, 0.25)
    inner = (("version", chance.one_of(texts)), ("server_name", chance.one_of(texts)))
    return (("error", chance.one_of(texts)), ("tls", inner))


@implementer(ILogObserver)
class _LogLines:
    """The lines that the log gets."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))


def check_noted(made: Noted) -> None:
    """Every sink takes every fact; as JSON it is what it was, in the log one line of printable ASCII."""
    clock, ring, lines = Clock(), Ring(65_536), _LogLines()
    log = TrafficLog(
        clock, {name: one.log for name, one in registry().services.items()}, {_LISTENERS[0]: 2.0}
    )
    facts = Facts(made.capture)
    facts.keep(ring)
    facts.subscribe(log)
    globalLogPublisher.addObserver(lines)
    try:
        for kind, service, listener, address, port, data, reason, detail in made.facts:
            origin = (service, listener, "tcp", address, port, "127.0.0.1:8009", 7)
            facts.emit(kind, origin, data, reason or ("idle" if kind == REFUSED else None), detail)
        clock.advance(1.0)
        log.stop()
    finally:
        globalLogPublisher.removeObserver(lines)
    assert not facts.missed, facts.missed
    assert not clock.getDelayedCalls(), "a timer is left"
    for line in lines.lines:
        one_line(line)
        assert line.isascii(), f"the log got {line!r}"
    _check_json(ring, made)


def _check_json(ring: Ring, made: Noted) -> None:
    rows = ring.since(0)
    assert len(rows) <= len(made.facts)
    for row in rows:
        document = json.loads(json.dumps(Fact.of(row).as_json(lambda address: address[:3] or None)))
        assert (document["seq"], document["kind"], document["length"]) == (row[0], row[2], row[4])
        assert document["data"] is None or len(document["data"]) <= 4 * (made.capture + 2) // 3 + 2
