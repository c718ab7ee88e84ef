"""`netsvc.journal.disk.reader`: what is found is what fits, a bounded part of it at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.facts import CLOSED, KINDS, OPENED, SENT, Row
from netsvc.journal.disk.columns import INSERT
from netsvc.journal.disk.database import Database
from netsvc.journal.disk.reader import END, Reader, SlowError
from netsvc.journal.disk.schema import SCHEMA, JournalError
from netsvc.journal.disk.search import Part
from netsvc.journal.query import Filter, matching
from tests.journal.rows import nobody, origin, row, seqs

#: A time at which seqs and times are large enough to differ by more than a second, in microseconds.
START = 1_000_000_000


def reader_of(rows: list[Row], context: int = 5000) -> Reader:
    """A journal in memory that has some rows."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA.tables)
    connection.executemany(INSERT, map(record, rows))
    return Reader(connection, context=context)


def record(one: Row) -> tuple[Any, ...]:
    """A row as the database has it."""
    seq, time, kind, whence, length, data, reason, _ = one
    return (seq, time, kind, *whence, length, data, reason, None)


def all_of(
    reader: Reader, wanted: Filter, after: int, until: int, newest_first: bool, **limits: int
) -> Iterator[Part]:
    """Every part of an answer."""
    matcher = None
    while True:
        part = reader.find(wanted, after, until, newest_first, matcher=matcher, **limits)
        yield part
        if part.done:
            return
        assert after <= part.place <= until
        assert part.place < until if newest_first else part.place > after
        after, until = (after, part.place) if newest_first else (part.place, until)
        matcher = part.matcher


# -- the same as by looking at every one ---------------------------------------------------------------------

_ORIGINS = st.builds(
    origin,
    connection=st.sampled_from([None, 1, 2]),
    service=st.sampled_from(["echo", "chat", "udp"]),
    address=st.sampled_from(["192.0.2.1", "192.0.2.2", "/run/a", ""]),
    port=st.sampled_from([None, 1, 2]),
    listener=st.sampled_from(["tcp://:1", "tcp://:2"]),
)
_STEPS = st.integers(1, 3) | st.just(3_000_000)
_DATA = st.sampled_from([b"a", b"b", b"ab", b"ba", b"aab", b"", None])


@st.composite
def _rows(draw: st.DrawFn, misdated: bool = True) -> list[Row]:
    rows, seq = [], START
    for whence, kind, step, data in draw(
        st.lists(st.tuples(_ORIGINS, st.sampled_from(KINDS), _STEPS, _DATA), max_size=40)
    ):
        seq += step
        off = draw(st.sampled_from([0, 0, 400_000, -400_000, 5_000_000, -5_000_000])) if misdated else 0
        one = row(seq, data, kind, whence)
        rows.append((seq, (seq + off) * 1000, *one[2:]))
    return rows


def _some(values: list[Any]) -> st.SearchStrategy[frozenset[Any]]:
    return st.just(frozenset()) | st.sets(st.sampled_from(values), max_size=3).map(frozenset)


_MOMENTS = st.none() | st.integers(-2, 130).map(lambda tenths: (START + tenths * 1_000_000) * 1000)
_FILTERS = st.builds(
    Filter,
    service=_some(["echo", "chat", "none"]),
    listener=_some(["tcp://:1", "tcp://:3"]),
    peer=_some([("192.0.2.1", None), ("192.0.2.2", 2), ("192.0.2.1", 1), ("/run/a", None), ("::1", None)]),
    connection=_some([1, 2, 3]),
    kind=_some(list(KINDS)),
    contains=_some([b"a", b"abab", b"aa", b"bb"]),
    since=_MOMENTS,
    until=_MOMENTS,
)


@given(_rows(), _FILTERS, st.data())
def test_any_parts_together_are_what_fits(rows: list[Row], wanted: Filter, data: st.DataObject) -> None:
    after = data.draw(st.sampled_from([0, *seqs(rows)]), "after")
    until = data.draw(st.sampled_from([END, *seqs(rows)]).filter(lambda one: one >= after), "until")
    newest_first = data.draw(st.booleans(), "newest first")
    limits = {
        "limit": data.draw(st.integers(1, 50), "limit"),
        "scan": data.draw(st.integers(1, 50), "scan"),
        "limit_bytes": data.draw(st.sampled_from([1, 500, 2000, 1 << 20]), "bytes"),
    }
    expected = [one for one in matching(rows, wanted, nobody) if after < one[0] <= until]
    with closing(reader_of(rows)) as reader:
        parts = list(all_of(reader, wanted, after, until, newest_first, **limits))
    found = [one for part in parts for one in part.rows]
    assert found == (expected[::-1] if newest_first else expected)
    assert all(len(part.rows) <= limits["limit"] for part in parts)


