"""`netsvc.counters`: plain numbers, by listener."""

from __future__ import annotations

from dataclasses import asdict

from zope.interface.verify import verifyObject

from netsvc.counters import Counters, Counts
from netsvc.facts import CLOSED, KINDS, OPENED, RECEIVED, REFUSED, SENT, Facts, OriginRow
from netsvc.interfaces import IFactSink


def _origin(listener: str) -> OriginRow:
    return ("echo", listener, "tcp", "127.0.0.1", 40312, "127.0.0.1:50000", 1)


def _counted(*facts: tuple[str, str, bytes | None, str | None], capture: int = 4096) -> Counters:
    dispatcher, counters = Facts(capture=capture), Counters()
    dispatcher.subscribe(counters)
    for listener, kind, data, reason in facts:
        dispatcher.emit(kind, _origin(listener), data, reason)
    assert dispatcher.missed == {}
    return counters


def test_it_is_a_sink() -> None:
    assert verifyObject(IFactSink, Counters())


def test_a_connection_is_counted_as_it_opens_and_closes() -> None:
    counters = _counted(("a", OPENED, None, None), ("a", OPENED, None, None), ("a", CLOSED, None, "fin"))
    assert counters.by_listener == {"a": Counts(opened=2, closed=1)}


def test_messages_and_their_bytes_are_counted_each_way() -> None:
    counters = _counted(
        ("a", RECEIVED, b"12345", None),
        ("a", RECEIVED, b"", None),
        ("a", SENT, b"123", None),
    )
    assert counters.by_listener["a"] == Counts(messages_in=2, bytes_in=5, messages_out=1, bytes_out=3)


def test_bytes_are_the_true_number_whatever_is_captured() -> None:
    counters = _counted(("a", RECEIVED, b"x" * 1000, None), ("a", SENT, b"x" * 2000, None), capture=10)
    assert (counters.by_listener["a"].bytes_in, counters.by_listener["a"].bytes_out) == (1000, 2000)


def test_refusals_are_counted_by_reason() -> None:
    counters = _counted(
        ("a", REFUSED, None, "deny"), ("a", REFUSED, b"data", "deny"), ("a", REFUSED, None, "per_address")
    )
    assert counters.by_listener["a"] == Counts(refused={"deny": 2, "per_address": 1})


def test_listeners_are_counted_apart() -> None:
    counters = _counted(("a", OPENED, None, None), ("b", REFUSED, None, "deny"))
    assert counters.by_listener == {"a": Counts(opened=1), "b": Counts(refused={"deny": 1})}


def test_every_kind_of_fact_counts_as_something() -> None:
    for kind in KINDS:
        counters = _counted(("a", kind, b"x", "reason"))
        assert counters.by_listener["a"] != Counts(), kind


def test_counts_are_plain_values() -> None:
    counters = _counted(("a", OPENED, None, None))
    assert asdict(counters.by_listener["a"])["opened"] == 1
