"""
Which facts somebody asks for, and finding them among others.

A question comes as the query of a URL has it, every key with the list of its values, and becomes a `Filter`
(which facts) and a `Page` (which part of them). Both are plain values. A `Matcher` looks at rows, one after
the other and from whatever source, and lets those through that a filter asks for.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from time import time_ns
from typing import Literal, TypeVar

from netsvc.facts import CLOSED, KINDS, OPENED, RECEIVED, SENT, OriginRow, Row
from netsvc.journal.moments import EXPECTED, moment

#: The most values of one key: a person or a test names a few.
MAX_VALUES = 64

#: Bytes of a pattern: enough for any marker that one would look for, and few enough to try at each fact.
MAX_PATTERN = 1024

#: Facts that one answer may have.
MAX_LIMIT = 10_000

#: Streams, two to a connection, of which the beginning of a match is remembered, in some 250 bytes each. Only
#: those take one whose last bytes could go on to be what is sought.
MAX_STREAMS = 4096

#: Characters of a bad value that its error repeats.
_SHOWN = 60

NameOf = Callable[[str], str | None]
After = int | Literal["last"]
Peer = tuple[str, int | None]
Query = Mapping[str, Sequence[str]]
_Value = TypeVar("_Value")

_ADDRESS = "an address, address:port, [IPv6]:port or the path of a UNIX socket"


@dataclass(frozen=True)
class Filter:
    """
    Which facts are asked for: those that fit one value of each key that has any.

    @ivar service: names of services.
    @ivar listener: URLs of listeners.
    @ivar peer: clients' addresses, each with a port or, for any port, None.
    @ivar name: clients' names, as the client list has them when a fact is looked at.
    @ivar connection: numbers of connections.
    @ivar kind: kinds, of `netsvc.facts.KINDS`.
    @ivar contains: bytes that a stream or a datagram has in it; see `Matcher`.
    @ivar since: the earliest time, in nanoseconds since the epoch; None where any is early enough.
    @ivar until: the time before which they were noted; None where any is. So two ranges of which one ends
        where the other begins have no fact in common, and leave none out.
    """

    service: frozenset[str] = frozenset()
    listener: frozenset[str] = frozenset()
    peer: frozenset[Peer] = frozenset()
    name: frozenset[str] = frozenset()
    connection: frozenset[int] = frozenset()
    kind: frozenset[str] = frozenset()
    contains: frozenset[bytes] = frozenset()
    since: int | None = None
    until: int | None = None

    @classmethod
    def parse(cls, query: Query, besides: Iterable[str] = (), clock: Callable[[], int] = time_ns) -> Filter:
        """
        Read a filter.

        @param query: the values of each key, as a URL's query has them. Bytes that are no UTF-8 may stand in
            them as surrogates (PEP 383).
        @param besides: keys that are not the filter's and somebody else reads.
        @param clock: gives nanoseconds since the epoch, from which a span goes back.
        @raise ValueError: a key is unknown or a value is bad; one line that names the key, the value and what
            was expected.
        """
        others = frozenset(besides)
        for key, values in query.items():
            if key not in FILTER_KEYS and key not in others:
                known = ", ".join([*FILTER_KEYS, *sorted(others)])
                raise _bad(key, values[0] if values else "", f"one of the keys {known}")
        return cls(
            service=_each(query, "service", _text),
            listener=_each(query, "listener", _text),
            peer=_each(query, "peer", _peer),
            name=_each(query, "name", _text),
            connection=_each(query, "connection", _connection),
            kind=_each(query, "kind", _kind),
            contains=_each(query, "contains", _pattern),
            since=_moment(query, "since", clock),
            until=_moment(query, "until", clock),
        )

    @property
    def everything(self) -> bool:
        """Whether every fact fits."""
        return self == _EVERYTHING

    @property
    def looks_back(self) -> bool:
        """Whether facts before those that are looked at can matter: a match may begin in them."""
        return any(len(pattern) > 1 for pattern in self.contains)

    def in_time(self, time: int) -> bool:
        """Whether facts of a time can fit; in nanoseconds since the epoch."""
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)

    def selects(self, origin: OriginRow) -> bool:
        """Whether facts of an origin can fit, its client's name aside."""
        return (
            (not self.service or origin[0] in self.service)
            and (not self.listener or origin[1] in self.listener)
            and (not self.connection or origin[6] in self.connection)
            and (not self.peer or (origin[3], None) in self.peer or (origin[3], origin[4]) in self.peer)
        )


