"""What a load has counted, and how that is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.commands.address import parse_address
from netsvc.commands.dialing import TLSOptions
from netsvc.commands.loadmessage import (
    Differs,
)
from netsvc.commands.loadplan import Plan
from netsvc.commands.loadreport import Result, as_json, as_text, bins, duration, faults
from netsvc.commands.loadtally import LONGEST, Latencies, Tally

UDP = "udp://host:7"

MS = 1_000_000
SECOND = 1000 * MS


@given(st.lists(st.integers(0, 10 * LONGEST * 1000), min_size=1, max_size=200))
def test_latencies_keep_three_digits(nanoseconds: list[int]) -> None:
    latencies = Latencies()
    latencies.fresh += nanoseconds
    latencies.settle()
    assert latencies.fresh == []
    assert latencies.count == len(nanoseconds)
    exact = sorted(min(max(value // 1000, 1), LONGEST) for value in nanoseconds)
    assert latencies.most() == pytest.approx(exact[-1], rel=1e-3)
    assert latencies.least() == pytest.approx(exact[0], rel=1e-3)
    assert latencies.percentile(50) == pytest.approx(exact[(len(exact) - 1) // 2], rel=2e-3)
    assert sum(count for _, count in latencies.recorded()) == len(nanoseconds)


def test_without_any_there_are_no_latencies() -> None:
    nothing = Latencies()
    nothing.settle()
    assert (nothing.count, nothing.percentile(99), nothing.mean(), nothing.least(), nothing.most()) == (
        0,
    ) * 5


def result(tally: Tally, **options: Any) -> Result:
    """A result with a little of everything that was not given."""
    tally.latencies.settle()
    plan = Plan(
        parse_address(options.pop("address", "host:7")), TLSOptions(), connections=10, depth=1,
        rate=options.pop("rate", None), seconds=2.0, count=None, size=64, expect="suffix", timeout=1.0,
        patience=5.0,
    )  # fmt: skip
    given: dict[str, Any] = {"elapsed": 2.0, "busy": 0.5, "unsent": 0, "dropped": 0}
    return Result(plan, tally=tally, **(given | options))


def counted(*milliseconds: int, **counts: Any) -> Tally:
    """A tally with answers that took so long."""
    tally = Tally(sent=len(milliseconds), **counts)
    tally.latencies.fresh += [value * MS for value in milliseconds]
    return tally


def test_a_good_run_is_reported_without_faults() -> None:
    found = result(counted(*[1] * 90, *[5] * 9, 50, received=9100))
    lines = list(as_text(found, False))
    assert lines[:3] == [
        "tcp://host:7: 10 connections, closed loop of 1 on each, 64 bytes",
        "answered   100 of 100 in 2.00 s: 50 messages/s, 3.20 kB/s sent, 4.55 kB/s received",
        "latency    p50 1.00 ms, p90 1.00 ms, p99 5.00 ms, p99.9 50.0 ms, max 50.0 ms, mean 1.85 ms",
    ]
    assert "#" * 40 in lines[4]
    assert lines[-1].split()[:5] == ["50.0", "ms", "1", "100", "%"]
    assert faults(found) == []


def test_the_plot_has_block_characters_where_they_can_be_shown() -> None:
    found = result(counted(*[1] * 90, *[5] * 9, 50))
    assert any(line.endswith("█" * 40) for line in as_text(found, True))
    assert all(line.isascii() for line in as_text(result(counted(2)), False) if "µ" not in line)


def test_the_report_says_when_the_client_was_the_limit() -> None:
    assert not any("client" in line for line in as_text(result(counted(1)), False))
    busy = result(counted(1), busy=0.97)
    assert any(line.startswith("The client was the limit: it used 97%") for line in as_text(busy, False))
    assert as_json(busy)["client"] == {"busy": 0.97, "was_the_limit": True}


def test_the_report_says_when_the_client_was_late_or_lost_answers_itself() -> None:
    tally = counted(1)
    tally.lateness.fresh += [3 * MS] * 100
    tally.lateness.settle()
    text = "\n".join(as_text(result(tally, rate=5.0, dropped=7, address=UDP), False))
    assert "left later than they should" in text
    assert "7 answers were dropped here" in text


def test_each_fault_has_a_line() -> None:
    tally = counted(1, differing=2)
    tally.differs(Differs(b"000000000001abc", b"[now] 000000000001aXc\x1b[2J"))
    tally.broken["closed by the server"] = 3
    tally.unasked, tally.first_unasked = 1, b"hi"
    found = faults(result(tally, unsent=9))
    assert found == [
        "3 answers differ from what was sent; the first from byte 13 on: b'Xc\\x1b[2J' for b'bc'",
        "1 of 10 connections were ended: b'hi' came where nothing had been asked",
        "3 of 10 connections were lost: closed by the server",
        "9 messages could not leave: the server does not take that many",
    ]


def test_nothing_answered_is_a_fault_and_lost_datagrams_are_a_result() -> None:
    assert faults(result(Tally(sent=5))) == ["tcp://host:7: none of 5 messages was answered"]
    refused = result(Tally(sent=5, refused=1), address=UDP)
    assert faults(refused) == ["udp://host:7: none of 5 messages was answered: nobody receives there"]
    lossy = counted(1)
    lossy.sent, lossy.lost = 5, 4
    assert faults(result(lossy, address=UDP)) == []
    assert faults(result(lossy)) == ["4 of 5 messages were not answered"]
    assert "datagrams  lost 4 (80.00%), late 0, duplicated 0, reordered 0" in as_text(
        result(lossy, address=UDP), False
    )


def test_a_server_of_datagrams_that_went_away_is_a_fault() -> None:
    tally = counted(1, refused=3, last=5, last_refused=9)
    text = "udp://host:7: nobody receives there any more (3 datagrams were refused)"
    assert faults(result(tally, address=UDP)) == [text]
    assert as_json(result(tally, address=UDP))["refused"] == 3
    tally.last = 10
    text = "udp://host:7: for a time nobody received there (3 datagrams were refused)"
    assert faults(result(tally, address=UDP)) == [text]


def test_the_report_in_json_has_everything() -> None:
    tally = counted(1, 2)
    tally.differs(Differs(b"sent", b"\xff\x00"))
    found = json.loads(json.dumps(as_json(result(tally, address=UDP, rate=5.0))))
    assert found["latency_us"]["max"] == pytest.approx(2000, rel=1e-3)
    assert found["first_difference"] == {"expected": "'sent'", "came": "'\\xff\\x00'"}
    assert {"lost", "late", "duplicated", "reordered", "left_late_us", "distribution_us"} <= set(found)


@given(
    st.dictionaries(st.integers(1, LONGEST), st.integers(1, 1000), min_size=1, max_size=50),
    st.integers(1, 20),
)
def test_bins_hold_each_latency_once(recorded: dict[int, int], number: int) -> None:
    rows = bins(sorted(recorded.items()), number)
    assert len(rows) <= number
    edges = [edge for edge, _ in rows]
    assert edges == sorted(set(edges))
    assert edges[-1] == max(recorded)
    low = 0
    for edge, count in rows:
        assert count == sum(times for latency, times in recorded.items() if low < latency <= edge)
        low = edge


def test_durations_have_three_digits_and_a_unit() -> None:
    shown = [duration(value) for value in (7, 999, 1000, 12_340, 123_400, 1_234_000, 61_000_000)]
    assert shown == ["7 µs", "999 µs", "1.00 ms", "12.3 ms", "123 ms", "1.23 s", "61.0 s"]
