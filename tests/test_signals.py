"""`netsvc.signals`: SIGTERM and SIGINT while the daemon stops, and SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from netsvc.signals import Hangup, after_first_signal, on_signals

_BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def _dispositions() -> Iterator[None]:
    former = [(number, signal.getsignal(number)) for number in (*_BOTH, signal.SIGHUP)]
    yield
    for number, disposition in former:
        signal.signal(number, disposition)


@pytest.mark.parametrize("number", _BOTH)
def test_each_signal_calls(number: signal.Signals) -> None:
    calls: list[str] = []
    restore = on_signals(lambda: calls.append("called"))
    signal.raise_signal(number)
    signal.raise_signal(number)
    restore()
    assert calls == ["called", "called"]


@pytest.mark.parametrize("number", _BOTH)
def test_the_former_dispositions_come_back(number: signal.Signals) -> None:
    former: list[int] = []
    signal.signal(number, lambda number, frame: former.append(number))
    calls: list[str] = []
    restore = on_signals(lambda: calls.append("called"))
    restore()
    signal.raise_signal(number)
    assert (former, calls) == ([number], [])


def test_a_signal_that_was_ignored_is_ignored_again() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    on_signals(lambda: None)()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_a_disposition_from_outside_python_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # No disposition of C code can be installed from here, so its only trace in Python stands in for it.
    install = signal.signal
    monkeypatch.setattr(signal, "signal", lambda number, disposition: install(number, disposition) and None)
    restore = on_signals(lambda: None)
    taken = signal.getsignal(signal.SIGTERM)
    restore()
    assert signal.getsignal(signal.SIGTERM) is taken


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before = [signal.getsignal(number) for number in _BOTH]
    seen: list[object] = []

    def elsewhere() -> None:
        restore = on_signals(lambda: None)
        seen.extend(signal.getsignal(number) for number in _BOTH)
        restore()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == before


@pytest.mark.parametrize("second", _BOTH)
def test_the_first_signal_is_left_to_whoever_took_it_and_later_ones_call(second: signal.Signals) -> None:
    told: list[object] = []
    for number in _BOTH:
        signal.signal(number, lambda number, frame: told.append(number))
    after_first_signal(lambda: told.append("called"))
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(second)
    signal.raise_signal(signal.SIGTERM)
    assert told == [signal.SIGTERM, "called", "called"]


def test_a_signal_that_nobody_in_python_takes_is_left_as_it_is() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    after_first_signal(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_hangup_calls_whoever_it_is_for() -> None:
    calls: list[str] = []
    hangup = Hangup()
    hangup.tell(lambda: calls.append("called"))
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    assert calls == ["called", "called"]


def test_a_hangup_before_there_is_anybody_waits_for_whoever_comes() -> None:
    calls: list[str] = []
    hangup = Hangup()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    hangup.tell(lambda: calls.append("called"))
    assert calls == ["called"]


def test_whoever_took_a_hangup_before_is_told_too() -> None:
    calls: list[str] = []
    signal.signal(signal.SIGHUP, lambda number, frame: calls.append("before"))
    Hangup().tell(lambda: calls.append("called"))
    signal.raise_signal(signal.SIGHUP)
    assert calls == ["called", "before"]


def test_outside_the_main_thread_nobody_takes_a_hangup() -> None:
    before = signal.getsignal(signal.SIGHUP)
    thread = threading.Thread(target=Hangup)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGHUP) is before
