"""The forms of time that services write."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.services.clock import SECOND, ctime, iso

#: From the epoch to the end of the year 9998, past which C's form would grow.
MOMENTS = st.integers(0, 253_370_764_800 * SECOND)


@settings(deadline=None, max_examples=50)
@given(MOMENTS)
def test_ctime_has_24_characters_and_reads_back_as_local_time(moment: int) -> None:
    text = ctime(moment)
    assert len(text) == 24
    assert text == time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment // SECOND))


@settings(deadline=None, max_examples=50)
@given(MOMENTS)
def test_iso_reads_back_to_the_microsecond(moment: int) -> None:
    text = iso(moment)
    assert len(text) == 27
    read = datetime.fromisoformat(text)
    assert read.tzinfo == UTC
    since = read - datetime(1970, 1, 1, tzinfo=UTC)
    assert (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds == moment // 1000


def test_iso_of_a_whole_second_still_shows_microseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000Z"
