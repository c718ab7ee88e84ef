"""`netsvc.trafficlog`: the log's lines for traffic, limited in rate and inert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.task import Clock
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from netsvc.facts import CLOSED, OPENED, RECEIVED, REFUSED, SENT, Detail, Facts, OriginRow, Row
from netsvc.interfaces import IFactSink
from netsvc.trafficlog import TrafficLog

_LISTENER = "tcp://127.0.0.1:6667"
_LINES = {"receiver": {RECEIVED: "Got message from {peer}: {data}", CLOSED: "end of {peer}: {reason}"}}


def _origin(address: str = "127.0.0.1", port: int | None = 54321, service: str = "receiver") -> OriginRow:
    return (service, _LISTENER, "tcp", address, port, "127.0.0.1:6667", 1)


@implementer(IFactSink)
class _Kept:
    """A sink that keeps its rows."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def note(self, row: Row) -> None:
        self._rows.append(row)


@implementer(IFactSink)
class _Log:
    """A traffic log behind a dispatcher, and what it wrote."""

    def __init__(
        self, rates: Mapping[str, float] | None = None, capture: int = 4096, batched: bool = False
    ) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.kept: list[Row] = []
        self.asked = 0
        self.log = TrafficLog(self.clock, _LINES, rates or {})
        self.facts = Facts(capture=capture, later=Clock().callLater if batched else None)
        if batched:
            self.facts.tell(self, self.log.wants, self.log.room)
            self.facts.subscribe(_Kept(self.kept))
        else:
            self.facts.subscribe(self.log)

    def note(self, row: Row) -> None:
        self.asked += 1
        self.log.note(row)

    def message(self, *numbers: int) -> None:
        book = self.facts.book("receiver", _LISTENER)
        with self._watched():
            for number in numbers:
                book += (number, RECEIVED, _origin(), b"%d" % number, None)

    def emit(
        self,
        kind: str,
        data: bytes | None = None,
        reason: str | None = None,
        origin: OriginRow | None = None,
        detail: Detail = (),
    ) -> None:
        with self._watched():
            self.facts.emit(kind, origin or _origin(), data, reason, detail)
        assert self.facts.missed == {}

    def advance(self, seconds: float) -> None:
        with self._watched():
            self.clock.advance(seconds)

    def stop(self) -> None:
        with self._watched():
            self.log.stop()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        globalLogPublisher.addObserver(self.events.append)  # type: ignore[arg-type]
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(self.events.append)  # type: ignore[arg-type]

    def lines(self) -> list[str]:
        return [str(event["log_format"]).format(**event) for event in self.events]


@pytest.fixture
def log() -> Iterator[_Log]:
    made = _Log({_LISTENER: 3.0})
    yield made
    made.stop()
    assert made.clock.getDelayedCalls() == []


def test_it_is_a_sink() -> None:
    assert verifyObject(IFactSink, TrafficLog(Clock(), {}, {}))


def test_a_message_is_a_line_with_its_peer_and_its_bytes(log: _Log) -> None:
    log.emit(RECEIVED, b"Hello you there!")
    assert log.lines() == ["Got message from ('127.0.0.1', 54321): b'Hello you there!'"]
    assert log.events[0]["log_namespace"] == "netsvc.receiver"


def test_a_line_has_fields_for_a_log_that_programs_read(log: _Log) -> None:
    log.emit(RECEIVED, b"Hello you there!")
    fields = {name: value for name, value in log.events[0].items() if not name.startswith("log_")}
    assert fields.pop("line") == "Got message from ('127.0.0.1', 54321): b'Hello you there!'"
    assert fields == {
        "kind": "received",
        "listener": _LISTENER,
        "address": "127.0.0.1",
        "port": 54321,
        "connection": 1,
        "length": 16,
        "reason": None,
    }


def test_a_peer_without_a_port_is_its_path(log: _Log) -> None:
    log.emit(CLOSED, None, "fin", _origin("/run/client.sock", None))
    log.emit(CLOSED, None, "fin", _origin("", None))
    assert log.lines() == ["end of '/run/client.sock': fin", "end of '': fin"]


