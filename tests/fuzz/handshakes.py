"""
What TLS clients send, recorded from real handshakes, and broken.

A recording is what one client sent, flight by flight. To another session its second flight means nothing any
more, since the keys are others; a session that is to get beyond the handshake has a living client in `plays`.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from netsvc.net.clienthello import server_name
from netsvc.net.tls import TLSFailure, TLSSession
from tests.fuzz.campaign import one_line
from tests.fuzz.corpora import MESSAGES
from tests.fuzz.inputs import Inputs
from tests.net.tls_client import VERSIONS, Client

_RECORD = 5

#: More than a server's whole flight with our small certificates has; nobody may have us send much for little.
_LONGEST_ANSWER = 8192

_ALERT, _DATA = b"\x15\x03\x03\x00\x02\x01\x00", b"\x17\x03\x03\x00\x10" + bytes(16)


class Received(NamedTuple):
    """
    What a session is given.

    @ivar pieces: one after the other.
    @ivar closing: after how many of them it is closed, once.
    """

    pieces: tuple[bytes, ...]
    closing: int


def careless(version: str) -> ssl.SSLContext:
    """A client's side that believes every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def record(serving: ssl.SSLContext) -> tuple[bytes, ...]:
    """What clients of both versions send, up to their first message and their close_notify."""
    recorded = []
    for version in VERSIONS:
        for name in ("localhost", "a-much-longer-name.of-a-host.example", "127.0.0.1"):
            client, session = Client(careless(version), name), TLSSession(serving)
            flights = []
            while not client.shake() or not session.handshaken:
                flights.append(client.sent())
                session.receive(flights[-1])
                client.feed(session.outgoing())
            flights.append(client.seal(b"hello python"))
            flights.append(client.end())
            recorded += [b"".join(flights), *flights]
    return (*(flight for flight in recorded if flight), _ALERT, _DATA)


def hellos(recorded: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Of what was recorded, what is one whole ClientHello in one record."""
    return tuple(
        one
        for one in recorded
        if one[:1] == b"\x16"
        and one[5:6] == b"\x01"
        and len(one) == _RECORD + int.from_bytes(one[3:5], "big")
    )


def make_received(chance: Inputs, recorded: tuple[bytes, ...]) -> Received:
    """Bytes for a session."""
    flights = [chance.one_of(recorded)]
    while not chance.often():
        flights.append(chance.one_of((*recorded, *MESSAGES)))
    data = chance.broken(b"".join(flights), recorded)
    pieces = tuple(chance.cut(data))
    return Received(pieces, chance.below(len(pieces) + 2) if chance.rarely() else len(pieces) + 1)


def check_received(made: Received, serving: ssl.SSLContext) -> None:
    """A session takes it, or fails as a session does."""
    session = TLSSession(serving)
    failures = 0
    answers: list[bytes] = []
    for number, piece in enumerate(made.pieces):
        if number == made.closing:
            session.close()
        try:
            plaintext = session.receive(piece)
        except TLSFailure as failure:
            one_line(str(failure))
            failures += 1
            plaintext = failure.received
        assert not plaintext, "a handshake that no client took part in brought plaintext"
        answers.append(session.outgoing())
        assert failures <= 1, "it failed twice"
    assert not session.handshaken
    assert session.outgoing() == b"", "what was given out is given out again"
    assert all(len(answer) < _LONGEST_ANSWER for answer in answers), "an answer without measure"


def in_records(hello: bytes, cuts: list[bytes]) -> bytes:
    """
    A recorded ClientHello in other records (RFC 8446 section 5.1).

    @param hello: whole, in one record.
    @param cuts: the message in it, in pieces.
    """
    return b"".join(hello[:3] + len(piece).to_bytes(2, "big") + piece for piece in cuts if piece)


def make_hello(chance: Inputs, hellos: tuple[bytes, ...]) -> bytes:
    """A ClientHello, in records of any size, broken or not."""
    hello = chance.one_of(hellos)
    if not chance.often():
        hello = in_records(hello, chance.cut(hello[_RECORD:]))
    return chance.broken(hello, hellos)


def check_hello(data: bytes) -> None:
    """The name in it is one line of ASCII, or there is none."""
    name = server_name(data)
    assert name is None or (name and name.isascii()), name
