"""
One event of the log as one line: for people, for journald, and for programs (JSON).

What an event says may hold a peer's bytes, and not every line is ours to phrase: Twisted's, plugins' and the
texts of exceptions come here too. So it is here that whatever is no printable character is written as an
escape, once and for all events.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent, formatTime
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

#: Severities of syslog (RFC 5424 section 6.2.1), in the form that journald reads at the beginning of a line
#: (sd-daemon(3)).
_SEVERITIES = {
    LogLevel.critical: "<2>",
    LogLevel.error: "<3>",
    LogLevel.warn: "<4>",
    LogLevel.info: "<6>",
    LogLevel.debug: "<7>",
}

#: Keys of an event that are no field of its text: those of Twisted's older log, which it still adds.
_NO_FIELDS = frozenset(
    {"message", "time", "system", "format", "isError", "failure", "why", "logLevel", "text"}
)


def text_line(event: LogEvent) -> str:
    """
    For people: time, namespace, level and text; the lines of a traceback follow, set in.

    @return: with its newline; empty for an event that says nothing.
    """
    parts = _parts(event)
    if not any(parts):
        return ""
    system = event.get("log_system")
    source = f"{_namespace(event)}#{_level(event).name}" if system is None else safe_str(system)
    shown = "\n\t".join(part for part in parts if part)
    return f"{formatTime(event.get('log_time'))} [{escaped(source)}] {shown}\n"


def journal_line(event: LogEvent) -> str:
    """
    For journald: the severity, which it takes away, and no time, which it has itself.

    @return: see `text_line`; a traceback is in the line too.
    """
    parts = _parts(event)
    if not any(parts):
        return ""
    text = "\\n".join(part for part in parts if part)
    return f"{_SEVERITIES[_level(event)]}[{escaped(_namespace(event))}] {text}\n"


def json_line(event: LogEvent) -> str:
    """
    For programs: an object with ``time`` (UTC, RFC 3339), ``level``, ``namespace``, ``text``, a ``traceback``
    if there is one, and the event's own ``fields``.

    @return: see `text_line`; ASCII alone.
    """
    text, traceback = formatEvent(event), _traceback(event)
    if not text and not traceback:
        return ""
    line: dict[str, Any] = {
        "time": _utc(event),
        "level": _level(event).name,
        "namespace": _unicode(_namespace(event)),
        "text": _unicode(text),
    }
    if traceback:
        line["traceback"] = _unicode(traceback)
    if fields := _fields(event, text):
        line["fields"] = fields
    # DEL is the one control character that JSON lets stand.
    return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def escaped(text: str) -> str:
    """A text with whatever is no printable character, a blank apart, written as Python's literals do."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _parts(event: LogEvent) -> list[str]:
    """The text and each line of a traceback, escaped; all empty where the event says nothing."""
    return [escaped(formatEvent(event)), *map(escaped, _traceback(event).splitlines())]


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    if not isinstance(failure, Failure):
        return ""
    try:
        return failure.getTraceback().rstrip("\n")
    except Exception as error:  # noqa: BLE001 - the exception may be anybody's, and so its __str__
        return f"no traceback of a {failure.type}, because of a {type(error)}"


def _level(event: LogEvent) -> Any:
    level = event.get("log_level")
    return level if level in _SEVERITIES else LogLevel.info


def _namespace(event: LogEvent) -> str:
    return safe_str(event.get("log_namespace") or "-")


def _utc(event: LogEvent) -> str | None:
    seconds = event.get("log_time")
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _fields(event: LogEvent, text: str) -> dict[str, Any]:
    """What the event has beside its text, less what is only the text again."""
    return {
        _unicode(key): _plain(value)
        for key, value in event.items()
        if not key.startswith("log_") and key not in _NO_FIELDS and value != text
    }


def _plain(value: object) -> Any:
    """A value as JSON has it; what it has no form for becomes a text."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _unicode(safe_str(value))


def _unicode(text: str) -> str:
    """A text without lone surrogates, which stand for bytes of a path that are no UTF-8; JSON has none."""
    return text.encode("utf-8", "backslashreplace").decode()
