"""Makes plays for stream services: mostly what a client would do, and then anything."""

from __future__ import annotations

import errno
from typing import Any

from netsvc.service import NetService
from netsvc.settings import Setting
from tests.fuzz.corpora import MESSAGES, PROXY, TCP_PEERS, UNIX_PEERS
from tests.fuzz.inputs import Inputs
from tests.fuzz.plays import WILD, Play, Step, service_named
from tests.fuzz.wild import make_actions

WAITS = (0.0, 0.01, 0.3, 0.5, 0.6, 1.0, 1.1, 2.0, 2.5, 3.0, 5.0, 21.0, 100.0, 4000.0)
ROOMS = (0, 0, 1, 10, 1000, 70_000, 1 << 20)
ERRORS = (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENOTCONN)
_TEXTS = ("", "x", "quit", "hello", "Thank you\r\n", "\u00e9\udcff", "%s {peer}", "z" * 80_000)
_NUMBERS = (0, 1, 2, 3, 8, 16, 64, 300, 10_000, 0.05, 0.5, 1.0, 30.0)

#: Limits that a play may have of its own; networks are tuples of texts.
LIMITS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("max_connections", (1, 3)),
    ("per_address", (1, 2, 256)),
    ("new_per_second", (0.01, 1.0)),
    ("idle_timeout", (0.0, 1.0, 20.0)),
    ("handshake_timeout", (0.05, 10.0)),
    ("first_line_timeout", (0.05, 60.0)),
    ("write_timeout", (0.05, 2.0)),
    ("close_timeout", (0.0, 2.0)),
    ("write_budget", (1, 65_536, 4_194_304)),
    ("trusted", ((), ("127.0.0.0/8",), ("0.0.0.0/0", "::/0"))),
    ("allow", (("198.51.100.0/24",), ("127.0.0.1",))),
    ("deny", (("198.51.100.7",), ("::/0",))),
    ("proxies", ((), ("0.0.0.0/0", "::/0"))),
)


def make(chance: Inputs, name: str) -> Play:
    """A play for a service."""
    return _make(chance, name, _steps)


def make_tls(chance: Inputs, name: str) -> Play:
    """One for a service behind TLS, whose clients shake hands, mostly."""
    return _make(chance, name, _tls_steps)._replace(transport="tcp")


def _make(chance: Inputs, name: str, steps: Any) -> Play:
    service = service_named(name)
    proxy = chance.one_of(("off", "off", "off", "optional", "required"))
    transport = chance.one_of(("tcp", "tcp", "tcp", "unix", "endpoint"))
    limits = {key: chance.one_of(values) for key, values in LIMITS if chance.rarely()}
    if proxy != "off" and chance.often():
        limits["proxies"] = ("0.0.0.0/0", "::/0")
    crowd = 3 if service.shared or service.needs else 1
    made = steps(chance, proxy, UNIX_PEERS if transport == "unix" else TCP_PEERS, crowd)
    end = chance.one_of(("break", "drain", "vanish"))
    return Play(name, _settings(chance, service), limits, proxy, transport, tuple(made), end)


def _settings(chance: Inputs, service: NetService) -> dict[str, Any]:
    if service is WILD:
        return {"actions": make_actions(chance), "half_closing": chance.often()}
    return {one.name: some_value(chance, one) for one in service.settings if not chance.often()}


def some_value(chance: Inputs, setting: Setting) -> Any:
    """A value that a setting may have."""
    if setting.choices:
        return chance.one_of(setting.choices)
    if setting.type is bool:
        return not setting.default
    if setting.type is str:
        return chance.one_of(_TEXTS)
    value = setting.type(chance.one_of(_NUMBERS))
    try:
        return setting.read(value)
    except ValueError:
        return setting.default


# -- steps ------------------------------------------------------------------------------------------------


def _steps(chance: Inputs, proxy: str, peers: Any, crowd: int) -> list[Step]:
    """
    @param crowd: how many are there from the beginning, where clients of a service meet.
    """
    made: list[Step] = []
    for who in range(crowd):
        made += _arrive(chance, who, proxy, peers)
    for _ in range(1 + chance.below(8)):
        who = chance.below(3) if crowd > 1 or chance.rarely() else 0
        made += _step(chance, who, proxy, peers)
        if chance.often():
            made.append(("turn", 0, 1 + chance.below(3)))
    return made


def _arrive(chance: Inputs, who: int, proxy: str, peers: Any) -> list[Step]:
    room = chance.one_of(ROOMS) if chance.rarely() else 1 << 20
    connect: Step = ("connect", who, (chance.one_of(peers), room))
    if proxy == "off":
        return [connect]
    header = chance.one_of(PROXY)
    if not chance.often():
        header = chance.broken(header, MESSAGES)
    return [connect, *(("raw", who, piece) for piece in chance.cut(header))]


def _step(chance: Inputs, who: int, proxy: str, peers: Any) -> list[Step]:
    kind = chance.random()
    if kind < 0.45:
        return _messages(chance, who)
    if kind < 0.57:
        return _arrive(chance, who, proxy, peers)
    if kind < 0.67:
        return [("wait", 0, chance.one_of(WAITS))]
    if kind < 0.77:
        return [("take", who, chance.one_of(ROOMS))]
    if kind < 0.87:
        return [("end", who, chance.often())]
    if kind < 0.92:
        return [("fail", who, chance.one_of(ERRORS))]
    if kind < 0.94:
        return [("commit", 0, chance.often())]
    if kind < 0.97:
        return [("idle", 0, None), ("wait", 0, chance.one_of(WAITS)), ("idle", 0, None)]
    return [(chance.one_of(("drain", "drain", "give_up")), 0, None)]


def _messages(chance: Inputs, who: int) -> list[Step]:
    message = chance.one_of(MESSAGES)
    if not chance.often():
        message = chance.broken(message, MESSAGES)
    return [("send", who, piece) for piece in chance.cut(message)]


def _tls_steps(chance: Inputs, proxy: str, peers: Any, crowd: int) -> list[Step]:
    made: list[Step] = []
    for step in _steps(chance, proxy, peers, 1):
        made.append(step)
        what, who, _ = step
        if what in ("connect", "take", "turn") and chance.often():
            made += [("shake", who, None), ("turn", 0, 1)]
        if what == "send" and chance.rarely():
            made.append(("spoil", who, (chance.below(2000), 1 + chance.below(255))))
        if what == "send" and chance.rarely():
            made.append(("raw", who, chance.blob(600)))
    return made
