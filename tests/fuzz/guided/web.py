"""What comes over HTTP: requests, and the frames of WebSockets."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from netsvc.interfaces import Arrival
from netsvc.services.echo import Echo
from netsvc.settings import Limits, Networks
from netsvc.web.request import MAX_HEAD
from tests.fuzz.campaign import one_line
from tests.fuzz.guided.reading import Reading, pieces_at, single
from tests.fuzz.guided.scratch import directory
from tests.web.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Deflater, Frame, frame
from tests.web.service_rig import ServiceRig
from tests.web.siterig import ELSEWHERE, HERE, TOKEN, Connection
from tests.web.socket_rig import Bounds, BridgeRig

#: Turns in which whatever is not waiting for a time comes to its end; and a few, behind a single byte.
_TURNS, _FEW = 30, 3

#: Seconds after which nobody waits any more: longer than any wait that a request may ask for.
_PATIENCE = 400.0

#: Seconds longer than any of the times after which a connection ends.
_PULSE = 21.0

#: Bytes up to which an input is also given one by one.
_SINGLE = 200

#: Bytes of a body: few, so that an input meets the limit.
_MOST_OF_A_BODY = 2000

#: What stands for one byte many times, for the limits of a head and a body.
_REPEATED = re.compile(rb"\xfe(.)(.)", re.DOTALL)

_FIRST = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9] [ -~]+")


# -- HTTP -------------------------------------------------------------------------------------------------


class _Door(NamedTuple):
    """
    Where a client comes to, and where from.

    @ivar address: what the site listens on.
    @ivar limits: what the site has for limits: among them whose word it takes for where a client is.
    """

    address: str
    arrival: Arrival
    limits: Limits


_LOCAL = _Door("127.0.0.1", HERE, Limits())
_DOORS = (
    _LOCAL,
    _Door("0.0.0.0", HERE, Limits()),
    _Door("0.0.0.0", ELSEWHERE, Limits()),
    _Door("0.0.0.0", ELSEWHERE, Limits(proxies=Networks.of("203.0.113.0/24"))),
)


@cache
def _token_file() -> str:
    file = directory() / "token"
    file.write_text(TOKEN)
    return str(file)


class _Told(NamedTuple):
    """
    What came of some bytes.

    @ivar answers: the status of each answer and its type.
    @ivar inside: what came of the daemon's own: an upgrade, or an answer that not everybody gets.
    @ivar closing: whether our side has closed.
    """

    answers: tuple[tuple[int, bytes], ...]
    inside: bool
    closing: bool


def http(data: bytes) -> None:
    """
    Requests have whole answers, none of which says that netsvc failed, whichever way they are cut; what is
    kept of them is bounded, and nothing is left of a connection. Nobody comes in without the token who must
    have it.
    """
    given = Reading(data)
    door = given.one_of(_DOORS)
    places = given.places()
    said = _REPEATED.sub(lambda match: match[2] * (match[1][0] * 64), given.rest())
    whole = _asked(door, [said] if said else [])
    assert _asked(door, pieces_at(said, places)) == whole, f"not so when cut at {places}"
    if len(said) <= _SINGLE:
        assert _asked(door, single(said)) == whole, "not so byte by byte"
    if door is not _LOCAL and TOKEN.encode() not in unquote_to_bytes(said):
        assert not whole.inside, "in without a token"


@cache
def _site(door: _Door) -> ServiceRig:
    """One for all inputs, for it reads many files to begin with."""
    return ServiceRig(
        address=door.address,
        limits=door.limits,
        token_file=_token_file(),
        origins=["https://app.example"],
        max_body=_MOST_OF_A_BODY,
    )


def _asked(door: _Door, pieces: list[bytes]) -> _Told:
    rig = _site(door)
    rig.timeline.clear()
    rig.receive(b"hello python")
    connection = Connection(rig.site, rig.clock, door.arrival)
    wire: Any = connection.wire
    for piece in pieces:
        _wait_until_read(rig, wire)
        if not wire.disconnecting:
            (getattr(wire, "protocol", None) or connection.channel).dataReceived(piece)
        connection.turn(_TURNS if len(piece) > 1 else _FEW)
        _check_kept(connection.channel, len(piece))
    _wait_until_read(rig, wire)
    told = _told(wire.value(), bool(wire.disconnecting))
    rig.clock.pump([_PULSE] * 5 + [_PATIENCE] * 3)
    # A WebSocket lives as long as somebody answers its pings, which nobody does here.
    assert wire.disconnecting, "a connection that nobody uses stays open"
    (getattr(wire, "protocol", None) or connection.channel).connectionLost(Failure(ConnectionDone()))
    rig.clock.pump([0.01] * 3)
    # Each service that was reached over WebSocket looks now and then for idle connections.
    left = rig.clock.getDelayedCalls()
    assert len(left) <= len(rig.bridges.listeners), f"left behind: {left}"
    assert not any(listener.connections() for listener in rig.bridges.listeners)
    return told


def _check_kept(channel: Any, came: int) -> None:
    """
    No more is kept than a head and a body may have.

    @param came: bytes that came together, which are kept while one request is answered.
    """
    assert len(getattr(channel, "_buffer", b"")) <= MAX_HEAD + came, "more is kept than a head has"
    for request in getattr(channel, "requests", ()):
        body = getattr(request, "content", None)
        assert body is None or len(body.getvalue()) <= _MOST_OF_A_BODY, "more is kept than a body has"


def _wait_until_read(rig: ServiceRig, wire: Any) -> None:
    """Let time pass while nothing is read, as there is an answer to wait for."""
    for _ in range(_TURNS):
        if wire.producerState == "producing" or wire.disconnecting:
            return
        rig.clock.advance(0.001)
    rig.clock.pump([_PATIENCE, 0.01, 0.01])


def _told(sent: bytes, closing: bool) -> _Told:
    answers: list[tuple[int, bytes]] = []
    inside = False
    while sent:
        head, blank, rest = sent.partition(b"\r\n\r\n")
        assert blank, f"an answer without an end of its head: {sent[:100]!r}"
        first, *lines = head.split(b"\r\n")
        assert _FIRST.fullmatch(first), f"no answer begins so: {first!r}"
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        status, sent = int(first[9:12]), rest
        if status == 100:
            continue
        if status == 101:
            # What comes over it has the time in it, and the numbers of facts.
            return _Told((*answers, (101, b"")), True, closing)
        assert status != 500, f"netsvc failed to answer: {rest!r}"
        # What answers HEAD has no body, whatever its head says.
        body = b"" if rest.startswith(b"HTTP/1.") else None
        if body is None:
            body, sent = _body(fields, rest)
        if status >= 400 and body:
            one_line(json.loads(body)["error"])
        # Everybody may know whether it is well.
        inside |= status < 400 and body not in (b"", b'{"ok":true}\n', b'{"ok": true}\n')
        # Of a line that is wrong in two ways it depends on the cuts which is seen first.
        answers.append((400 if status == 431 else status, fields.get(b"content-type", b"")))
    return _Told(tuple(answers), inside, closing)


def _body(fields: dict[bytes, bytes], rest: bytes) -> tuple[bytes, bytes]:
    """The body of an answer, and what is behind it."""
    if b"content-length" in fields:
        size = int(fields[b"content-length"])
        assert len(rest) in (0, size) or rest[size:].startswith(b"HTTP/1."), "not as long as its head says"
        return rest[:size], rest[size:]
    if fields.get(b"transfer-encoding") != b"chunked":
        # To HTTP/1.0, up to the end of the connection.
        return rest, b""
    body = b""
    while rest:
        digits, _, rest = rest.partition(b"\r\n")
        length = int(digits, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body, rest


# -- WebSocket --------------------------------------------------------------------------------------------

#: Small, so that an input meets them.
_BOUNDS = (Bounds(), Bounds(max_message=100, max_frame=60, max_inflated=80))

_OFFERS = ("", "permessage-deflate", "permessage-deflate; client_max_window_bits=9")
_OPCODES = (TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE, TEXT, 3)

#: What a Close of ours may say (RFC 6455 section 7.4), and 1005 for one that says nothing.
_CODES = frozenset({1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011, 1013})

#: Codes of applications: the client's own comes back to it.
_OTHERS = range(3000, 5000)


class _Talk(NamedTuple):
    """
    What came of some frames.

    @ivar came: what the client got.
    @ivar kinds: the facts.
    @ivar ended: whether our side has closed, or aborted.
    """

    came: tuple[Frame, ...]
    kinds: tuple[str, ...]
    ended: tuple[bool, bool]


def websocket(data: bytes) -> None:
    """
    An echo over WebSocket takes any frames: its messages come back, what breaks the protocol is told so,
    it makes no difference how the bytes were cut, and what is kept is within its limits.
    """
    given = Reading(data)
    bounds, offer = given.one_of(_BOUNDS), given.one_of(_OFFERS)
    raw = given.byte() % 4 == 1
    places = given.places()
    said = given.rest() if raw else _framed(given)
    whole = _talk(bounds, offer, [said] if said else [])
    assert _talk(bounds, offer, pieces_at(said, places)) == whole, f"not so when cut at {places}"
    if len(said) <= _SINGLE:
        assert _talk(bounds, offer, single(said)) == whole, "not so byte by byte"


def _framed(given: Reading) -> bytes:
    """Frames, mostly right ones; the byte before each says what is wrong with it."""
    made: list[bytes] = []
    deflate = Deflater()
    while given and len(made) < 30:
        byte = given.byte()
        payload = given.piece()
        rsv, masked, length = 0, True, None
        if byte & 0x60 == 0x20:
            payload, rsv = deflate(payload), 4
        elif byte & 0x60 == 0x60:
            odd = given.byte()
            rsv, masked = odd & 7, bool(odd & 8)
            length = None if odd & 16 else odd * 257
        wide = 64 if byte & 0x10 else 0
        made.append(
            frame(
                _OPCODES[byte % 8],
                payload,
                fin=not byte & 8,
                rsv=rsv,
                masked=masked,
                length=length,
                wide=wide,
            )
        )
    return b"".join(made)


def _talk(bounds: Bounds, offer: str, pieces: list[bytes]) -> _Talk:
    rig = BridgeRig(Echo, bounds)
    client = rig.open(offer)
    came: list[Frame] = []
    for piece in pieces:
        if not client.wire.closed and not client.wire.aborted:
            client.send(piece)
            came += client.received()
        kept = len(client.socket._message) + len(client.socket.data or b"")
        assert kept <= 2 * bounds.max_message + 16_384, f"{kept} bytes are kept"
    ended = bool(client.wire.closed), bool(client.wire.aborted)
    _check_frames(came)
    rig.clock.pump([_PULSE] * 5)
    assert client.wire.closed or client.wire.aborted, "who answers no ping is still there"
    client.lose()
    rig.clock.pump([0.1, 5.0])
    assert not rig.clock.getDelayedCalls(), f"left behind: {rig.clock.getDelayedCalls()}"
    received = [fact.data for fact in rig.facts if fact.kind == "received"]
    sent = [fact.data for fact in rig.facts if fact.kind == "sent"]
    assert received[: len(sent)] == sent, "an echo of what was not said"
    messages = [one.payload for one in came if one.opcode in (TEXT, BINARY)]
    assert [one[:4096] for one in messages] == sent[: len(messages)], "not what the service wrote"
    return _Talk(tuple(map(_comparable, came)), tuple(rig.kinds()), ended)


def _comparable(came: Frame) -> Frame:
    """Of a message that is too long and no UTF-8 either, it depends on the cuts what is seen first."""
    wrong = came.opcode == CLOSE and int.from_bytes(came.payload[:2], "big") in (1007, 1009)
    return came._replace(payload=b"") if wrong else came


def _check_frames(came: list[Frame]) -> None:
    for at, one in enumerate(came):
        if one.opcode == TEXT:
            one.payload.decode("utf-8")
        elif one.opcode == CLOSE:
            assert at == len(came) - 1, "something behind the Close"
            assert len(one.payload) <= 125
            code = int.from_bytes(one.payload[:2], "big") or 1005
            assert code in _CODES or code in _OTHERS, one
            one.payload[2:].decode("utf-8")
        else:
            assert one.opcode in (BINARY, PONG)
