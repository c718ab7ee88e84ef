"""`netsvc.loglines`: every event is one line, and nothing in it acts on a terminal or begins another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python import log as older_log
from twisted.python.failure import Failure

from netsvc.loglines import escaped, journal_line, json_line, text_line

#: What a peer would write to begin a line of its own, to act on a terminal, or to have a field shown.
HOSTILE = "\r\n<0>\x1b[2J\0\x07\x85\u2028\u2029\x7f\x9b31m\u202e{log_time}{x}\udcff é"

_LINES = [text_line, journal_line, json_line]


def _events(tell: Callable[[Logger], None]) -> list[LogEvent]:
    events: list[LogEvent] = []
    tell(Logger(namespace="netsvc.here", observer=events.append))  # type: ignore[arg-type]
    return events


def _event(text: str = "said {what}", level: Any = LogLevel.info, **fields: Any) -> LogEvent:
    (event,) = _events(lambda log: log.emit(level, text, **fields))
    return event


def _failure(error: Exception) -> LogEvent:
    def tell(log: Logger) -> None:
        try:
            raise error
        except Exception:  # noqa: BLE001 - whatever a test raises
            log.failure("it broke")

    (event,) = _events(tell)
    return event


@given(text=st.text())
def test_whatever_an_event_says_it_is_one_line_of_printable_characters(text: str) -> None:
    for event in (_event(what=text), _event("{a}\n{b}", a=text, b=HOSTILE), _event("{missing}", x=text)):
        for line in _LINES:
            written = line(event)
            assert written.endswith("\n")
            assert written[:-1].isprintable()


@pytest.mark.parametrize("line", _LINES)
def test_the_older_log_is_escaped_too(line: Callable[[LogEvent], str]) -> None:
    events: list[dict[str, Any]] = []
    older_log.addObserver(events.append)
    try:
        older_log.msg("one", HOSTILE, system=HOSTILE)
    finally:
        older_log.removeObserver(events.append)
    written = line(events[0])
    assert written[:-1].isprintable()
    assert "\\x1b[2J" in written or "\\u001b[2J" in written


def test_text_has_time_source_and_level() -> None:
    event = _event(what="this", level=LogLevel.warn)
    event["log_time"] = 0.0
    written = text_line(event)
    assert written.startswith("19")
    assert written.endswith(" [netsvc.here#warn] said this\n")


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (LogLevel.critical, "<2>"),
        (LogLevel.error, "<3>"),
        (LogLevel.warn, "<4>"),
        (LogLevel.info, "<6>"),
        (LogLevel.debug, "<7>"),
        (None, "<6>"),
    ],
)
def test_the_journal_gets_the_severity_and_no_time(level: Any, severity: str) -> None:
    event = _event(what="this")
    event["log_level"] = level
    assert journal_line(event) == f"{severity}[netsvc.here] said this\n"


def test_json_has_time_level_namespace_text_and_the_fields_of_the_event() -> None:
    event = _event(
        "{who} said {what}", who="ann", what=["a", 1], count=3, share=0.5, odd=float("nan"), none=None
    )
    event["log_time"] = 1_795_177_666.958230
    assert json.loads(json_line(event)) == {
        "time": "2026-11-20T12:27:46.958230Z",
        "level": "info",
        "namespace": "netsvc.here",
        "text": "ann said ['a', 1]",
        "fields": {"who": "ann", "what": "['a', 1]", "count": 3, "share": 0.5, "odd": "nan", "none": None},
    }


def test_json_says_nothing_twice_and_nothing_of_twisteds_own() -> None:
    event = _event("{line}", line="once")
    event.update({"message": (), "time": 1.0, "isError": 0, "log_source": object(), "log_time": None})
    assert json.loads(json_line(event)) == {
        "time": None,
        "level": "info",
        "namespace": "netsvc.here",
        "text": "once",
    }


def test_json_is_unicode_that_every_parser_takes() -> None:
    written = json_line(_event(what=HOSTILE, **{"k\udcff": "\udcff"}))
    assert written.isascii()
    assert "\\udc" not in written.replace("\\\\", "")
    assert json.loads(written)["text"] == "said " + HOSTILE.replace("\udcff", "\\udcff")


def test_a_traceback_is_set_in_in_text_and_in_the_line_elsewhere() -> None:
    event = _failure(ValueError(f"from a peer: {HOSTILE}"))
    lines = text_line(event).splitlines(keepends=True)
    assert lines[0].endswith("] it broke\n")
    assert all(one.startswith("\t") and one[1:-1].isprintable() and one[-1] == "\n" for one in lines[1:])
    assert any("ValueError: from a peer: " in one for one in lines)
    written = journal_line(event)
    assert written.startswith("<2>[netsvc.here] it broke\\nTraceback (most recent call last):\\n")
    assert written[:-1].isprintable()
    read = json.loads(json_line(event))
    assert read["text"] == "it broke"
    assert "ValueError: from a peer: " in read["traceback"]


class _UntoldError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize("line", _LINES)
def test_an_exception_that_cannot_be_told_is_told_of(line: Callable[[LogEvent], str]) -> None:
    assert "_UntoldError" in line(_failure(_UntoldError()))


@pytest.mark.parametrize("line", _LINES)
def test_an_event_that_says_nothing_is_no_line(line: Callable[[LogEvent], str]) -> None:
    assert line({}) == ""
    assert line(_event("")) == ""
    assert line({"log_failure": "no failure"}) == ""


@pytest.mark.parametrize("line", _LINES)
def test_a_failure_without_a_text_is_told(line: Callable[[LogEvent], str]) -> None:
    assert "KeyError" in line({"log_failure": Failure(KeyError("k"))})


def test_what_is_printable_stands_as_it_is() -> None:
    assert escaped("naïve ☃ {x} \\n") == "naïve ☃ {x} \\n"
    assert escaped("a\tb\nc\\") == "a\\tb\\nc\\"
