"""Makes bursts of datagrams: sources and sizes of every kind, and errors of the system in between."""

from __future__ import annotations

import errno
import socket
from typing import Any

from tests.fuzz.bursts import WILD, Burst, Step, family_of
from tests.fuzz.corpora import MESSAGES
from tests.fuzz.inputs import Inputs
from tests.fuzz.plays import registry
from tests.fuzz.streams import some_value

_V4 = ("198.51.100.7", "198.51.100.8", "127.0.0.1", "192.0.2.1", "0.0.0.0", "224.0.0.1", "255.255.255.255")
_V6 = ("::1", "2001:db8::7", "2001:db8::8", "::ffff:198.51.100.7", "::ffff:255.255.255.255", "ff02::1", "::")
_LINK = ("fe80::1%eth0", "fe80::1%2")
_PATHS = (None, "", "/run/client.sock", "/tmp/\udcff\n\x1b[2J", b"\0abstract\xff", b"\0")
_PORTS = (0, 1, 7, 19, 53, 1023, 1024, 6667, 40_000, 40_001, 40_002, 65_535)
BOUND: tuple[Any, ...] = (
    ("192.0.2.1", 6667),
    ("127.0.0.1", 6667),
    ("0.0.0.0", 6667),
    ("::", 6667, 0, 0),
    ("::1", 6667, 0, 0),
    "/run/netsvc/receiver.sock",
    b"\0netsvc",
)
ASKED = ("", "192.0.2.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "ff02::1")
ERRORS = (
    errno.ENOBUFS,
    errno.ECONNREFUSED,
    errno.EMSGSIZE,
    errno.EACCES,
    errno.EPERM,
    errno.ENETDOWN,
    errno.EHOSTUNREACH,
    errno.EINVAL,
    errno.ENOMEM,
    errno.EBADF,
    errno.EAGAIN,
    0,
)
_SIZES = (0, 0, 1, 28, 63, 64, 65, 512, 1200, 8192, 8193, 65_506, 65_507, 65_527, 65_536, 65_537)
LIMITS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("reply_factor", (1.0, 100.0)),
    ("replies_per_second", (0.01, 1.0, 2.5)),
    ("loop_limit", (1, 3)),
    ("tracked_peers", (16,)),
    ("trusted", ((), ("0.0.0.0/0", "::/0"))),
    ("allow", (("198.51.100.0/24",), ("::1",))),
    ("deny", (("198.51.100.7",), ("::/0",))),
)
WAITS = (0.0, 0.05, 0.1, 0.5, 1.0, 4.9, 5.0, 30.0, 59.9, 60.0, 65.0, 4000.0)


def make(chance: Inputs, name: str) -> Burst:
    """Datagrams for a service."""
    service = WILD if name == WILD.name else registry().services[name]
    settings = {one.name: some_value(chance, one) for one in service.settings if not chance.often()}
    limits = {key: chance.one_of(values) for key, values in LIMITS if chance.rarely()}
    bound = chance.one_of(BOUND)
    sources = [source(chance, bound) for _ in range(1 + chance.below(3))]
    steps: list[Step] = []
    for _ in range(1 + chance.below(6)):
        steps += _make_steps(chance, sources)
    return Burst(name, settings, limits, bound, tuple(steps))


def source(chance: Inputs, bound: Any) -> Any:
    """Where a datagram may come from to a socket that is bound so."""
    family = family_of(bound)
    if family == socket.AF_UNIX:
        return chance.one_of(_PATHS)
    port = chance.one_of(_PORTS)
    if family == socket.AF_INET:
        return chance.one_of(_V4), port
    if chance.rarely():
        return chance.one_of(_LINK), port, 0, 2
    return chance.one_of(_V6), port, 0, 0


def _make_steps(chance: Inputs, sources: list[Any]) -> list[Step]:
    kind = chance.random()
    if kind < 0.6:
        datagram = (_datagram(chance), chance.one_of(sources), chance.one_of(ASKED))
        repeats = chance.one_of((2, 5, 70)) if chance.rarely() else 1
        return [("come", datagram)] * repeats + [("turn", 1 + chance.below(2))]
    if kind < 0.7:
        repeats = 70 if chance.rarely() else 1
        return [("come", chance.one_of(ERRORS))] * repeats + [("turn", repeats)]
    if kind < 0.8:
        return [("fail", chance.one_of(ERRORS))]
    if kind < 0.9:
        return [("wait", chance.one_of(WAITS)), ("turn", 1)]
    if kind < 0.94:
        return [("drop", chance.one_of((1, 2**31, 2**32 - 1)))]
    if kind < 0.97:
        return [("commit", chance.often())]
    if kind < 0.99:
        return [("hang_up", chance.one_of(ERRORS))]
    return [("stop", None)]


def _datagram(chance: Inputs) -> bytes:
    if chance.rarely():
        return b"d" * chance.one_of(_SIZES)
    data = chance.one_of(MESSAGES)
    return data if chance.often() else chance.broken(data, MESSAGES)