@dataclass(frozen=True)
class Page:
    """
    Which part of the facts that fit.

    @ivar after: those with a greater seq; ``last`` is from now on.
    @ivar order: ``oldest`` or ``newest`` first.
    @ivar limit: how many at most.
    @ivar before: and those with a lesser seq; None is up to now.
    """

    after: After = 0
    order: str = "oldest"
    limit: int = 100
    before: int | None = None

    @classmethod
    def parse(cls, query: Query) -> Page:
        """
        Read `PAGE_KEYS`; other keys are left to `Filter.parse`.

        @raise ValueError: as there.
        """
        after = _one(query, "after", "0")
        order = _one(query, "order", "oldest")
        if order not in ("oldest", "newest"):
            raise _bad("order", order, "oldest or newest")
        limit = _number(_one(query, "limit", "100"))
        if limit is None or not 1 <= limit <= MAX_LIMIT:
            raise _bad("limit", _one(query, "limit", ""), f"a whole number from 1 to {MAX_LIMIT}")
        before = _seq(query, "before", None, "the seq of a fact")
        if after == "last":
            return cls("last", order, limit, before)
        return cls(_seq(query, "after", 0, "the seq of a fact, or last") or 0, order, limit, before)


#: What `Filter.parse` reads.
FILTER_KEYS = tuple(field.name for field in fields(Filter))

#: What `Page.parse` reads.
PAGE_KEYS = ("after", "order", "limit", "before")


class Matcher:
    """
    Finds the facts that fit a filter, among rows that are given to it in their order.

    What a filter's `contains` seeks is found in the byte stream of a connection, however it was cut into
    chunks, in what was received and in what was sent each by itself: a fact fits when the bytes sought end in
    it, so it is the one in which the match is completed that counts. Of data that was not kept whole (its
    length is greater) only what was kept is looked at, and no match goes on across what is missing. A
    datagram is looked at by itself.

    To that end a matcher remembers, of each stream, as much of its end as the bytes sought begin with; it
    goes on with whatever rows it is given next.
    """

    def __init__(self, wanted: Filter, name_of: NameOf, streams: int = MAX_STREAMS) -> None:
        """
        @param wanted: which facts.
        @param name_of: gives the client's name for an address, `IClientStore.name_of`.
        @param streams: how many streams' ends it remembers; the one longest without a byte goes first.
        """
        self._wanted = wanted
        self._name_of = name_of
        self._streams = streams
        self._patterns = tuple(wanted.contains)
        # Each pattern that a stream can end in a part of, its first byte, and how long that part is at most.
        self._beginnings = [(one, one[0], len(one) - 1) for one in self._patterns if len(one) > 1]
        # How much of which pattern each stream ends in, where there is any. The key is the connection's
        # number, negative for what was sent.
        self._ends: OrderedDict[int, tuple[bytes, int]] = OrderedDict()

    def copy(self, wanted: Filter | None = None, name_of: NameOf | None = None) -> Matcher:
        """
        Another that has seen the same.

        @param wanted: what it looks for, if not the same, with the same `contains`.
        @param name_of: where it has names from, if not the same.
        """
        other = Matcher(wanted or self._wanted, name_of or self._name_of, self._streams)
        other._ends = self._ends.copy()
        return other

    def prime(self, rows: Iterable[Row]) -> None:
        """
        Look at earlier rows, so that a match that begins in them is found where it is completed.

        @param rows: in their order; those for `matching` follow on them.
        """
        if self._wanted.looks_back:
            for row in rows:
                if self._wanted.selects(row[3]):
                    self._completes(row)

    def forget(self) -> None:
        """Rows are missing: what was seen before them is no beginning of anything."""
        self._ends.clear()

    def matching(self, rows: Iterable[Row]) -> Iterator[Row]:
        """
        The rows that fit.

        Whoever stops early has had all before the last one looked at, and none after it.

        @param rows: in their order, each later than those that were given before.
        """
        if self._wanted.everything:
            return iter(rows)
        return self._fitting(rows)

    def _fitting(self, rows: Iterable[Row]) -> Iterator[Row]:
        wanted, name_of = self._wanted, self._name_of
        kinds, names, selects = wanted.kind, wanted.name, wanted.selects
        timed = wanted.since is not None or wanted.until is not None
        for row in rows:
            # The order matters: a stream is followed whatever is asked of its facts otherwise.
            if not selects(row[3]):
                continue
            if self._patterns and not self._completes(row):
                continue
            if kinds and row[2] not in kinds:
                continue
            if timed and not wanted.in_time(row[1]):
                continue
            if names and (not row[3][3] or name_of(row[3][3]) not in names):
                continue
            yield row

    def _completes(self, row: Row) -> bool:
        """Whether bytes sought end in a row; remembers what they can go on from."""
        _, _, kind, origin, length, data, _, _ = row
        connection = origin[6]
        if connection is None:
            return data is not None and self._is_in(data)
        if data is None or (kind != RECEIVED and kind != SENT):
            # Numbers of connections begin anew with each process, so the opening is an end too.
            if kind in (OPENED, CLOSED):
                self._ends.pop(connection, None)
                self._ends.pop(-connection, None)
            return False
        stream = connection if kind == RECEIVED else -connection
        begun = self._ends.pop(stream, None) if self._ends else None
        if begun is None:
            joined = data
            found = self._is_in(data)
        else:
            before = begun[0][: begun[1]]
            joined = before + data
            found = any(
                joined.find(pattern, max(0, len(before) + 1 - len(pattern))) >= 0
                for pattern in self._patterns
            )
        if length == len(data):
            self._remember(stream, joined)
        return found

    def _is_in(self, data: bytes) -> bool:
        # A generator would cost more than the search.
        for pattern in self._patterns:  # noqa: SIM110
            if pattern in data:
                return True
        return False

    def _remember(self, stream: int, data: bytes) -> None:
        """Remember the longest end of a stream's bytes with which a pattern begins but does not end."""
        longest = 0
        for pattern, first, most in self._beginnings:
            end = data[-most:]
            at = end.find(first)
            while at >= 0 and not pattern.startswith(end[at:]):
                at = end.find(first, at + 1)
            if at >= 0 and len(end) - at > longest:
                longest = len(end) - at
                self._ends[stream] = (pattern, longest)
        if longest and len(self._ends) > self._streams:
            self._ends.popitem(last=False)