def test_a_matcher_goes_on_with_what_it_has_seen_however_long_ago_that_was() -> None:
    rows = [row(1, b"ab"), *(row(seq, b"x", whence=origin(8)) for seq in range(2, 50)), row(50, b"cd")]
    wanted = Filter(contains=frozenset({b"abcd"}))
    with closing(reader_of(rows, context=3)) as reader:
        parts = list(all_of(reader, wanted, 0, END, False, scan=5))
        assert [seqs(part.rows) for part in parts if part.rows] == [[50]]
        # Who begins in between knows only as much as was just before that.
        assert reader.find(wanted, after=30).rows == []
        assert seqs(reader.find(wanted, after=3).rows) == [50]


@pytest.mark.parametrize("off", [0, 1, -1, 999_999, -999_999, 1_000_000, -1_000_000, 1_000_001, -1_000_001])
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_time_is_the_facts_own_however_far_its_seq_is_from_it(off: int, newest_first: bool) -> None:
    one = row(START)
    time = (START + off) * 1000
    with closing(reader_of([(START, time, *one[2:])])) as reader:

        def fits(since: int | None, until: int | None) -> bool:
            return bool(reader.find(Filter(since=since, until=until), newest_first=newest_first).rows)

        assert fits(time, time + 1)
        assert fits(time, None)
        assert fits(None, time + 1)
        assert not fits(time + 1, None)
        assert not fits(None, time)


def test_no_more_is_looked_at_than_may_be_wherever_it_is() -> None:
    misdated = [(seq, (START + 5) * 1000, *row(seq)[2:]) for seq in range(1, 41)]
    rows = misdated + [row(START + number) for number in range(100)]
    wanted = Filter(since=START * 1000, kind=frozenset({CLOSED}))
    with closing(reader_of(rows)) as reader:
        assert reader.find(wanted, scan=50).place == START + 9


def test_content_is_found_also_where_the_clock_was_set_in_the_middle_of_it() -> None:
    """The second half was noted after the clock was set back by 10 seconds."""
    first, second = row(START, b"ab"), row(START + 1, b"cd")
    second = (second[0], (START - 10_000_000) * 1000, *second[2:])
    wanted = Filter(contains=frozenset({b"abcd"}), until=(START - 5_000_000) * 1000)
    with closing(reader_of([first, second])) as reader:
        assert seqs(reader.find(wanted).rows) == [START + 1]
        assert seqs(reader.find(wanted, newest_first=True).rows) == [START + 1]


def test_a_match_does_not_run_from_one_process_to_the_next() -> None:
    rows = [row(1, b"ab"), row(2, kind=OPENED), row(3, b"cd")]
    with closing(reader_of(rows)) as reader:
        assert reader.find(Filter(contains=frozenset({b"abcd"}))).rows == []


def test_a_path_that_is_no_text_is_asked_for_as_it_was_recorded() -> None:
    path = "/tmp/caf\udce9"
    one = row(1, whence=origin(address="/tmp/caf\\xe9", port=None, listener="unix:///tmp/\\xff"))
    with closing(reader_of([one])) as reader:
        for query in ({"peer": [path]}, {"listener": ["unix:///tmp/\udcff"]}):
            for more in ({}, {"contains": ["x"]}):
                assert reader.find(Filter.parse({**query, **more})).rows == [one]
        assert reader.find(Filter.parse({"service": ["\udcff"]})).rows == []


def test_names_are_not_looked_at() -> None:
    with closing(reader_of([row(1)])) as reader:
        for query in ({"name": ["sensor"]}, {"name": ["sensor"], "contains": ["x"]}):
            assert seqs(reader.find(Filter.parse(query)).rows) == [1]


def test_it_knows_its_ends_and_how_many_there_are() -> None:
    with closing(reader_of([])) as reader:
        assert (reader.first(), reader.last(), reader.count()) == (0, 0, 0)
        assert reader.find(Filter(), 5, 9).done
    with closing(reader_of([row(3), row(7), row(8)])) as reader:
        assert (reader.first(), reader.last(), reader.count()) == (3, 8, 3)
        assert reader.find(Filter()).first == 3


# -- what it costs -------------------------------------------------------------------------------------------


def statements_of(reader: Reader, wanted: Filter, **more: Any) -> list[str]:
    """The SQL of a question, with its values."""
    said: list[str] = []
    reader._connection.set_trace_callback(said.append)
    reader.find(wanted, **more)
    reader._connection.set_trace_callback(None)
    return [one for one in said if one.startswith("SELECT")]


