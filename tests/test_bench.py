"""What the measurements make of their numbers; the numbers themselves are no matter of tests."""

from __future__ import annotations

import pytest

from bench import tables
from bench.figures import Bound, Spread, Verdict, against, judged, ratios, rotated, short
from bench.page import Measured
from bench.report import percentile
from bench.works import GROUPS, WORKS, Work

BOUND = Bound("cpu", "uvloop", 1.0)

#: In every round netsvc takes half as much as uvloop, and both take what the machine makes of it.
HALF = {
    "netsvc": [{"cpu": 1.0}, {"cpu": 50.0}, {"cpu": 3.0}],
    "uvloop": [{"cpu": 2.0}, {"cpu": 100.0}, {"cpu": 6.0}],
}


def test_a_ratio_is_of_one_round() -> None:
    assert against(HALF, "netsvc", "uvloop", "cpu") == Spread(0.5, 0.5, 0.5)


def test_ratios_of_unequal_numbers_of_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_spread_has_the_median_of_the_rounds_and_both_ends() -> None:
    assert Spread.of([9.0, 1.0, 2.0]) == Spread(2.0, 1.0, 9.0)


@pytest.mark.parametrize(("most", "holds"), [(0.5, True), (0.49, False)])
def test_a_bound_holds_up_to_the_very_number(most: float, holds: bool) -> None:
    assert judged("timestamp-64", Bound("cpu", "uvloop", most), HALF).holds is holds


def test_what_was_not_measured_does_not_hold() -> None:
    alone = {"netsvc": HALF["netsvc"]}
    assert against(alone, "netsvc", "uvloop", "cpu") is None
    verdict = judged("timestamp-64", BOUND, alone)
    assert not verdict.holds
    assert verdict.answer == "not measured"


def test_everybody_is_first_in_turn() -> None:
    names = ["a", "b", "c"]
    turns = [rotated(names, number) for number in range(4)]
    assert turns == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0.00"), (5.654, "5.65"), (13.04, "13.0"), (412.6, "413"), (78167.4, "78,167")]
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert short(number) == text


@pytest.mark.parametrize(("percent", "number"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_one_of_the_numbers(percent: float, number: float) -> None:
    assert percentile([float(one) for one in range(100, 0, -1)], percent) == number


def test_a_table_on_the_terminal_has_its_columns_one_below_the_other() -> None:
    lines = tables.aligned([["server", "µs"], ["a", "1.00"], ["longer one", "10.0"]]).splitlines()
    assert lines == ["  server        µs", "  a           1.00", "  longer one  10.0"]


def test_a_table_of_a_page_is_markdown() -> None:
    assert tables.markdown([["server", "µs"], ["a", "1.0"]]) == "| server | µs |\n| --- | ---: |\n| a | 1.0 |"


def test_the_table_of_a_work_has_no_column_for_what_was_not_measured() -> None:
    head, ours, theirs = tables.of_work(WORKS["timestamp-64"], HALF)
    assert head == ["server", "processor time for one message, µs", "netsvc / this"]
    assert ours == ["netsvc", "3.00 [1.00–50.0]", ""]
    assert theirs == ["Protocol on uvloop", "6.00 [2.00–100]", "0.50 [0.50–0.50]"]


def test_what_holds_is_told_with_its_bound_and_what_was_measured() -> None:
    _, row = tables.verdicts([Verdict("timestamp-64", BOUND, Spread(1.25, 1.1, 1.4))])
    assert row[3:] == ["1", "", "1.25 [1.10–1.40]", "NO"]


def test_growth_shows_only_those_who_came_to_the_end() -> None:
    one, both = {"netsvc": [{"cpu": 2.0}]}, {"netsvc": [{"cpu": 1.0}], "threaded": [{"cpu": 1.0}]}
    found = tables.growth({"timestamp-1": both, "timestamp-10000": one}, "growth-connections")
    assert found == [["server", "1", "10,000"], ["netsvc", "1.00", "2.00"]]


def test_what_was_lost_is_said() -> None:
    runs = {"netsvc": [{"lost": 0}, {"lost": 0}], "asyncio": [{"lost": 3}, {"lost": 4}]}
    assert tables.lost(runs) == "Protocol on asyncio has lost 7"


def test_a_run_is_judged_by_the_bounds_of_its_works() -> None:
    measured = Measured("", "", 3, {"timestamp-1000": {name: list(runs) for name, runs in HALF.items()}})
    (verdict,) = measured.verdicts()
    assert verdict.holds
    assert verdict.bound in WORKS["timestamp-1000"].bounds


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_whom_a_bound_is_about_does_the_work(work: Work) -> None:
    assert {bound.beside for bound in work.bounds} | {"netsvc"} <= set(work.contenders)
    assert not work.half_of or work.half_of in work.contenders


def test_groups_are_made_of_works() -> None:
    assert {name for group in GROUPS.values() for name in group} <= set(WORKS)