def matching(rows: Iterable[Row], wanted: Filter, name_of: NameOf) -> Iterator[Row]:
    """
    The rows that fit a filter, of rows that nothing was seen before of; see `Matcher`.

    @param rows: in their order.
    @param name_of: as there.
    """
    return Matcher(wanted, name_of).matching(rows)


# -- reading values ----------------------------------------------------------------------------------


def _bad(key: str, value: str, expected: str) -> ValueError:
    shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return ValueError(f"{repr(key[:_SHOWN])[1:-1]}={shown!r}: expected {expected}")


def _each(query: Query, key: str, read: Callable[[str, str], _Value]) -> frozenset[_Value]:
    values = query.get(key, ())
    if len(values) > MAX_VALUES:
        raise _bad(key, values[MAX_VALUES], f"at most {MAX_VALUES} values")
    return frozenset(read(key, value) for value in values)


def _one(query: Query, key: str, default: str) -> str:
    values = query.get(key) or (default,)
    if len(values) > 1:
        raise _bad(key, values[1], "one value")
    return values[0]


def _moment(query: Query, key: str, clock: Callable[[], int]) -> int | None:
    if not query.get(key):
        return None
    text = _one(query, key, "")
    try:
        return moment(text, clock())
    except ValueError:
        raise _bad(key, text, EXPECTED) from None


def _seq(query: Query, key: str, default: int | None, expected: str) -> int | None:
    if not query.get(key):
        return default
    text = _one(query, key, "")
    seq = _number(text)
    if seq is None:
        raise _bad(key, text, expected)
    return seq


def _number(text: str) -> int | None:
    """A whole number that fits into 63 bits, as a seq does; None where it is none."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) >= 1 << 63:
        return None
    return int(text)


def _text(key: str, value: str) -> str:
    if not value:
        raise _bad(key, value, "some text")
    return value


def _kind(key: str, value: str) -> str:
    if value not in KINDS:
        raise _bad(key, value, "one of " + ", ".join(KINDS))
    return value


def _connection(key: str, value: str) -> int:
    number = _number(value)
    if not number:
        raise _bad(key, value, "the number of a connection")
    return number


def _peer(key: str, value: str) -> Peer:
    if value.startswith(("/", "@")):
        return value, None
    address = _address(value[1:-1] if value.startswith("[") and value.endswith("]") else value)
    if address is not None:
        return address, None
    host, _, digits = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address, port = _address(host[1:-1] if bracketed else host), _number(digits)
    if address is None or bracketed != (":" in host) or port is None or port > 65_535:
        raise _bad(key, value, _ADDRESS)
    return address, port


def _address(text: str) -> str | None:
    """An IP address in the form in which facts have it, IPv4 never as ``::ffff:…``; None where it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def _pattern(key: str, value: str) -> bytes:
    sought = _hexadecimal(key, value) if value.startswith("hex:") else _encoded(key, value)
    if not 1 <= len(sought) <= MAX_PATTERN:
        raise _bad(key, value, f"1 to {MAX_PATTERN} bytes")
    return sought


def _hexadecimal(key: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("hex:"))
    except ValueError:
        raise _bad(key, value, "two hexadecimal digits for each byte behind hex:") from None


def _encoded(key: str, value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _bad(key, value, "text or hex: and hexadecimal digits") from None


_EVERYTHING = Filter()
