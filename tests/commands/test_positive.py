"""Numbers that commands take, and do not take."""

from __future__ import annotations

import pytest

from tests.commands.programs import usage


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "localhost:1", "x", "--wait"),
        ("talk", "localhost:1", "--wait"),
        ("greet", "localhost:1", "--timeout"),
        ("listen", "localhost:0", "--timeout"),
        ("bench", "localhost:1", "--timeout"),
        ("bench", "localhost:1", "--seconds"),
        ("bench", "localhost:1", "--rate"),
    ],
    ids=" ".join,
)
def test_what_no_clock_can_count_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    for number in ("nan", "inf", "-inf", "1e300", "0", "-1", "soon"):
        assert usage(*arguments[:-1], f"{arguments[-1]}={number}") == 2


def test_a_message_in_more_than_a_lifetime_is_no_rate() -> None:
    assert usage("bench", "localhost:1", "--rate=1e-300") == 2
