"""`netsvc.logoutput`: where the log goes, in which form, and how much of it stays."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twisted.logger import FileLogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.logfile import LogFile

from netsvc import logoutput
from netsvc.logoutput import is_journal, log_observer
from netsvc.settings import Log, SettingError

_EVENT: LogEvent = {"log_format": "said", "log_namespace": "here", "log_time": 0.0}


class _Reactor:
    """As much of a reactor as the log needs."""

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()


def _observer(log: Log | None = None, **options: Any) -> FileLogObserver | None:
    twistd = {"nodaemon": 1, "logfile": None, "logger": None, "syslog": 0, **options}
    return log_observer(log or Log(), twistd, _Reactor())


class _Output(io.TextIOWrapper):
    """What stands for standard output; its encoding lacks most letters."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="latin-1")

    def written(self) -> str:
        return self.bytes.getvalue().decode("latin-1")


@pytest.fixture(autouse=True)
def left_as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disposition of SIGUSR1 is what it was; and log files, which a process keeps, are closed."""
    files: list[LogFile] = []

    class Closed(LogFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
            files.append(self)

    monkeypatch.setattr(logoutput, "LogFile", Closed)
    former = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, former)
    for one in files:
        one.close()


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("auto", "1970-01-01T"),
        ("text", "1970-01-01T"),
        ("journal", "<6>[here] said\n"),
        (
            "json",
            '{"time": "1970-01-01T00:00:00.000000Z", "level": "info", "namespace": "here", "text": "said"}\n',
        ),
    ],
)
def test_the_setting_says_which_form_the_log_has(
    form: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = _Output()
    monkeypatch.setattr(sys, "stdout", output)
    observer = _observer(Log(format=form))
    assert observer is not None
    observer(_EVENT)
    assert output.written().startswith(line)


def test_a_letter_that_the_terminal_lacks_loses_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    output = _Output()
    monkeypatch.setattr(sys, "stdout", output)
    observer = _observer()
    assert observer is not None
    observer({**_EVENT, "log_format": "a snowman ☃"})
    assert "a snowman \\u2603\n" in output.written()


def test_what_goes_to_journald_is_known_by_its_socket(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream, (tmp_path / "log").open("w") as other:
        found = os.fstat(ours.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream, environ)
        assert not is_journal(other, environ)
        assert not is_journal(stream, {})
        assert not is_journal(stream, {"JOURNAL_STREAM": "nonsense"})
    assert not is_journal(stream, environ)
    assert not is_journal(io.StringIO(), environ)


def test_auto_is_for_the_journal_where_journald_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream:
        found = os.fstat(ours.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        monkeypatch.setattr(sys, "stdout", stream)
        observer = _observer()
        assert observer is not None
        observer(_EVENT)
        assert theirs.recv(100) == b"<6>[here] said\n"


@pytest.mark.parametrize(
    "options",
    [{"logger": print}, {"syslog": 1}, {"nodaemon": 0, "logfile": "-"}],
    ids=["logger", "syslog", "background"],
)
def test_what_twistds_user_chose_for_the_log_stands(options: dict[str, Any]) -> None:
    assert _observer(**options) is None


def test_the_log_of_another_program_is_its_own_and_a_setting_that_does_nothing_is_told_of() -> None:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        assert log_observer(Log(), None, _Reactor()) is None
        assert log_observer(Log(), {"logFormat": "json"}, _Reactor()) is None
        assert lines == []
        assert log_observer(Log(format="json"), {"logFormat": "json"}, _Reactor()) is None
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
    assert lines == ["log.format is not used: it is for the log of twistd without --logger and --syslog"]


def test_a_log_file_is_bounded_with_all_its_old_parts(tmp_path: Path) -> None:
    observer = _observer(Log(file_size=10_000, files=2), logfile=str(tmp_path / "log"))
    assert observer is not None
    for _ in range(2_000):
        observer({**_EVENT, "log_format": 50 * "é"})
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    # Letters beyond ASCII count once and take two bytes.
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) < 3 * 2 * 10_200


def test_in_the_background_the_log_is_in_the_file_that_twistd_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    observer = _observer(nodaemon=0)
    assert observer is not None
    observer(_EVENT)
    assert (tmp_path / "twistd.log").read_text().endswith("[here#info] said\n")


def test_sigusr1_begins_a_new_log_file(tmp_path: Path) -> None:
    observer = _observer(logfile=str(tmp_path / "log"))
    assert observer is not None
    observer(_EVENT)
    os.kill(os.getpid(), signal.SIGUSR1)
    observer(_EVENT)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log", "log.1"]


def test_sigusr1_is_left_to_whoever_has_it(tmp_path: Path) -> None:
    signal.signal(signal.SIGUSR1, print)
    assert _observer(logfile=str(tmp_path / "log")) is not None
    assert signal.getsignal(signal.SIGUSR1) is print


@pytest.mark.parametrize("name", ["no/such/log", "."])
def test_a_log_file_that_cannot_be_written_is_one_line_for_the_user(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=f"^--logfile {name}: cannot be written: "):
        _observer(logfile=name)
