"""
`netsvc.journal.query`: what can be asked, and that the facts that fit are found, however streams were cut.
"""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.facts import CLOSED, KINDS, OPENED, RECEIVED, REFUSED, SENT, Row
from netsvc.journal.query import (
    FILTER_KEYS,
    MAX_PATTERN,
    MAX_VALUES,
    PAGE_KEYS,
    Filter,
    Matcher,
    Page,
    matching,
)

from .rows import nobody, numbered, origin, row, seqs


def found(rows: list[Row], **query: list[str]) -> list[int]:
    """The seqs of the facts that fit a query."""
    return seqs(matching(rows, Filter.parse(query), nobody))


# -- what can be asked -------------------------------------------------------------------------------


def test_no_question_asks_for_everything() -> None:
    rows = numbered([(7, OPENED, b""), (7, RECEIVED, b"x"), (None, REFUSED, b"y")])
    assert Filter.parse({}).everything
    assert found(rows) == [1, 2, 3]


def test_values_of_one_key_are_alternatives_and_keys_add_up() -> None:
    rows = [row(1), row(2, kind=SENT), row(3, kind=CLOSED), row(4, whence=origin(8))]
    assert found(rows, kind=["sent", "closed"]) == [2, 3]
    assert found(rows, kind=["received"], connection=["8"]) == [4]
    assert found(rows, kind=["sent"], connection=["8"]) == []


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("service", "echo", [1, 3, 4, 5]),
        ("service", "chat", [2]),
        ("listener", "tcp://[::1]:5222", [2]),
        ("peer", "127.0.0.1", [1, 5]),
        ("peer", "::ffff:127.0.0.1", [1, 5]),
        ("peer", "127.0.0.1:40312", [1]),
        ("peer", "[::ffff:127.0.0.1]:40312", [1]),
        ("peer", "2001:0db8::0:1", [2]),
        ("peer", "[2001:DB8::1]", [2]),
        ("peer", "[2001:db8::1]:9", [2]),
        ("peer", "[2001:db8::1]:10", []),
        ("peer", "/run/echo.sock", [3]),
        ("peer", "@echo", [4]),
        ("connection", "8", [2]),
        ("kind", "received", [1, 2, 3, 4, 5]),
        ("contains", "x", [1, 2, 3, 4, 5]),
        ("contains", "hex:78", [1, 2, 3, 4, 5]),
    ],
)
def test_each_key_finds_what_it_names(key: str, value: str, fits: list[int]) -> None:
    rows = [
        row(1),
        row(2, whence=origin(8, "chat", "2001:db8::1", 9, "tcp://[::1]:5222")),
        row(3, whence=origin(9, address="/run/echo.sock", port=None)),
        row(4, whence=origin(10, address="@echo", port=None)),
        row(5, whence=origin(11, port=None)),
    ]
    assert found(rows, **{key: [value]}) == fits


def test_a_name_is_the_one_that_the_list_has_when_a_fact_is_looked_at() -> None:
    names: dict[str, str] = {}
    matcher = Matcher(Filter.parse({"name": ["sensor", "pump"]}), names.get)
    assert seqs(matcher.matching([row(1)])) == []
    names["127.0.0.1"] = "sensor"
    assert seqs(matcher.matching([row(2)])) == [2]
    names["127.0.0.1"] = "other"
    assert seqs(matcher.matching([row(3)])) == []


@pytest.mark.parametrize(
    ("since", "until", "fits"),
    [
        ("2000", None, [2, 3, 4]),
        ("2001", "3000", []),
        ("2000", "3000", [2]),
        ("3000", "4000", [3]),
        (None, "1970-01-01T00:00:00.000002Z", [1]),
        ("4s", "1s", [1, 2, 3, 4]),
        ("4000", "2000", []),
    ],
)
def test_a_time_begins_with_its_first_moment_and_ends_before_its_last(
    since: str | None, until: str | None, fits: list[int]
) -> None:
    query = {key: [value] for key, value in (("since", since), ("until", until)) if value is not None}
    wanted = Filter.parse(query, clock=lambda: 2_000_000_000)
    assert seqs(matching([row(1), row(2), row(3), row(4)], wanted, nobody)) == fits


