"""
Facts as lines: one line for each, for people or as JSON. What peers sent does nothing on a terminal.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from netsvc.commands.answer import Fact
from netsvc.commands.inert import inert

#: Bytes of a message that a line shows: enough to know it by, and JSON has all that was kept.
SHOWN = 512

#: What has its place in a line; whatever else is known of a fact follows as key=value.
_PLACED = frozenset(
    {
        "seq",
        "time",
        "kind",
        "service",
        "listener",
        "transport",
        "address",
        "port",
        "local",
        "connection",
        "name",
        "length",
        "data",
        "reason",
    }
)


def json_line(fact: Fact) -> str:
    """A fact as one line of JSON: printable ASCII, for everything else is escaped."""
    return json.dumps(fact, separators=(",", ":"))


def text_line(fact: Fact, in_hex: bool) -> str:
    """
    A fact as one line for people.

    @param in_hex: bytes as hexadecimal digits instead of a Python literal.
    """
    parts = [local_time(fact.get("time")), f"{_text(fact, 'kind'):8}", _text(fact, "service"), _peer(fact)]
    if fact.get("connection") is not None:
        parts.append(f"#{fact['connection']}")
    if fact.get("data") is not None:
        parts.append(_data(fact, in_hex))
    if fact.get("reason") is not None:
        parts.append(_text(fact, "reason"))
    parts += _more({key: value for key, value in fact.items() if key not in _PLACED})
    return inert("  ".join(parts[:4]) + "  " + " ".join(parts[4:])).rstrip()


def _text(fact: Fact, key: str) -> str:
    value = fact.get(key)
    return "" if value is None else str(value)


def local_time(value: object) -> str:
    """
    Local time to the microsecond.

    @param value: nanoseconds since the epoch, a number or text; what is none comes back as text.
    """
    try:
        nanoseconds = int(str(value))
        moment = datetime.fromtimestamp(nanoseconds // 10**9)
    except (ValueError, OverflowError, OSError):
        return str(value)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{nanoseconds % 10**9 // 1000:06d}"


def _peer(fact: Fact) -> str:
    address, port, transport = _text(fact, "address"), _text(fact, "port"), _text(fact, "transport")
    place = (f"[{address}]" if ":" in address else address) + (f":{port}" if port else "")
    name = _text(fact, "name")
    return " ".join(filter(None, (transport, place, f"({name})" if name else "")))


def _data(fact: Fact, in_hex: bool) -> str:
    try:
        data = base64.b64decode(str(fact["data"]), validate=True)
    except ValueError:
        return str(fact["data"])
    shown = data[:SHOWN]
    text = (shown.hex(" ") or "''") if in_hex else repr(shown)
    length = fact.get("length")
    if isinstance(length, int) and length > len(shown):
        return f"{text} and {length - len(shown):,} bytes more"
    return text


def _more(values: Fact) -> list[str]:
    """Whatever else is known, such as what TLS and PROXY said."""
    return [f"{key}={_plain(value)}" for key, value in values.items() if value is not None]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) and value and " " not in value else json.dumps(value)