def test_a_fact_without_a_text_is_no_line(log: _Log) -> None:
    log.emit(OPENED)
    log.emit(RECEIVED, b"x", origin=_origin(service="unheard"))
    assert log.lines() == []


def test_bytes_that_were_not_captured_are_told(log: _Log) -> None:
    short = _Log(capture=4)
    short.emit(RECEIVED, b"0123456789")
    assert short.lines() == ["Got message from ('127.0.0.1', 54321): b'0123'... (10 bytes)"]


def test_a_refusal_of_any_service_is_a_line(log: _Log) -> None:
    log.emit(REFUSED, None, "deny", _origin(service="unheard"))
    assert log.lines() == ["refused ('127.0.0.1', 54321): deny"]


def test_beyond_its_rate_a_listener_gets_one_line_that_counts_the_rest(log: _Log) -> None:
    for number in range(10):
        log.emit(RECEIVED, b"%d" % number)
    assert len(log.lines()) == 3
    log.advance(1.0)
    assert log.lines()[3:] == [f"{_LISTENER}: 7 more in this second, not shown here: messages"]
    assert log.log.hidden == 7
    log.emit(RECEIVED, b"again")
    assert log.lines()[-1].endswith("b'again'")


@pytest.mark.parametrize("rate", [0.0, 3.0])
def test_messages_beyond_the_rate_are_counted_without_the_log(rate: float) -> None:
    log = _Log({_LISTENER: rate}, batched=True)
    for second in (1, 2):
        log.message(*range(10))
        # Without a room the first of a second is asked for, and begins the second.
        assert log.asked == second * max(rate, 1.0)
        log.advance(1.0)
        assert log.log.hidden == second * (10 - rate)
        assert (
            log.lines()[-1] == f"{_LISTENER}: {10 - rate:.0f} more in this second, not shown here: messages"
        )
    log.facts.flush()
    assert len(log.kept) == 20


def test_of_a_book_the_log_is_told_only_what_it_has_lines_for() -> None:
    log = _Log(batched=True)
    book = log.facts.book("receiver", _LISTENER)
    book += (1, SENT, _origin(), b"answer", None)
    assert log.asked == 0
    # Of a service without a line nobody is told, so that its book is the list of notes itself.
    assert isinstance(log.facts.book("unheard", _LISTENER), list)
    assert isinstance(log.facts.book("receiver", _LISTENER, (SENT,)), list)


def test_a_second_within_the_rate_leaves_no_line(log: _Log) -> None:
    log.emit(RECEIVED, b"x")
    log.advance(1.0)
    assert len(log.lines()) == 1


def test_no_traffic_asks_nothing_of_the_clock(log: _Log) -> None:
    log.emit(RECEIVED, b"x")
    log.advance(1.0)
    assert log.clock.getDelayedCalls() == []


def test_a_rate_of_zero_shows_counts_alone() -> None:
    silent = _Log({_LISTENER: 0.0})
    silent.emit(RECEIVED, b"x")
    silent.advance(1.0)
    assert silent.lines() == [f"{_LISTENER}: 1 more in this second, not shown here: messages"]


def test_a_rate_holds_from_when_it_is_set_also_for_a_listener_that_has_written() -> None:
    log = _Log()
    log.emit(RECEIVED, b"before")
    log.log.allow(_LISTENER, 0.0, 2.0)
    log.advance(1)
    log.emit(RECEIVED, b"x")
    for _ in range(3):
        log.emit(REFUSED, None, "deny")
    assert [line for line in log.lines() if "refused" in line] == ["refused ('127.0.0.1', 54321): deny"] * 2
    log.stop()
    assert log.log.hidden == 2


def test_a_rate_changes_what_the_books_of_open_connections_may_write() -> None:
    log = _Log({_LISTENER: 5.0}, batched=True)
    log.message(1)
    log.log.allow(_LISTENER, 1.0, 1.0)
    log.advance(1)
    log.message(2, 3)
    assert log.asked == 2
    log.stop()
    assert log.log.hidden == 1


