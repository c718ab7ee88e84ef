"""`netsvc.systemd`: what a service supervisor is told, on a real socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from netsvc.systemd import Notifier, Watchdog


class _Supervisor:
    """The socket on which a supervisor listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self._sock.setblocking(False)

    def heard(self) -> list[list[str]]:
        """The lines of each message since the last time."""
        messages = []
        while True:
            try:
                messages.append(self._sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Supervisor]:
    """A supervisor at a path, and one in the abstract namespace."""
    address = (
        str(tmp_path / "notify") if request.param == "path" else f"@netsvc-test-{os.getpid()}-{id(request)}"
    )
    made = _Supervisor(address)
    yield made
    made.close()


@contextmanager
def _logging() -> Iterator[list[str]]:
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]


def test_what_it_says_is_what_systemd_reads(supervisor: _Supervisor) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": supervisor.address})
    notifier.ready("listeners open: 3")
    assert supervisor.heard() == [["READY=1", "STATUS=listeners open: 3"]]
    notifier.stopping()
    assert supervisor.heard() == [["STOPPING=1", "STATUS=stopping"]]
    notifier.stopping(11.5)
    assert supervisor.heard() == [["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=11500000"]]
    notifier.alive()
    assert supervisor.heard() == [["WATCHDOG=1"]]


def test_a_reload_is_told_with_the_time_at_which_it_began(supervisor: _Supervisor) -> None:
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": supervisor.address}).reloading()
    ((first, began, status),) = supervisor.heard()
    assert (first, status) == ("RELOADING=1", "STATUS=reading its configuration again")
    assert before <= int(began.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_whatever_is_in_it(supervisor: _Supervisor) -> None:
    Notifier({"NOTIFY_SOCKET": supervisor.address}).ready("one\nWATCHDOG=trigger\x85two \udcff")
    assert supervisor.heard() == [["READY=1", "STATUS=one WATCHDOG=trigger two \\udcff"]]


def test_without_a_supervisor_nothing_is_said_and_nothing_fails() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    with _logging() as lines:
        notifier.ready("here")
        notifier.reloading()
        notifier.stopping()
        notifier.alive()
    assert lines == []
    assert notifier.watchdog == 0


def test_what_the_supervisor_gave_is_not_handed_on_to_children() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "PATH": "/bin"}
    Notifier(environ)
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", "ours", 30.0),
        ("500000", "", 0.5),
        ("30000000", "1", 0),
        ("0", "", 0),
        ("", "", 0),
        ("soon", "", 0),
        ("-1", "", 0),
        ("²", "", 0),
    ],
)
def test_the_watchdog_is_for_this_process_and_for_a_time(microseconds: str, pid: str, seconds: float) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}
    assert Notifier(environ).watchdog == seconds


@pytest.mark.parametrize(
    "address", ["/no/such/socket", "@no-such-socket", "/" + 200 * "x", "vsock:2:1234", "/nul\0in"], ids=str
)
def test_a_supervisor_that_is_not_there_is_one_line_in_the_log(address: str) -> None:
    with _logging() as lines:
        Notifier({"NOTIFY_SOCKET": address}).ready("here")
    (line,) = lines
    assert line.startswith("the service supervisor does not hear READY=1: ")


def test_a_supervisor_that_does_not_listen_holds_up_no_event_loop(supervisor: _Supervisor) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": supervisor.address})
    with _logging() as lines:
        # More than any queue of datagrams holds (net.unix.max_dgram_qlen).
        for _ in range(20_000):
            notifier.alive()
            if lines:
                break
    assert "does not hear WATCHDOG=1" in lines[0]


def _dog(supervisor: _Supervisor) -> tuple[Watchdog, Clock]:
    notifier = Notifier({"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "10000000"})
    clock = Clock()
    return Watchdog(notifier, clock), clock


def test_the_watchdog_is_told_twice_in_its_time_as_long_as_the_loop_turns(supervisor: _Supervisor) -> None:
    watchdog, clock = _dog(supervisor)
    watchdog.start()
    assert supervisor.heard() == [["WATCHDOG=1"]]
    clock.advance(4.9)
    assert supervisor.heard() == []
    clock.advance(0.2)
    assert supervisor.heard() == [["WATCHDOG=1"]]
    # One late turn is one sign of life, not those that were missed.
    clock.advance(20)
    assert supervisor.heard() == [["WATCHDOG=1"]]
    clock.advance(5)
    assert supervisor.heard() == [["WATCHDOG=1"]]
    watchdog.stop()
    assert clock.getDelayedCalls() == []


def test_a_watchdog_that_nobody_asked_for_leaves_the_reactor_alone() -> None:
    clock = Clock()
    watchdog = Watchdog(Notifier({}), clock)
    watchdog.start()
    watchdog.stop()
    assert clock.getDelayedCalls() == []
