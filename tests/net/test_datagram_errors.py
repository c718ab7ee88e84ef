"""`netsvc.net.datagram` in memory: no error of the system or of the service ends the port."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure

from netsvc.facts import REFUSED
from netsvc.net.datagram import LARGEST
from tests.net.datagram_rig import CLIENT, Echo, Rig


def lines(events: Iterable[LogEvent]) -> list[str]:
    return [formatEvent(event) for event in events]


@pytest.mark.parametrize(
    "number",
    [errno.ECONNREFUSED, errno.ENOBUFS, errno.ENOMEM, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.EPERM],
)
def test_an_error_in_receiving_costs_one_log_line_and_no_datagram(number: int) -> None:
    rig = Rig()
    with capturedLogs() as events:
        rig.arrive(
            (b"a", CLIENT), OSError(number, "no"), (b"b", CLIENT), OSError(number, "no"), (b"c", CLIENT)
        )
    assert [data for data, _ in rig.got] == [b"a", b"b", b"c"]
    assert rig.port.errors == 2
    assert rig.reading
    assert len(events) == 1
    assert not [event for event in events if "log_failure" in event]


def test_enobufs_for_ever_neither_ends_the_port_nor_spins() -> None:
    rig = Rig()

    def for_ever() -> Iterator[OSError]:
        while True:
            yield OSError(errno.ENOBUFS, "no buffer space")

    rig.sock.arriving = for_ever()
    turns = 0
    for _ in range(100):
        while rig.reading:
            # Each error gives the turn back to the reactor.
            before = rig.sock.reads
            rig.port.doRead()
            assert rig.sock.reads == before + 1
            turns += 1
        rig.reactor.advance(0.11)
    assert turns == 100 * 64
    rig.arrive((b"at last", CLIENT))
    assert rig.got == [(b"at last", CLIENT)]


def test_errors_between_datagrams_never_pause_it() -> None:
    rig = Rig()
    for _ in range(200):
        rig.arrive(OSError(errno.ECONNREFUSED, "no"), (b"x", CLIENT))
    assert rig.reading
    assert len(rig.got) == 200


def test_a_pause_does_not_outlive_the_port() -> None:
    rig = Rig()
    rig.arrive(*[OSError(errno.ENOBUFS, "no")] * 64)
    assert not rig.reading
    rig.port.stopListening()
    rig.reactor.advance(0)
    assert rig.reactor.getDelayedCalls() == []
    assert not rig.reading


def test_log_lines_of_one_kind_come_once_a_second_and_count_the_rest() -> None:
    rig = Rig()
    with capturedLogs() as events:
        rig.arrive(*[OSError(errno.EPERM, "no")] * 30)
        rig.reactor.advance(1)
        rig.arrive(OSError(errno.EPERM, "no"))
    first, second = lines(events)
    assert "error in receiving" in first
    assert "29 more" in second


def test_an_error_that_the_reactor_takes_for_the_end_is_not_the_end() -> None:
    rig = Rig()
    rig.sock.waiting_error = errno.ECONNREFUSED
    rig.reactor.removeReader(rig.port)
    with capturedLogs():
        rig.port.connectionLost(Failure(ConnectionDone()))
    assert not rig.sock.closed
    rig.reactor.advance(0.2)
    rig.arrive((b"still here", CLIENT))
    assert rig.got == [(b"still here", CLIENT)]
    assert rig.port.errors == 1


def test_the_end_of_the_reactor_is_the_end() -> None:
    rig = Rig()
    rig.port.connectionLost(Failure(ConnectionLost()))
    assert rig.sock.closed
    assert cast(Echo, rig.echo).stopped == 1
    rig.port.connectionLost(Failure(ConnectionLost()))
    assert cast(Echo, rig.echo).stopped == 1


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EAGAIN, "send_buffer"),
        (errno.ENOBUFS, "send_buffer"),
        (errno.EMSGSIZE, "message_length"),
        (errno.EACCES, "broadcast"),
        (errno.EHOSTUNREACH, "system_error"),
        (errno.ECONNREFUSED, "system_error"),
        (errno.EINVAL, "system_error"),
        (errno.EPERM, "system_error"),
    ],
)
def test_an_error_in_sending_is_a_fact_and_reaches_nobody(number: int, reason: str) -> None:
    rig = Rig()
    rig.sock.failing = [OSError(number, "no")]
    with capturedLogs() as events:
        rig.arrive((b"a", CLIENT), (b"b", CLIENT))
    assert rig.sock.sent == [(b"b", CLIENT)]
    (refused,) = rig.rows.of(REFUSED)
    assert refused.reason == reason
    assert refused.detail == (("error", errno.errorcode[number]),)
    assert (refused.data, refused.length, refused.origin.port) == (b"a", 1, 40_000)
    assert len(events) == 1
    assert rig.port.errors == 1


def test_too_long_an_answer_is_withheld_and_not_raised() -> None:
    rig = Rig()
    rig.arrive((b"x" * LARGEST, CLIENT))
    assert [len(data) for data, _ in rig.sock.sent] == [LARGEST]
    rig.port.write(b"x" * (LARGEST + 1), CLIENT)
    assert rig.rows.reasons() == ["message_length"]
    assert rig.rows.of(REFUSED)[0].length == LARGEST + 1


def test_a_bug_of_the_service_is_logged_and_the_port_lives() -> None:
    class Broken(Echo):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            super().datagramReceived(datagram, addr)
            raise RuntimeError("a bug")

    rig = Rig(Broken())
    with capturedLogs() as events:
        rig.arrive((b"{x}", CLIENT), (b"b", CLIENT))
    assert len(rig.got) == 2
    (event,) = events
    assert event["log_level"] == LogLevel.critical
    assert event["log_failure"].type is RuntimeError


def test_a_service_that_cannot_start_is_not_stopped() -> None:
    class Broken(Echo):
        def startProtocol(self) -> None:
            raise OSError("not today")

    rig = Rig(start=False, protocol=(service := Broken()))
    with pytest.raises(OSError, match="not today"):
        rig.port.startListening()
    with capturedLogs() as events:
        rig.port.stopListening()
        rig.reactor.advance(0)
    assert rig.sock.closed
    assert (service.stopped, events) == (0, [])


def test_what_the_system_dropped_is_counted_shown_and_said() -> None:
    rig = Rig()
    with capturedLogs() as events:
        rig.port.check_drops()
        rig.sock.drops = 7
        rig.port.check_drops()
        rig.port.check_drops()
    (refused,) = rig.rows.of(REFUSED)
    assert (refused.reason, refused.detail) == ("receive_buffer", (("count", 7),))
    assert refused.origin.local == "192.0.2.1:6667"
    assert rig.port.dropped == 7
    assert ["dropped 7 datagrams" in line for line in lines(events)] == [True]


def test_the_systems_count_of_drops_may_overflow() -> None:
    rig = Rig()
    with capturedLogs():
        for drops in (2**32 - 1, 2**32 + 4):
            rig.sock.drops = drops
            rig.port.check_drops()
    assert rig.port.dropped == 2**32 + 4


def test_a_connected_port_tells_its_service_of_a_refusal() -> None:
    class Refused(Echo):
        refusals = 0

        def connectionRefused(self) -> None:
            self.refusals += 1
            raise RuntimeError("a bug")

    service = Refused()
    rig = Rig(service)
    with capturedLogs():
        rig.arrive(OSError(errno.ECONNREFUSED, "no"))
        assert service.refusals == 0
        rig.port.connect(*CLIENT)
        rig.arrive((b"hello", CLIENT), OSError(errno.ECONNREFUSED, "no"))
    assert service.refusals == 1
    rig.port.write(b"to whom it is connected")
    assert rig.sock.sent[-1] == (b"to whom it is connected", CLIENT)


def test_what_came_is_data_in_the_log_and_never_a_format() -> None:
    rig = Rig()
    rig.sock.failing = [OSError(errno.EIO, "{log_failure} {0}")]
    with capturedLogs() as events:
        rig.arrive((b"{x}", CLIENT))
    (line,) = lines(events)
    assert "{log_failure} {0}" in line