def test_of_a_listener_that_is_gone_nothing_is_kept_but_the_sum() -> None:
    log = _Log({_LISTENER: 1.0})
    for _ in range(3):
        log.emit(RECEIVED, b"x")
    log.log.forget(_LISTENER)
    assert log.log.hidden == 2
    log.stop()
    assert log.log.hidden == 2
    # The next one of that name is one that nobody has set a rate for.
    for _ in range(3):
        log.emit(RECEIVED, b"x")
    log.stop()
    assert log.log.hidden == 2


def test_a_service_that_is_introduced_later_has_its_lines() -> None:
    log = _Log()
    log.emit(RECEIVED, b"x", origin=_origin(service="late"))
    assert not log.log.wants("late", RECEIVED)
    log.log.introduce("late", {RECEIVED: "late: {data}"})
    assert log.log.wants("late", RECEIVED)
    log.emit(RECEIVED, b"x", origin=_origin(service="late"))
    assert log.lines() == ["late: b'x'"]
    log.stop()


def test_refusals_of_one_reason_are_one_line_a_second_and_hide_nothing_else(log: _Log) -> None:
    for _ in range(100):
        log.emit(REFUSED, None, "per_address")
    log.emit(REFUSED, None, "deny")
    log.emit(RECEIVED, b"x")
    assert [line.rpartition(": ")[2] for line in log.lines()] == ["per_address", "deny", "b'x'"]
    log.advance(1.0)
    assert log.lines()[3:] == [f"{_LISTENER}: 99 more in this second, not shown here: refused, per_address"]


def test_clients_turned_away_for_want_of_descriptors_are_counted_over_all_listeners(log: _Log) -> None:
    for number in range(20):
        origin = ("receiver", f"tcp://127.0.0.1:{number}", *_origin()[2:])
        log.emit(REFUSED, None, "descriptors", origin)
    assert len(log.lines()) == 1
    log.advance(1.0)
    assert log.lines()[1:] == ["all listeners: 19 more in this second, not shown here: refused, descriptors"]


def test_listeners_have_their_rates_apart(log: _Log) -> None:
    for _ in range(5):
        log.emit(RECEIVED, b"x")
    other = ("receiver", "udp://127.0.0.1:6667", *_origin()[2:])
    for _ in range(5):
        log.emit(RECEIVED, b"x", origin=other)
    assert len(log.lines()) == 3 + 5


def test_stop_tells_what_was_left_out_and_lets_the_clock_go(log: _Log) -> None:
    for _ in range(5):
        log.emit(RECEIVED, b"x")
    log.stop()
    assert log.lines()[-1] == f"{_LISTENER}: 2 more in this second, not shown here: messages"
    log.stop()
    assert log.clock.getDelayedCalls() == []


@given(st.binary(max_size=60), st.text(max_size=40))
def test_no_byte_of_a_peer_acts_on_a_terminal_or_as_a_format(data: bytes, path: str) -> None:
    log = _Log()
    log.emit(RECEIVED, data, origin=_origin(path, None))
    (line,) = log.lines()
    assert line.isascii()
    assert line.isprintable()
    assert line == f"Got message from {path!a}: {data!r}"
    assert line in eventAsText(log.events[0])


@pytest.mark.parametrize(
    "sign", ["\r", "\n", "\x1b", "\0", "\a", "\x85", "\u2028", "\u202e", "{line}", "\udcff"]
)
def test_signs_that_terminals_obey_are_escaped(log: _Log, sign: str) -> None:
    log.emit(REFUSED, None, "deny", _origin(f"/tmp/{sign}", None))
    assert log.lines()[0].isprintable()
    assert repr(sign)[1:-1] in log.lines()[0]


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_is_known_of_a_refusal_is_one_line_whatever_it_quotes(error: str, name: str) -> None:
    log = _Log()
    log.emit(REFUSED, None, "tls", detail=(("error", error), ("server_name", name)))
    (line,) = log.lines()
    assert line.isascii()
    assert line.isprintable()
    assert ascii(name) in line
