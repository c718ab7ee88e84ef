"""
Who is at work, in the lines of Twisted's old log, is what it is on Twisted's own reactor.

Each test runs on both, so that what it says of ours holds of Twisted's too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pytest

from twisted.internet.main import CONNECTION_LOST
from twisted.python import context, log
from twisted.python.threadpool import ThreadPool

from netsvc.net.fast.reactor import NetsvcReactor
from tests.net.fast.conftest import Make
from tests.net.fast.descriptors import raises
from tests.net.fast.rig import logged, note, reactor_of, systems


@pytest.fixture(params=["epoll", "netsvc"])
def reactor(request: pytest.FixtureRequest, make: Make) -> Iterator[Any]:
    """Twisted's reactor and ours, closed before the descriptors are."""
    with reactor_of(request.param) as made:
        yield made


def test_each_line_says_whose_event_it_was_written_in(reactor: Any, make: Make) -> None:
    reading, writing, ending = make("reader"), make("writer", readable=False), make("ender")
    reading.at_read = lambda: note("reads")
    writing.at_write = lambda: note("writes")
    ending.at_read = lambda: CONNECTION_LOST
    ending.at_end = lambda: note("ends")
    with logged() as events:
        reactor.addReader(reading)
        reactor.addWriter(writing)
        reactor.addReader(ending)
        reactor.iterate(0)
        note("behind")
    assert sorted(systems(events)) == [
        ("behind", "-"),
        ("ends", "ender"),
        ("reads", "reader"),
        ("writes", "writer"),
    ]


def test_a_line_in_a_context_within_the_event_says_that(reactor: Any, make: Make) -> None:
    reading = make("outer")

    def act() -> None:
        log.callWithContext({"system": "inner", "more": 1}, note, "within")
        note("behind")

    reading.at_read = act
    reactor.addReader(reading)
    with logged() as events:
        reactor.iterate(0)
    assert systems(events) == [("within", "inner"), ("behind", "outer")]
    assert [event.get("more") for event in events] == [1, None]


def test_a_turn_within_an_event_changes_nothing_for_the_event(reactor: Any, make: Make) -> None:
    outer, inner = make("outer"), make("inner")

    def act() -> None:
        reactor.removeReader(outer)
        reactor.addReader(inner)
        reactor.iterate(0)
        note("outer again")

    outer.at_read = act
    inner.at_read = lambda: note("inner")
    reactor.addReader(outer)
    with logged() as events:
        reactor.iterate(0)
    assert systems(events, "inner", "outer again") == [("inner", "inner"), ("outer again", "outer")]


def test_lines_after_an_error_say_who_is_at_work_then(reactor: Any, make: Make) -> None:
    wrong, right = make("wrong"), make("right")
    wrong.at_read = raises(ZeroDivisionError("as told"))
    wrong.at_end = lambda: note("ends")
    right.at_read = lambda: note("reads")
    with logged() as events:
        for descriptor in (wrong, right):
            reactor.addReader(descriptor)
        reactor.iterate(0)
        note("behind")
    lines = systems(events)
    assert sorted(lines) == [
        ("ZeroDivisionError('as told')", "wrong"),
        ("behind", "-"),
        ("ends", "wrong"),
        ("reads", "right"),
    ]
    assert lines[-1] == ("behind", "-")


@pytest.mark.parametrize("raised", [ValueError(), SystemExit()], ids=repr)
def test_who_raises_when_asked_for_its_name_is_called_buggy(
    reactor: Any, make: Make, raised: BaseException
) -> None:
    buggy = make("never told")
    buggy.at_name = raises(raised)
    buggy.at_read = lambda: note("reads")
    reactor.addReader(buggy)
    with logged() as events:
        reactor.iterate(0)
    assert systems(events, "reads") == [("reads", "(buggy logPrefix method)")]
    assert buggy.served == 1
    assert not buggy.lost


def test_the_context_that_the_reactor_runs_in_is_kept(reactor: Any, make: Make) -> None:
    reading = make("reader")
    reading.at_read = lambda: note(f"with {context.get('key')}")
    reactor.addReader(reading)
    around = {log.ILogContext: {"system": "around", "more": 1}, "key": "value"}
    with logged() as events:
        context.call(around, reactor.iterate, 0)
    assert systems(events) == [("with value", "reader")]
    assert [event["more"] for event in events] == [1]


def test_work_for_a_thread_says_who_gave_it_however_late(reactor: Any, make: Make) -> None:
    pool, go, done = ThreadPool(0, 1), Event(), Event()
    giver: list[str] = []

    def work() -> None:
        assert go.wait(30)
        note("in the thread")
        done.set()

    def give_or_let_go(name: str) -> None:
        # Of the two, whose events are of the same turn, the first gives and the second lets go.
        if not giver:
            giver.append(name)
            pool.callInThread(work)
        else:
            go.set()
            assert done.wait(30)

    for name in ("one", "other"):
        reading = make(name)
        reading.at_read = partial(give_or_let_go, name)
        reactor.addReader(reading)
    pool.start()
    try:
        with logged() as events:
            reactor.iterate(0)
    finally:
        go.set()
        pool.stop()
    assert systems(events) == [("in the thread", *giver)]


def test_who_writes_no_line_is_not_asked_for_its_name(make: Make) -> None:
    reading = make("reader")
    with reactor_of("netsvc") as reactor:
        reactor.addReader(reading)
        reactor.iterate(0)
        reactor.removeReader(reading)
    assert isinstance(reactor, NetsvcReactor)
    assert (reading.served, reading.asked) == (1, 0)