def test_what_is_sought_may_begin_before_the_time() -> None:
    rows = numbered([(7, RECEIVED, b"GOT"), (7, RECEIVED, b" IP"), (7, RECEIVED, b"GOT IP")])
    assert found(rows, contains=["GOT IP"], since=["2000"], until=["3000"]) == [2]


def test_a_client_without_an_address_has_no_name() -> None:
    rows = [row(1, whence=origin(address="", port=None))]
    assert seqs(matching(rows, Filter.parse({"name": ["n"]}), lambda address: "n")) == []


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"colour": ["red"]}, "colour='red': expected one of the keys service, listener, peer, name, "),
        (
            {"kind": ["sent", "heard"]},
            "kind='heard': expected one of opened, received, sent, closed, refused",
        ),
        ({"service": [""]}, "service='': expected some text"),
        ({"name": [""]}, "name='': expected some text"),
        ({"connection": ["0"]}, "connection='0': expected the number of a connection"),
        ({"connection": ["-1"]}, "connection='-1': expected"),
        ({"connection": ["١"]}, "connection='١': expected"),
        ({"connection": ["9" * 30]}, f"connection='{'9' * 30}': expected"),
        (
            {"peer": [""]},
            "peer='': expected an address, address:port, [IPv6]:port or the path of a UNIX socket",
        ),
        ({"peer": ["example.org"]}, "peer='example.org': expected an address"),
        ({"peer": ["127.0.0.1:65536"]}, "peer='127.0.0.1:65536': expected"),
        ({"peer": ["127.0.0.1:"]}, "peer='127.0.0.1:': expected"),
        ({"peer": ["[::1]:x"]}, "peer='[::1]:x': expected"),
        ({"peer": ["[127.0.0.1]:9"]}, "peer='[127.0.0.1]:9': expected"),
        ({"contains": [""]}, f"contains='': expected 1 to {MAX_PATTERN} bytes"),
        ({"contains": ["hex:"]}, f"contains='hex:': expected 1 to {MAX_PATTERN} bytes"),
        (
            {"contains": ["hex:7"]},
            "contains='hex:7': expected two hexadecimal digits for each byte behind hex:",
        ),
        ({"contains": ["\ud800"]}, "contains='\\ud800': expected text"),
        ({"contains": ["a\r\nb" * 999]}, "contains='a\\r\\nb"),
        (
            {"since": ["lately"]},
            "since='lately': expected nanoseconds since the epoch, a time such as 2026-07-01T12:30:00Z, "
            "or how long ago, such as 90s, 15m, 2h or 3d",
        ),
        ({"until": [""]}, "until='': expected nanoseconds"),
        ({"until": ["1", "2"]}, "until='2': expected one value"),
        ({"service": ["s"] * (MAX_VALUES + 1)}, f"service='s': expected at most {MAX_VALUES} values"),
    ],
)
def test_a_bad_question_is_refused_in_one_line(query: dict[str, list[str]], line: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(line)) as refusal:
        Filter.parse(query)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


def test_other_keys_may_be_somebody_elses() -> None:
    assert Filter.parse({"limit": ["5"], "count": ["x"]}, besides=[*PAGE_KEYS, "count"]) == Filter()


@given(
    st.dictionaries(st.sampled_from([*FILTER_KEYS, *PAGE_KEYS]) | st.text(), st.lists(st.text(), max_size=3))
)
def test_whatever_is_asked_it_is_a_value_error_or_a_filter(query: dict[str, list[str]]) -> None:
    refusals = []
    for parse in (lambda: Filter.parse(query, PAGE_KEYS), lambda: Page.parse(query)):
        try:
            hash(parse())
        except ValueError as error:
            refusals.append(str(error))
    assert all(line.isprintable() for line in refusals)


def test_bytes_that_are_no_text_can_be_sought_as_a_url_has_them() -> None:
    assert Filter.parse({"contains": ["\udcffü"]}).contains == {b"\xff\xc3\xbc"}


