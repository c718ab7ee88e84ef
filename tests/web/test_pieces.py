"""Long answers: in slices, no faster than the client reads, and to their end or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Any

import pytest

from netsvc.web.answers import put
from netsvc.web.api import Streamed
from netsvc.web.pieces import CHUNK, CHUNKS, array
from tests.web.siterig import Rig


def made(pieces: Iterator[bytes]) -> Any:
    return json.loads(b"".join(pieces))


def test_an_array_is_one_json_object() -> None:
    assert made(array("rows", [])) == {"rows": []}
    assert made(array("rows", [{"a": 1}, {"b": "\udcff"}], {"last": 3})) == {
        "rows": [{"a": 1}, {"b": "\udcff"}],
        "last": 3,
    }


def endless(taken: list[int]) -> Iterator[bytes]:
    while True:
        taken.append(1)
        yield b"x" * 1000


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_slice_ends_with_its_time_and_the_reactor_has_a_turn(rig: Rig) -> None:
    def slow(_: object) -> Iterator[bytes]:
        for _ in range(10):
            rig.clock.rightNow += 0.0011
            yield b"@"

    put(rig.site.resource, b"/long", Streamed(slow, rig.clock))
    connection = rig.connect()
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.wire.value().count(b"@") == 3
    connection.turn()
    assert connection.wire.value().endswith(b"3\r\n@@@\r\n3\r\n@@@\r\n3\r\n@@@\r\n1\r\n@\r\n0\r\n\r\n")


def test_many_answers_have_the_time_of_one(rig: Rig) -> None:
    made: list[int] = []

    def slow(which: int, _: object) -> Iterator[bytes]:
        for _ in range(200):
            rig.clock.rightNow += 0.0001
            made.append(which)
            yield b"@"

    connections = [rig.connect() for _ in range(6)]
    for which, connection in enumerate(connections):
        put(rig.site.resource, b"/long%d" % which, Streamed(partial(slow, which), rig.clock))
        connection.send(b"GET /long%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % which)
    made.clear()
    connections[0].turn()
    slices = [(which, len(list(pieces))) for which, pieces in groupby(made)]
    # Each has a sixth of the time that one has alone, in turn; who is alone has all of it again.
    assert [which for which, _ in slices[:12]] == [0, 1, 2, 3, 4, 5] * 2
    assert {size for _, size in slices[:12]} <= {5, 6}
    connections[0].turn(1000)
    assert all(one.wire.value().endswith(b"0\r\n\r\n") for one in connections)
    assert rig.site.long_answers == set()
    rig.ask("/long0")
    assert [len(list(pieces)) for _, pieces in groupby(made)][-1] >= 200


def test_one_that_ended_early_has_no_part_in_it(rig: Rig) -> None:
    put(rig.site.resource, b"/long", Streamed(lambda _: endless([]), rig.clock))
    connection = rig.connect()
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(rig.site.long_answers) == 1
    connection.lose()
    assert rig.site.long_answers == set()


def test_nothing_is_made_while_the_client_does_not_read(rig: Rig) -> None:
    taken: list[int] = []
    put(rig.site.resource, b"/long", Streamed(lambda _: endless(taken), rig.clock))
    connection = rig.connect()
    write = connection.wire.writeSequence

    def write_and_be_full(data: list[bytes]) -> None:
        write(data)
        if len(connection.wire.value()) > 3 * CHUNK:
            connection.channel.pauseProducing()

    connection.wire.writeSequence = write_and_be_full  # type: ignore[method-assign]
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.turn()
    assert 3 * CHUNK < len(connection.wire.value()) < 5 * CHUNK
    before = len(taken)
    connection.turn()
    assert len(taken) == before
    connection.lose()
    assert rig.clock.getDelayedCalls() == []


def test_a_clock_that_stands_still_stops_nobody_else(rig: Rig) -> None:
    taken: list[int] = []
    put(rig.site.resource, b"/long", Streamed(lambda _: endless(taken), rig.clock))
    connection = rig.connect()
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(taken) * 1000 < (CHUNKS + 1) * CHUNK
    connection.lose()


def test_a_client_that_leaves_ends_it(rig: Rig) -> None:
    taken: list[int] = []

    def left_in_the_middle(_: object) -> Iterator[bytes]:
        for piece in endless(taken):
            if len(taken) == 1000:
                connection.lose()
            yield piece

    put(rig.site.resource, b"/long", Streamed(left_in_the_middle, rig.clock))
    connection = rig.connect()
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.turn()
    assert len(taken) == 1000
    assert rig.clock.getDelayedCalls() == []


def test_a_failure_on_the_way_breaks_the_answer_off_so_that_nobody_takes_it_for_whole(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> Iterator[bytes]:
        yield b"x" * CHUNK
        raise RuntimeError("a defect")

    said: list[Any] = []
    monkeypatch.setattr(rig.site, "_say", said.append)
    put(rig.site.resource, b"/long", Streamed(broken, rig.clock))
    connection = rig.connect()
    connection.send(b"GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.turn()
    assert connection.wire.aborted
    assert b"0\r\n\r\n" not in connection.wire.value()
    assert len(said) == 1
    connection.lose()


def test_a_failure_before_the_answer_has_begun_is_a_500(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Iterator[bytes]:
        yield from (bytes(1 // number) for number in [0])

    monkeypatch.setattr(rig.site, "_say", lambda failure: None)
    put(rig.site.resource, b"/long", Streamed(broken, rig.clock))
    assert rig.ask("/long").status == 500


def test_a_head_request_makes_nothing(rig: Rig) -> None:
    taken: list[int] = []
    put(rig.site.resource, b"/long", Streamed(lambda _: endless(taken), rig.clock))
    assert rig.ask("/long", "HEAD").status == 200
    assert taken == []