_QUESTIONS: list[dict[str, Any]] = [
    {},
    {"service": frozenset({"echo"})},
    {"service": frozenset({"echo", "chat"}), "kind": frozenset({SENT})},
    {"peer": frozenset({("192.0.2.1", None)})},
    {"peer": frozenset({("192.0.2.1", 5), ("192.0.2.2", None)}), "service": frozenset({"echo"})},
    {"listener": frozenset({"tcp://:1"})},
    {"connection": frozenset({7})},
    {"since": 1},
    {"since": START * 1000, "until": (START + 9_000_000) * 1000, "service": frozenset({"echo"})},
]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("contains", [frozenset(), frozenset({b"x"}), frozenset({b"xyz"})])
@pytest.mark.parametrize("question", _QUESTIONS)
def test_no_question_looks_at_all_of_it_or_sorts_it(
    question: dict[str, Any], contains: frozenset[bytes], newest_first: bool
) -> None:
    rows = [row(START + seq * 100_000, whence=origin(7, "echo", "192.0.2.1", 5)) for seq in range(200)]
    with closing(reader_of(rows)) as reader:
        wanted = Filter(**question, contains=contains)
        statements = statements_of(reader, wanted, newest_first=newest_first, after=5, until=END - 5)
        assert statements
        for statement in statements:
            plan = reader._connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            steps = {step for *_, step in plan}
            # What is limited may be counted.
            assert {step for step in steps if not step.startswith("SEARCH fact")} <= {
                "CO-ROUTINE (subquery-1)",
                "SCAN (subquery-1)",
            }, (statement, plan)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("question", _QUESTIONS[1:])
def test_a_part_takes_as_long_however_many_facts_there_are(
    question: dict[str, Any], newest_first: bool
) -> None:
    """In steps of SQLite's machine, where the time would depend on what else happens."""

    def steps(count: int) -> int:
        whence = origin(8, "echo", "192.0.2.1", 4)
        rows = [row(START + seq * 100_000, whence=whence) for seq in range(count)]
        taken = 0

        def count_step() -> int:
            nonlocal taken
            taken += 1
            return 0

        with closing(reader_of(rows)) as reader:
            reader._connection.set_progress_handler(count_step, 10)
            part = reader.find(
                Filter(**{**question, "kind": frozenset({CLOSED})}), newest_first=newest_first, scan=50
            )
        assert part.rows == []
        return taken

    assert steps(3000) <= steps(300) + 5


def test_a_part_ends_with_the_bytes_that_it_may_look_through() -> None:
    rows = [row(seq, b"x" * 1000) for seq in range(1, 101)]
    with closing(reader_of(rows)) as reader:
        part = reader.find(Filter(contains=frozenset({b"y"})), limit_bytes=10_000)
        assert (part.rows, part.place, part.done) == ([], 10, False)


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = journal_of(tmp_path, [row(seq, b"x" * 100) for seq in range(1, 5000)])
    with closing(Reader.open(path, patience=0.0)) as reader, pytest.raises(SlowError, match="too long"):
        reader.find(Filter(connection=frozenset({5})))
    with closing(Reader.open(path, patience=60.0)) as reader:
        assert reader.find(Filter(connection=frozenset({5}))).done


# -- files ---------------------------------------------------------------------------------------------------


def journal_of(directory: Path, rows: list[Row]) -> Path:
    """A journal's file."""
    path = directory / "a journal?.db"
    with closing(Database(path, unexpected).open()) as connection:
        connection.executemany(INSERT, map(record, rows))
    return path


def unexpected(line: str) -> None:
    raise AssertionError(line)


def test_it_reads_what_is_being_written_and_keeps_nobody_from_writing(tmp_path: Path) -> None:
    path = journal_of(tmp_path, [row(1)])
    with closing(Database(path, unexpected).open()) as writer, closing(Reader.open(path)) as reader:
        for seq in range(2, 200):
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(INSERT, record(row(seq)))
            assert reader.last() == seq - 1
            writer.execute("COMMIT")
            assert seqs(reader.find(Filter(), limit=2).rows) == [1, 2]
            assert seqs(reader.find(Filter(), limit=1, newest_first=True).rows) == [seq]
        # Nothing is held on to, or the log could not be copied.
        assert writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_it_cannot_write(tmp_path: Path) -> None:
    path = journal_of(tmp_path, [row(1)])
    with closing(Reader.open(path)) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM fact")


def test_what_is_no_journal_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE bookmark (url TEXT)")
    newer, older, text, empty = (tmp_path / name for name in ("newer.db", "older.db", "text", "empty"))
    for path, version in ((newer, SCHEMA.version + 1), (older, SCHEMA.version - 1)):
        Database(path, unexpected).open().close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
    text.write_text("no database at all, whatever it is called" * 100)
    empty.touch()
    expected = {
        tmp_path / "nowhere": "no such file",
        tmp_path: "expected a file",
        other: "it is another program's database",
        newer: "a newer netsvc's",
        older: "an older netsvc's; a daemon that is started with it makes it version 2",
        text: "file is not a database",
        empty: "nothing is in it",
    }
    for path, why in expected.items():
        with pytest.raises(JournalError) as raised:
            Reader.open(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert why in str(raised.value)
        assert "\n" not in str(raised.value)


def test_damage_that_shows_later_is_one_line_too(tmp_path: Path) -> None:
    path = journal_of(tmp_path, [row(seq, b"x" * 1000) for seq in range(1, 200)])
    content = bytearray(path.read_bytes())
    content[4096 * 5 :] = b"\xa5" * (len(content) - 4096 * 5)
    path.write_bytes(content)
    with closing(Reader.open(path)) as reader, pytest.raises(JournalError, match=r"^[^\n]*malformed[^\n]*$"):
        reader.find(Filter())