def test_a_page_is_the_first_hundred_unless_something_else_is_said() -> None:
    assert Page.parse({}) == Page(0, "oldest", 100)
    assert Page.parse({"after": ["last"], "order": ["newest"], "limit": ["10000"]}) == Page(
        "last", "newest", 10_000
    )
    assert Page.parse({"before": ["9"]}) == Page(before=9)
    assert Page.parse({"after": ["1795177666958230"], "service": ["echo"]}).after == 1_795_177_666_958_230


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"limit": ["0"]}, "limit='0': expected a whole number from 1 to 10000"),
        ({"limit": ["10001"]}, "limit='10001': expected a whole number from 1 to 10000"),
        ({"limit": ["ten"]}, "limit='ten': expected a whole number from 1 to 10000"),
        ({"order": ["best"]}, "order='best': expected oldest or newest"),
        ({"after": ["first"]}, "after='first': expected the seq of a fact, or last"),
        (
            {"after": ["9223372036854775808"]},
            "after='9223372036854775808': expected the seq of a fact, or last",
        ),
        ({"after": ["1", "2"]}, "after='2': expected one value"),
        ({"before": ["last"]}, "before='last': expected the seq of a fact"),
        ({"before": ["1", "2"]}, "before='2': expected one value"),
    ],
)
def test_a_bad_page_is_refused_in_one_line(query: dict[str, list[str]], line: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(line) + "$"):
        Page.parse(query)


# -- bytes in streams --------------------------------------------------------------------------------


def test_a_match_across_chunks_counts_where_it_is_completed() -> None:
    rows = numbered(
        [(7, RECEIVED, b"..GO"), (7, RECEIVED, b"T "), (7, RECEIVED, b""), (7, RECEIVED, b"IP..")]
    )
    assert found(rows, contains=["GOT IP"]) == [4]


def test_connections_and_directions_are_streams_of_their_own() -> None:
    rows = numbered([(7, RECEIVED, b"GOT"), (8, RECEIVED, b" IP"), (7, SENT, b" IP"), (7, RECEIVED, b" IP")])
    assert found(rows, contains=["GOT IP"]) == [4]


def test_no_match_goes_on_across_what_was_not_kept() -> None:
    cut = row(1, b"GOT", length=4)
    assert found([cut, row(2, b" IP")], contains=["GOT IP"]) == []
    assert found([row(1, b"GOT"), row(2, b" IP", length=9)], contains=["GOT IP"]) == [2]
    assert found([row(1, b"GOT"), row(2, b"", length=9), row(3, b" IP")], contains=["GOT IP"]) == []


def test_a_datagram_is_looked_at_by_itself() -> None:
    rows = numbered([(None, RECEIVED, b"GOT"), (None, RECEIVED, b" IP"), (None, REFUSED, b"GOT IP!")])
    assert found(rows, contains=["GOT IP"]) == [3]


@pytest.mark.parametrize("kind", [RECEIVED, SENT])
@pytest.mark.parametrize("between", [OPENED, CLOSED])
def test_a_connection_of_the_same_number_is_another_one(between: str, kind: str) -> None:
    rows = numbered([(7, kind, b"GOT"), (7, between, b""), (7, kind, b" IP")])
    assert found(rows, contains=["GOT IP"]) == []


def test_a_match_counts_once_also_where_a_longer_one_goes_on_from_it() -> None:
    rows = numbered([(7, RECEIVED, b"GOT"), (7, RECEIVED, b" "), (7, RECEIVED, b"IP")])
    assert found(rows, contains=["GOT IP", "OT"]) == [1, 3]


def test_a_stream_is_followed_whatever_else_is_asked_of_its_facts() -> None:
    rows = numbered([(7, RECEIVED, b"GOT"), (7, CLOSED, b""), (7, RECEIVED, b" IP"), (7, SENT, b"GOT IP")])
    assert found(rows, contains=["GOT IP"], kind=["received"]) == []


def test_what_is_remembered_of_streams_is_bounded_and_the_idlest_is_forgotten() -> None:
    matcher = Matcher(Filter.parse({"contains": ["ab"]}), nobody, streams=2)
    begun = [row(number, b"a", whence=origin(number)) for number in (1, 2)]
    assert (
        seqs(matcher.matching([*begun, row(3, b"xa", whence=origin(1)), row(4, b"a", whence=origin(3))]))
        == []
    )
    ended = [row(4 + number, b"b", whence=origin(number)) for number in (1, 2, 3)]
    assert seqs(matcher.matching(ended)) == [5, 7]


