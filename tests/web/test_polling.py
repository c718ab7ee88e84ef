"""The chat by long polling: nothing lost, nothing twice, nobody waited for who is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from netsvc.settings import Limits
from netsvc.web import polling
from netsvc.web.polling import EXPIRY
from tests.web.service_rig import ServiceRig
from tests.web.siterig import Answer, Connection


class Poller:
    """A client of the polled chat."""

    def __init__(self, rig: ServiceRig) -> None:
        self._rig = rig
        self._waiting: Connection | None = None
        self.last = 0
        self.path = f"/api/chat/{self.ask('POST', '/api/chat').json()['session']}"

    def ask(self, method: str, path: str = "", body: bytes = b"") -> Answer:
        """A request on a connection of its own."""
        connection = self._connection(method, path or self.path, body)
        answer = connection.answer()
        connection.lose()
        return answer

    def say(self, **message: Any) -> Answer:
        """Post a message."""
        return self.ask("POST", body=json.dumps(message).encode())

    def poll(self, query: str = "?wait=0&after={last}") -> list[dict[str, Any]]:
        """What there is."""
        return self._read(self.ask("GET", self.path + query.format(last=self.last)))

    def wait(self) -> None:
        """Ask for what comes, and wait."""
        self._waiting = self._connection("GET", f"{self.path}?wait=25&after={self.last}", b"")

    def came(self) -> list[dict[str, Any]] | None:
        """What the waiting has brought; None if it still waits."""
        assert self._waiting is not None
        answers = self._waiting.answers()
        return self._read(answers[0]) if answers else None

    def hang_up(self) -> None:
        """Wait no more."""
        assert self._waiting is not None
        self._waiting.lose()

    def _read(self, answer: Answer) -> list[dict[str, Any]]:
        assert answer.status == 200
        self.last = answer.json()["last"]
        return list(answer.json()["messages"])

    def _connection(self, method: str, path: str, body: bytes) -> Connection:
        connection = Connection(self._rig.site, self._rig.clock)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.send(head.encode() + body)
        connection.turn()
        return connection


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.clock.advance(EXPIRY + 100)
    rig.end()


def joined(rig: ServiceRig, name: str) -> Poller:
    client = Poller(rig)
    assert client.say(type="join", name=name).json() == {}
    assert client.poll()[0]["type"] == "here"
    return client


def test_who_polls_is_in_the_room_with_the_others(rig: ServiceRig) -> None:
    ann = joined(rig, "ann")
    bob = rig.open("/ws/chat")
    bob.say(type="join", name="bob")
    assert bob.heard() == [{"type": "here", "names": ["ann", "bob"]}]
    ann.say(type="say", text="hello")
    assert bob.heard()[0]["text"] == "hello"
    bob.say(type="say", text="hello yourself")
    assert [one.get("text", one["type"]) for one in ann.poll()] == ["joined", "hello yourself"]
    assert ann.ask("DELETE").status == 200
    assert bob.heard() == [{"type": "left", "name": "ann"}]
    assert ann.ask("GET").status == 404


def test_who_waits_is_answered_when_something_comes(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    assert [one["type"] for one in ann.poll()] == ["joined"]
    ann.wait()
    rig.clock.advance(24.0)
    assert ann.came() is None
    bob.say(type="say", text="hello")
    (said,) = ann.came() or []
    assert said["text"] == "hello"


def test_who_waits_long_enough_is_answered_with_nothing(rig: ServiceRig) -> None:
    ann = joined(rig, "ann")
    ann.wait()
    rig.clock.advance(25.0)
    assert ann.came() == []


def test_what_is_not_known_to_have_come_is_given_again(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    bob.say(type="say", text="one")
    before = ann.last
    assert len(ann.poll()) == 2
    ann.last = before
    assert [one.get("text") for one in ann.poll()] == [None, "one"]
    assert ann.poll() == []
    bob.say(type="say", text="two")
    assert [one["text"] for one in ann.poll("?wait=0&after=0")] == ["two"]
    assert ann.poll("?wait=0") == []


@pytest.mark.parametrize("query", ["?wait=0", "?wait=0&after=99"])
def test_what_was_never_sent_is_not_taken_for_come(rig: ServiceRig, query: str) -> None:
    ann = Poller(rig)
    ann.say(type="join", name="ann")
    assert [one["type"] for one in ann.poll(query)] == ["here"]
    assert ann.poll(query) == []
    ann.say(type="say")
    assert [one["type"] for one in ann.poll(query)] == ["error"]


def test_what_comes_while_a_request_is_lost_is_there_for_the_next(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    ann.poll()
    ann.wait()
    ann.hang_up()
    bob.say(type="say", text="hello")
    assert [one["text"] for one in ann.poll()] == ["hello"]


def test_the_later_of_two_that_wait_takes_the_place_of_the_first(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    ann.poll()
    ann.wait()
    first = ann._waiting
    ann.wait()
    assert first is not None
    assert first.answer().json()["messages"] == []
    bob.say(type="say", text="hello")
    assert len(ann.came() or []) == 1


def test_a_session_for_which_nobody_asks_ends(rig: ServiceRig) -> None:
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    rig.clock.advance(EXPIRY - 1)
    assert bob.poll() == []
    rig.clock.advance(1.1)
    assert ann.ask("GET").status == 404
    assert [one["type"] for one in bob.poll()] == ["left"]


def test_a_session_that_waits_does_not_end(rig: ServiceRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "EXPIRY", 10.0)
    ann = joined(rig, "ann")
    for _ in range(10):
        ann.wait()
        rig.clock.advance(25.0)
        assert ann.came() == []


def test_a_session_whose_messages_nobody_fetches_ends(
    rig: ServiceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MAX_QUEUED", 1000)
    ann, bob = joined(rig, "ann"), joined(rig, "bob")
    for _ in range(20):
        bob.say(type="say", text="*" * 90)
        bob.poll()
    assert ann.ask("GET").status == 404


def test_the_more_sessions_there_are_the_less_may_wait_for_each(
    rig: ServiceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MAX_QUEUED_TOGETHER", 3000)
    ann, bob, eve = (joined(rig, name) for name in ("ann", "bob", "eve"))
    said = 0
    while ann.ask("GET", ann.path + "?wait=0&after=0").status == 200:
        bob.say(type="say", text="*" * 90)
        # Whoever asks for what there is stays.
        assert eve.poll() is not None
        said += 1
    assert 5 <= said <= 10
    assert bob.ask("DELETE").status == 200


@pytest.mark.parametrize(
    "query",
    ["?wait=51", "?wait=-1", "?wait=x", "?after=x", "?after=1&after=2", "?after=" + "9" * 30, "?since=1"],
)
def test_a_query_that_cannot_be_used_is_refused(rig: ServiceRig, query: str) -> None:
    ann = joined(rig, "ann")
    assert ann.ask("GET", ann.path + query).status == 400


@pytest.mark.parametrize("path", ["/api/chat/", "/api/chat/nobody", "/api/chat/%ff", "/api/chat/nobody/more"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_session_that_is_not_is_not_found(rig: ServiceRig, path: str, method: str) -> None:
    connection = Connection(rig.site, rig.clock)
    assert connection.ask(path, method).status == 404
    connection.lose()


def test_sessions_cannot_be_guessed(rig: ServiceRig) -> None:
    names = {joined(rig, name).path.rpartition("/")[2] for name in ("ann", "bob", "eve")}
    assert len(names) == 3
    assert all(len(name) == 32 for name in names)


def test_sessions_are_limited(rig: ServiceRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "MAX_SESSIONS", 1)
    ann = joined(rig, "ann")
    assert ann.ask("POST", "/api/chat").status == 503
    ann.ask("DELETE")
    assert ann.ask("POST", "/api/chat").status == 200


def test_the_limits_of_the_service_hold() -> None:
    rig = ServiceRig(carried=Limits(idle_timeout=0, max_connections=1))
    ann = joined(rig, "ann")
    refused = ann.ask("POST", "/api/chat")
    assert (refused.status, refused.json()) == (429, {"error": "refused: max_connections"})
    rig.clock.advance(EXPIRY + 1)
    rig.end()


def test_it_is_facts_of_the_chat(rig: ServiceRig) -> None:
    joined(rig, "ann").ask("DELETE")
    assert rig.of("chat") == ["opened http", "received http", "sent http", "closed http"]
    assert rig.timeline.since(0, 1)[0][3][1] == "http://127.0.0.1:8080/api/chat"


def test_what_cannot_be_taken_is_told(rig: ServiceRig) -> None:
    ann = Poller(rig)
    ann.ask("POST", body=b"hello")
    assert ann.poll() == [{"type": "error", "reason": "expected a JSON object"}]


def test_a_daemon_that_stops_answers_who_waits(rig: ServiceRig) -> None:
    ann = joined(rig, "ann")
    ann.wait()
    (listener,) = rig.bridges.listeners
    listener.drain()
    rig.clock.advance(0.001)
    assert ann.came() == []
    assert ann.ask("GET").status == 404
