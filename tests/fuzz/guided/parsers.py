"""What is read without a connection: WHEREs, configuration files, PROXY headers, ClientHellos, questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from twisted.web.http import parse_qs

from netsvc.facts import CLOSED, OPENED, RECEIVED, SENT, Row
from netsvc.journal.query import MAX_LIMIT, MAX_VALUES, PAGE_KEYS, Filter, Matcher, Page
from netsvc.net.clienthello import server_name
from netsvc.web.asking import number, seconds
from tests.fuzz import configurations, handshakes, headers
from tests.fuzz.campaign import one_line
from tests.fuzz.guided.hellos import small_hello
from tests.fuzz.guided.reading import Reading, pieces_at, single
from tests.fuzz.guided.scratch import directory, serving
from tests.fuzz.plays import registry
from tests.journal.rows import origin, row

#: Characters of an error: it repeats a key and a value, cut to 60, of which each may take ten to be shown.
_LONGEST_ERROR = 1600

#: Bytes up to which an input is cut at every place; longer ones are at some.
_EVERY_CUT = 120

#: Bytes of a name of a host (RFC 1035 section 2.3.4).
_LONGEST_NAME = 255

_SIDES = (("stream", "datagram"), ("stream",), ("datagram",))
_INTERFACES = ((), ("::",), ("127.0.0.1", "::1"), ("localhost", "odd"))
_CERTIFICATES = ("server.pem", "")


# -- what users write -------------------------------------------------------------------------------------


def where(data: bytes) -> None:
    """A WHERE is understood, or refused in one line; what is understood means the same as it is shown."""
    given = Reading(data)
    services = tuple(registry().services)
    service, sides = given.one_of(services), given.one_of(_SIDES)
    interface, certificate = given.one_of(_INTERFACES), given.one_of(_CERTIFICATES)
    # What the system hands a program: bytes that are not UTF-8 stand there as surrogates, and no NUL.
    text = given.rest().replace(b"\0", b"").decode("utf-8", "surrogateescape")
    configurations.check_where(configurations.Asked(text, service, sides, interface, certificate))


def settings(data: bytes) -> None:
    """A configuration file becomes a configuration, up to what would have to be opened, or is refused."""
    configurations.check_written(configurations.Written(data, ()), str(directory() / "netsvc.toml"))


# -- what peers send first --------------------------------------------------------------------------------


def proxy(data: bytes) -> None:
    """A PROXY header is the same however it is cut, or refused all the same."""
    places = (
        range(1, len(data)) if len(data) <= _EVERY_CUT else (1, 12, 16, 107, len(data) // 2, len(data) - 1)
    )
    for place in places:
        headers.check(headers.Fed(tuple(pieces_at(data, [place]))))
    headers.check(headers.Fed(tuple(single(data))))


def hello(data: bytes) -> None:
    """
    A ClientHello has the same name in any records, and no other as long as it is not complete; the session
    that gets it takes it, or fails as a session does.
    """
    name, asked = server_name(data), data[:_LONGEST_NAME]
    handshakes.check_hello(data)
    assert server_name(small_hello(asked)) == (asked.decode("ascii", "backslashreplace") or None)
    for end in range(0, len(data), 1 if len(data) <= _EVERY_CUT else len(data) // 20):
        assert server_name(data[:end]) in (None, name), f"another name when only {end} bytes have come"
    if name is not None and len(message := _message(data)) <= 600:
        for cuts in (single(message), pieces_at(message, [len(message) // 2])):
            again = handshakes.in_records(data, cuts)
            assert server_name(again) == name, "another name in other records"
    half = len(data) // 2
    handshakes.check_received(handshakes.Received((data[:half], data[half:]), 3), serving())


def _message(stream: bytes) -> bytes:
    """What the whole records of a stream carry."""
    message, at = b"", 0
    while at + 5 <= len(stream) and stream[at] == 22:
        size = int.from_bytes(stream[at + 3 : at + 5], "big")
        message += stream[at + 5 : at + 5 + size]
        at += 5 + size
    return message


#: Nanoseconds: when somebody asks, behind a timeline that began with the epoch.
_NOW = 3600 * 10**9


# -- what somebody asks -----------------------------------------------------------------------------------


@cache
def _rows() -> tuple[Row, ...]:
    """A timeline in which there is something to find for most questions."""
    first, second = origin(1, "echo"), origin(2, "chat", "2001:db8::7", 1, "tcp://[::]:5222")
    third, fourth = origin(3, "receiver", "/run/client.sock", None), origin(None, "receiver", "198.51.100.7")
    made = [
        (OPENED, first, None),
        (RECEIVED, first, b"hello py"),
        (OPENED, second, None),
        (RECEIVED, second, b"thon"),
        (RECEIVED, first, b"thon"),
        (SENT, first, b"hello python"),
        (RECEIVED, fourth, b"Hello you there!"),
        (RECEIVED, second, b"\x00\xff\xe2\x82"),
        (RECEIVED, second, b"\xac"),
        (CLOSED, first, None),
        (RECEIVED, third, b"a" * 100),
        (RECEIVED, third, b"ab"),
        (OPENED, first, None),
        (RECEIVED, first, b"thon"),
    ]
    rows = [row(seq, data, kind, whence) for seq, (kind, whence, data) in enumerate(made, 1)]
    return tuple((seq, seq * 200 * 10**9, *rest) for seq, _, *rest in rows)


def _name_of(address: str) -> str | None:
    return {"127.0.0.1": "alice", "198.51.100.7": "bob"}.get(address)


def query(data: bytes) -> None:
    """
    A URL's query is a question or refused in one line; a question has the same answer when the facts come in
    several parts, and when the earlier ones are only looked at.
    """
    arguments = parse_qs(data, True)
    asked = {
        key.decode("utf-8", "surrogateescape"): [one.decode("utf-8", "surrogateescape") for one in values]
        for key, values in arguments.items()
    }
    try:
        wanted = Filter.parse(asked, (*PAGE_KEYS, "wait", "count"), lambda: _NOW)
        page = Page.parse(asked)
        assert 0 <= seconds(asked, "wait", 0.0, 300.0) <= 300
        assert 1 <= number(asked, "count", 1, MAX_LIMIT) <= MAX_LIMIT
    except ValueError as refusal:
        text = str(refusal)
    else:
        assert 1 <= page.limit <= MAX_LIMIT
        assert page.after == "last" or 0 <= page.after < 1 << 63
        values = [value for value in vars(wanted).values() if isinstance(value, frozenset)]
        assert all(len(value) <= MAX_VALUES for value in values)
        _check_answers(wanted)
        return
    one_line(text)
    assert len(text) < _LONGEST_ERROR, "an error without measure"


def _check_answers(wanted: Filter) -> None:
    rows = _rows()
    whole = list(Matcher(wanted, _name_of).matching(rows))
    for half in range(0, len(rows), 3):
        matcher = Matcher(wanted, _name_of)
        parts = [*matcher.matching(rows[:half]), *matcher.matching(rows[half:])]
        assert parts == whole, f"others when {half} facts come first"
        primed = Matcher(wanted, _name_of)
        primed.prime(rows[:half])
        later = [one for one in whole if one[0] > half]
        assert list(primed.matching(rows[half:])) == later, f"others when {half} facts were only looked at"
    selected = [one for one in rows if wanted.selects(one[3])]
    completes = _completing(selected, wanted.contains)
    assert whole == [one for one in selected if one[0] in completes and _fits(wanted, one)], (
        "not what was asked"
    )


def _completing(rows: Sequence[Row], patterns: Iterable[bytes]) -> set[int]:
    """The seqs of the facts in which one of the patterns comes to its end, by looking at whole streams."""
    if not patterns:
        return {one[0] for one in rows}
    streams: dict[tuple[int | None, str, int], bytes] = {}
    openings: Counter[int | None] = Counter()
    found = set()
    for seq, _, kind, whence, _, data, *_ in rows:
        connection = whence[6]
        openings[connection] += kind in (OPENED, CLOSED) or connection is None
        if data is not None:
            stream = connection, kind, openings[connection]
            before = streams.get(stream, b"")
            whole = streams[stream] = before + data
            if any(whole.find(one, max(0, len(before) + 1 - len(one))) >= 0 for one in patterns):
                found.add(seq)
    return found


def _fits(wanted: Filter, one: Row) -> bool:
    """What else a filter means, said the long way."""
    _, time, kind, (service, listener, _, address, port, _, connection), *_ = one
    if (wanted.since or 0) > time or (wanted.until is not None and time >= wanted.until):
        return False
    return all(
        not values or any(value in values for value in have)
        for values, have in (
            (wanted.service, [service]),
            (wanted.listener, [listener]),
            (wanted.peer, [(address, None), (address, port)]),
            (wanted.name, [_name_of(address)]),
            (wanted.connection, [connection]),
            (wanted.kind, [kind]),
        )
    )