def test_a_stream_that_does_not_end_in_a_beginning_takes_no_place() -> None:
    matcher = Matcher(Filter.parse({"contains": ["ab"]}), nobody, streams=1)
    rows = [row(1, b"a", whence=origin(1)), row(2, b"ac", whence=origin(2)), row(3, b"b", whence=origin(1))]
    assert seqs(matcher.matching(rows)) == [3]


def test_rows_that_are_missing_break_every_stream() -> None:
    matcher = Matcher(Filter.parse({"contains": ["ab"]}), nobody)
    assert seqs(matcher.matching([row(1, b"a")])) == []
    matcher.forget()
    assert seqs(matcher.matching([row(9, b"b")])) == []


def test_a_copy_goes_its_own_way() -> None:
    matcher = Matcher(Filter.parse({"contains": ["ab"]}), nobody)
    matcher.prime([row(1, b"a")])
    copy = matcher.copy()
    assert seqs(copy.matching([row(2, b"b")])) == [2]
    assert seqs(matcher.matching([row(2, b"b")])) == [2]
    assert seqs(copy.matching([row(3, b"b")])) == []


_PIECES = st.lists(
    st.tuples(st.sampled_from([1, 2, None]), st.sampled_from([RECEIVED, SENT]), st.text("ab", max_size=4)),
    max_size=25,
)
_PATTERNS = st.sets(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=3)


def _ends(stream: bytes, pattern: bytes) -> set[int]:
    """Where the last byte of each occurrence of a pattern stands, overlapping ones too."""
    return {at + len(pattern) - 1 for at in range(len(stream)) if stream.startswith(pattern, at)}


def _fitting(rows: list[Row], patterns: set[bytes]) -> list[int]:
    """What has to be found, looked up in whole streams."""
    whole: dict[object, bytes] = defaultdict(bytes)
    spans = []
    for seq, _, kind, (*_, connection), _, data, *_ in rows:
        stream = (connection, kind) if connection is not None else seq
        spans.append((seq, stream, len(whole[stream]), len(whole[stream]) + len(data)))
        whole[stream] += data
    ends = {
        stream: set().union(*(_ends(data, pattern) for pattern in patterns)) for stream, data in whole.items()
    }
    return [seq for seq, stream, begin, end in spans if any(begin <= at < end for at in ends[stream])]


@given(_PIECES, _PATTERNS, st.data())
def test_any_split_gives_the_same_matches(
    pieces: list[tuple[int | None, str, str]], patterns: set[str], data: st.DataObject
) -> None:
    rows = numbered([(number, kind, text.encode()) for number, kind, text in pieces])
    wanted = Filter.parse({"contains": sorted(patterns)})
    expected = _fitting(rows, set(wanted.contains))
    assert seqs(matching(rows, wanted, nobody)) == expected
    # In batches, of which the first ones are only context, and from a copy.
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    batches = [rows[begin:end] for begin, end in pairwise(cuts)]
    primed = data.draw(st.integers(0, len(batches)))
    matcher = Matcher(wanted, nobody)
    results = []
    for index, batch in enumerate(batches):
        if index < primed:
            matcher.prime(batch)
        else:
            results += seqs(matcher.matching(batch))
        matcher = matcher.copy()
    begin = batches[primed - 1][-1][0] if primed else 0
    assert results == [seq for seq in expected if seq > begin]


@given(_PIECES, _PATTERNS)
def test_whoever_stops_at_a_match_goes_on_behind_it(
    pieces: list[tuple[int | None, str, str]], patterns: set[str]
) -> None:
    rows = numbered([(number, kind, text.encode()) for number, kind, text in pieces])
    wanted = Filter.parse({"contains": sorted(patterns)})
    matcher, place, results = Matcher(wanted, nobody), 0, []
    while True:
        one = next(matcher.matching(rows[place:]), None)
        if one is None:
            break
        place = one[0]
        results.append(place)
    assert results == seqs(matching(rows, wanted, nobody))


def test_every_kind_can_be_asked_for() -> None:
    rows = [row(seq, kind=kind) for seq, kind in enumerate(KINDS, 1)]
    assert [found(rows, kind=[kind]) for kind in KINDS] == [[1], [2], [3], [4], [5]]
