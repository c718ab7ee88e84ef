"""What a request asks: its query, and the form in which it wants its answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from netsvc.web.answers import HTTPError

#: Names of one type each, of which only one answers: what a client that wants lines may say.
NDJSON_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def query_of(request: Any) -> dict[str, list[str]]:
    """
    The query of a request.

    @return: the values of each key; bytes that are no UTF-8 stand in them as surrogates (PEP 383).
    """
    return {
        key.decode("utf-8", "surrogateescape"): [one.decode("utf-8", "surrogateescape") for one in values]
        for key, values in request.args.items()
    }


def refuse_query(request: Any) -> None:
    """@raise HTTPError: there is a query where none is read."""
    if request.args:
        key = next(iter(query_of(request)))
        raise HTTPError(400, f"{key!a}: there is nothing to ask for here")


def seconds(query: Mapping[str, list[str]], key: str, default: float, most: float) -> float:
    """
    A time that somebody wants to wait.

    @raise ValueError: it is no number from 0 to the most.
    """
    text = only(query, key)
    if text is None:
        return default
    # Python would read more than that as a number.
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0 <= value <= most:
        raise ValueError(f"{key}={text!a}: expected seconds from 0 to {most:g}")
    return value


def number(query: Mapping[str, list[str]], key: str, default: int, most: int) -> int:
    """
    How many of something somebody wants.

    @raise ValueError: it is no whole number from 1 to the most.
    """
    text = only(query, key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise ValueError(f"{key}={text!a}: expected a whole number from 1 to {most}")
    return int(text)


def only(query: Mapping[str, list[str]], key: str) -> str | None:
    """
    The one value of a key.

    @return: None where there is none.
    @raise ValueError: there are several.
    """
    values = query.get(key, [])
    if len(values) > 1:
        raise ValueError(f"{key}={values[1]!a}: expected one value")
    return values[0] if values else None


def wants_lines(request: Any) -> bool:
    """Whether a client would rather have NDJSON than JSON (RFC 9110 section 12.5.1)."""
    accepted = _accepted(accept_of(request).split(","))
    lines = max((accepted.get(name, 0.0) for name in NDJSON_TYPES), default=0.0)
    return lines > accepted.get("application/json", 0.0)


def accept_of(request: Any) -> str:
    """What a client says that it accepts, as one list; ``""`` is anything."""
    values = request.requestHeaders.getRawHeaders(b"Accept") or []
    # Whatever bytes they are, none of them is an error.
    return b",".join(values).decode("latin-1")


def _accepted(parts: Iterable[str]) -> dict[str, float]:
    found = {}
    for part in parts:
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        found[name] = _quality(parameters)
    return found


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
