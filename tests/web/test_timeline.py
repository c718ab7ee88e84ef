"""Facts over HTTP: filters, pages, NDJSON, waiting, emptying."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from netsvc.web.timeline import MAX_WAIT
from tests.web.siterig import Answer, Connection, Rig


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    for text in (b"one", b"two", b"three"):
        rig.receive(text)
    return rig


def data_of(answer: Answer) -> list[bytes]:
    assert answer.status in (200, 404), answer
    return [base64.b64decode(fact["data"]) for fact in answer.json()["facts"]]


def begin(rig: Rig, path: str) -> Connection:
    """A request that is answered later."""
    connection = rig.connect()
    connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connection.turn()
    assert connection.answers() == []
    return connection


# -- /api/facts ------------------------------------------------------------------------------------------


def test_facts_come_with_the_place_to_go_on_from(rig: Rig) -> None:
    answer = rig.ask("/api/facts?limit=2")
    assert data_of(answer) == [b"one", b"two"]
    document = answer.json()
    assert list(document) == ["facts", "last", "more", "gap"]
    assert document["last"] == document["facts"][-1]["seq"]
    assert document["gap"] is None
    rest = rig.ask(f"/api/facts?limit=2&after={document['last']}")
    assert data_of(rest) == [b"three"]
    assert data_of(rig.ask(f"/api/facts?after={rest.json()['last']}")) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("order=newest&limit=2", [b"three", b"two"]),
        ("contains=t", [b"two", b"three"]),
        ("contains=etwo", [b"two"]),
        ("contains=hex:7477", [b"two"]),
        ("contains=nothing", []),
        ("kind=sent", []),
        ("kind=sent&kind=received&limit=1", [b"one"]),
        ("service=echo&connection=1&peer=127.0.0.1:4711&limit=1", [b"one"]),
        ("service=daytime", []),
        ("name=board&limit=1", [b"one"]),
        ("name=other", []),
        ("after=last", []),
        ("before=0", []),
        ("order=newest&before=9999999999999999", [b"three", b"two", b"one"]),
        # The clock of these facts is far behind.
        ("since=1h", []),
        ("until=1h&limit=1", [b"one"]),
        ("since=1970-01-01T00:00:00Z&until=2200-01-01&limit=1", [b"one"]),
    ],
)
def test_facts_are_those_that_fit(rig: Rig, query: str, expected: list[bytes]) -> None:
    rig.clients.register("board", "127.0.0.1", 1, 0, 10)
    assert data_of(rig.ask(f"/api/facts?{query}")) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=seen", "kind='seen': expected one of opened, received, sent, closed, refused"),
        ("limit=0", "limit='0': expected a whole number from 1 to 10000"),
        ("limit=10001", "limit='10001'"),
        ("after=-1", "after='-1'"),
        ("before=last", "before='last': expected the seq of a fact"),
        ("since=once", "since='once': expected nanoseconds since the epoch, a time such as"),
        ("order=random", "order='random': expected oldest or newest"),
        ("wait=301", "wait='301': expected seconds from 0 to 300"),
        ("wait=-1", "wait='-1'"),
        ("wait=nan", "wait='nan'"),
        ("wait=1&wait=2", "wait='2': expected one value"),
        ("color=red", "color='red': expected one of the keys"),
        ("contains=hex:zz", "contains='hex:zz'"),
        ("%ff=%fe", "expected one of the keys"),
    ],
)
def test_a_question_that_cannot_be_is_refused(rig: Rig, query: str, message: str) -> None:
    answer = rig.ask(f"/api/facts?{query}")
    assert answer.status == 400
    assert message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/x-ndjson", True),
        ("application/ndjson, */*;q=0.1", True),
        ("application/jsonl", True),
        ("application/json;q=0.5, application/x-ndjson;q=0.9", True),
        ("application/json, application/x-ndjson", False),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson;q=x", False),
        ("*/*", False),
    ],
)
def test_whoever_accepts_lines_gets_one_fact_in_each(rig: Rig, accept: str, lines: bool) -> None:
    answer = rig.ask("/api/facts", accept=accept)
    if lines:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line)["length"] for line in answer.body.splitlines()] == [3, 3, 5]
        assert answer.body.endswith(b"\n")
    else:
        assert answer.headers["content-type"] == "application/json"


def test_with_lines_the_place_to_go_on_from_is_in_the_head(rig: Rig) -> None:
    accept = "application/x-ndjson"
    answer = rig.ask("/api/facts?limit=2", accept=accept)
    assert answer.headers["netsvc-more"] == "true"
    assert "netsvc-before" not in answer.headers
    rest = rig.ask(f"/api/facts?after={answer.headers['netsvc-last']}", accept=accept)
    assert [json.loads(line)["length"] for line in rest.body.splitlines()] == [5]
    assert (rest.headers["netsvc-more"], rest.headers["netsvc-last"]) == ("false", str(rig.timeline.last))
    newest = rig.ask("/api/facts?limit=1&order=newest", accept=accept)
    assert newest.headers["netsvc-more"] == "true"
    second = rig.ask(f"/api/facts?limit=1&order=newest&before={newest.headers['netsvc-before']}")
    assert data_of(second) == [b"two"]


def test_one_can_go_on_either_way(rig: Rig) -> None:
    first = rig.ask("/api/facts?limit=1&order=newest").json()
    assert (first["more"], first["last"]) == (True, rig.timeline.last)
    rest = rig.ask(f"/api/facts?order=newest&before={first['before']}")
    assert (data_of(rest), rest.json()["more"]) == ([b"two", b"one"], False)
    middle = rig.ask(f"/api/facts?after={rest.json()['facts'][1]['seq']}&before={first['before']}")
    assert (data_of(middle), middle.json()["more"]) == ([b"two"], False)


def test_a_poll_for_the_newest_has_them_newest_first(rig: Rig) -> None:
    poll = begin(rig, "/api/facts?order=newest&after=last&wait=30")
    rig.receive(b"four")
    rig.receive(b"five")
    rig.clock.pump([0.01] * 30)
    assert data_of(poll.answer()) == [b"five", b"four"]


def test_of_more_newest_than_fit_the_rest_is_before_them(rig: Rig) -> None:
    poll = begin(rig, "/api/facts?order=newest&after=last&wait=30&limit=2")
    after = rig.timeline.last
    for data in (b"four", b"five", b"six", b"seven"):
        rig.receive(data)
    rig.clock.pump([0.01] * 30)
    answer = poll.answer()
    assert (data_of(answer), answer.json()["more"]) == ([b"seven", b"six"], True)
    rest = rig.ask(f"/api/facts?order=newest&after={after}&before={answer.json()['before']}")
    assert data_of(rest) == [b"five", b"four"]


def test_ten_thousand_facts_come_in_slices_of_the_reactors_time() -> None:
    rig = Rig()
    for number in range(3000):
        rig.receive(b"%d" % number)
    connection = rig.connect()
    connection.send(b"GET /api/facts?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.turn(3)
    # The client does not read: nothing more is made.
    producer: Any = connection.wire.producer
    producer.pauseProducing()
    connection.turn()
    sent = len(connection.wire.value())
    connection.turn()
    assert len(connection.wire.value()) == sent
    producer.resumeProducing()
    connection.turn()
    assert len(connection.answer().json()["facts"]) == 3000


def test_a_poll_is_answered_at_once_when_there_is_something(rig: Rig) -> None:
    assert len(data_of(rig.ask("/api/facts?wait=30"))) == 3


def test_a_poll_waits_for_the_first_and_takes_what_came_with_it(rig: Rig) -> None:
    last = rig.timeline.last
    poll = begin(rig, f"/api/facts?after={last}&wait=30&contains=x")
    rig.clock.advance(20)
    rig.receive(b"not this")
    rig.receive(b"x1")
    rig.receive(b"x2")
    rig.clock.pump([0.01] * 30)
    answer = poll.answer()
    assert data_of(answer) == [b"x1", b"x2"]
    assert answer.json()["last"] >= answer.json()["facts"][-1]["seq"]


def test_a_poll_from_now_on_takes_what_comes(rig: Rig) -> None:
    poll = begin(rig, "/api/facts?after=last&wait=30")
    rig.receive(b"new")
    rig.clock.pump([0.01] * 30)
    assert data_of(poll.answer()) == [b"new"]


def test_a_poll_ends_with_its_time_and_with_the_place_to_go_on_from(rig: Rig) -> None:
    poll = begin(rig, "/api/facts?after=last&wait=30")
    rig.clock.pump([1] * 31)
    poll.turn()
    assert poll.answer().json() == {"facts": [], "last": rig.timeline.last, "more": False, "gap": None}


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_what_can_come_no_more_is_not_waited_for(rig: Rig, order: str) -> None:
    last = rig.timeline.last
    for query in (f"after={last}&before={last + 1}", "before=0"):
        assert data_of(rig.ask(f"/api/facts?order={order}&{query}&wait=30")) == []


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("room", [0, 1])
def test_what_comes_too_late_is_not_in_the_answer(rig: Rig, order: str, room: int) -> None:
    last = rig.timeline.last
    poll = begin(rig, f"/api/facts?order={order}&after={last}&before={last + 2}&wait=30")
    for number, text in enumerate((b"four", b"five")):
        # A seq has microseconds in it.
        rig.now += 0 if number < room else 10**9
        rig.receive(text)
    rig.clock.pump([0.01] * 30)
    answer = poll.answer()
    assert data_of(answer) == [b"four"][:room]
    # Whoever goes on from there misses nothing.
    rest = rig.ask(f"/api/facts?after={answer.json()['last']}")
    assert data_of(rest) == [b"four", b"five"][room:]


def test_what_was_lost_before_it_could_be_asked_for_is_told(rig: Rig) -> None:
    first = rig.ask("/api/facts?limit=1").json()["last"]
    last = rig.timeline.last
    lines = {"accept": "application/x-ndjson"}
    assert "netsvc-gap" not in rig.ask(f"/api/facts?after={first}", **lines).headers
    rig.timeline.clear()
    gap = {"after": first, "until": last, "facts": None}
    assert rig.ask(f"/api/facts?after={first}").json()["gap"] == gap
    assert json.loads(rig.ask(f"/api/facts?after={first}", **lines).headers["netsvc-gap"]) == gap
    assert rig.ask(f"/api/wait?after={first}&timeout=0").json()["gap"] == gap
    rig.receive(b"four")
    assert rig.ask(f"/api/wait?after={first}").json()["gap"] == gap
    assert rig.ask("/api/wait").json()["gap"] is None


# -- /api/wait -------------------------------------------------------------------------------------------


def test_what_is_there_already_counts(rig: Rig) -> None:
    answer = rig.ask("/api/wait?contains=two")
    assert (answer.status, data_of(answer)) == (200, [b"two"])
    assert data_of(rig.ask("/api/wait?count=3")) == [b"one", b"two", b"three"]


def test_a_wait_is_answered_when_as_many_have_come(rig: Rig) -> None:
    waiting = begin(rig, "/api/wait?contains=x&count=2")
    rig.receive(b"x1")
    rig.clock.pump([0.1] * 5)
    assert waiting.answers() == []
    rig.receive(b"x2")
    rig.clock.pump([0.1] * 5)
    assert data_of(waiting.answer()) == [b"x1", b"x2"]


def test_a_wait_in_vain_is_404_with_what_was_seen(rig: Rig) -> None:
    waiting = begin(rig, "/api/wait?contains=t&count=3&timeout=7")
    rig.clock.pump([1] * 7)
    waiting.turn()
    answer = waiting.answer()
    assert answer.status == 404
    assert data_of(answer) == [b"two", b"three"]
    assert answer.json()["error"] == "2 of 3 within 7 seconds"
    assert answer.json()["last"] == rig.timeline.last


def test_between_two_waits_nothing_is_missed(rig: Rig) -> None:
    last = rig.ask("/api/wait?contains=x&timeout=0").json()["last"]
    rig.receive(b"x in between")
    answer = rig.ask(f"/api/wait?contains=x&after={last}&timeout=0")
    assert data_of(answer) == [b"x in between"]
    again = rig.ask(f"/api/wait?contains=x&after={answer.json()['last']}&timeout=0")
    assert (again.status, data_of(again)) == (404, [])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("count=0", "count='0': expected a whole number from 1 to 10000"),
        ("count=x", "count='x'"),
        ("count=10001", "count='10001'"),
        ("timeout=300.5", f"timeout='300.5': expected seconds from 0 to {MAX_WAIT:g}"),
        ("limit=3", "limit='3': expected one of the keys"),
        ("after=x", "after='x'"),
    ],
)
def test_a_wait_that_cannot_be_is_refused(rig: Rig, query: str, message: str) -> None:
    answer = rig.ask(f"/api/wait?{query}")
    assert answer.status == 400
    assert message in answer.json()["error"]


def test_too_many_who_wait_are_told_to_come_later(rig: Rig) -> None:
    waiting = [begin(rig, "/api/wait?contains=x") for _ in range(256)]
    for path in ("/api/wait?contains=x", "/api/facts?contains=x&wait=1"):
        answer = rig.ask(path)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    for connection in waiting:
        connection.lose()
    assert rig.ask("/api/wait?contains=two").status == 200


def test_when_the_daemon_stops_listening_those_who_wait_are_answered(rig: Rig) -> None:
    rig.site.doStart()
    other = rig.make_site("192.0.2.5")
    other.doStart()
    waiting = begin(rig, "/api/wait?contains=t&count=9")
    other.doStop()
    assert waiting.answers() == []
    rig.site.doStop()
    assert waiting.answer().status == 404


# -- DELETE ----------------------------------------------------------------------------------------------


def test_delete_empties_the_memory(rig: Rig) -> None:
    assert rig.ask("/api/facts", "DELETE").json() == {"deleted": 3}
    assert data_of(rig.ask("/api/facts")) == []
    rig.receive(b"four")
    assert data_of(rig.ask("/api/facts")) == [b"four"]


def test_delete_takes_no_filter_so_that_nobody_believes_it_does(rig: Rig) -> None:
    answer = rig.ask("/api/facts?service=echo", "DELETE")
    assert (answer.status, answer.json()["error"]) == (400, "'service': there is nothing to ask for here")
    assert len(rig.timeline) == 3
