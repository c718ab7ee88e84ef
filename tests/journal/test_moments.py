"""`netsvc.journal.moments`: the times that people and programs write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.journal.moments import LAST, moment

SECOND = 1_000_000_000
NOW = 1_795_177_666 * SECOND + 5


@pytest.fixture
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine five and a half hours ahead of UTC."""
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    assert os.environ.get("TZ") == before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1795177666000000005", NOW),
        ("9" * 19, LAST),
        ("1" * 20, LAST),
        # Digits are a number also where they could be a date.
        ("20260701", 20_260_701),
        ("90s", NOW - 90 * SECOND),
        ("15m", NOW - 900 * SECOND),
        ("2h", NOW - 7200 * SECOND),
        ("3d", NOW - 3 * 86_400 * SECOND),
        ("9999999999d", 0),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01 00:00:01Z", SECOND),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:01 02:00", SECOND),
        ("1970-01-01T00:00:00-01:30", 5400 * SECOND),
        ("1970-01-01T00:00:00.000001Z", 1000),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+14:00", 0),
        ("9999-12-31T23:59:59-14:00", LAST),
        ("0001-01-01", 0),
        ("9999-12-31T23:59:59", LAST),
    ],
)
def test_a_moment_is_read(text: str, expected: int) -> None:
    assert moment(text, NOW) == expected


@pytest.mark.usefixtures("in_kolkata")
@pytest.mark.parametrize("text", ["1970-01-02T05:30:00", "1970-01-02 05:30", "1970-01-02T05:30:00+05:30"])
def test_without_an_offset_it_is_the_time_here(text: str) -> None:
    assert moment(text, NOW) == 86_400 * SECOND


@pytest.mark.parametrize(
    "text", ["", " ", "now", "5x", "-5s", "5.5s", "s", "2026-13-01", "2026-07-01T25:00", "١", "٣d"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=".*"):
        moment(text, NOW)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_is_itself_or_the_nearest_that_there_is(when: datetime) -> None:
    nanoseconds = round((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND
    found = moment(when.isoformat(), NOW)
    assert abs(found - max(0, min(nanoseconds, LAST))) <= SECOND


@given(st.text())
def test_nothing_that_is_written_does_any_harm(text: str) -> None:
    try:
        assert 0 <= moment(text, NOW) <= LAST
    except ValueError:
        return
