"""
The chat by long polling, beside a model of what each client has to be told: whatever requests are lost, asked
again, or wait, each hears everything once and in its order, until nobody asks for it any more.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netsvc.web.polling import EXPIRY
from tests.fuzz.states.examples import examples
from tests.web.service_rig import ServiceRig
from tests.web.siterig import Answer, Connection

_NAMES = ("ann", "ANN", "bob", "eve", "mal:")
_TEXTS = ("hello", "", "x" * 100, "x" * 101)

#: Seconds that pass: none of their sums comes close to when a session ends.
_TIMES = (1.7, 25.3, EXPIRY + 1)

#: Seconds that somebody waits at most: fewer than the server would have them wait.
_PATIENCE = 45.0

#: What the rig's room and its texts may have.
_MEMBERS, _LONGEST = 3, 100


class _Client:
    """
    Somebody who polls.

    @ivar name: by which the others know it.
    @ivar log: all that it has to be told, as (type, who or what).
    @ivar seen: how many of these it has said to have.
    @ivar sent: how many of these there were when it was last answered.
    @ivar asked: when it asked last.
    """

    def __init__(self, rig: ServiceRig) -> None:
        self._rig = rig
        self.name: str | None = None
        self.log: list[tuple[str, str]] = []
        self.seen = self.sent = 0
        self.asked = 0.0
        self.waiting: Connection | None = None
        self.path = "/api/chat"
        self.path += "/" + self.ask("POST").json()["session"]

    def ask(self, method: str, query: str = "", body: bytes = b"") -> Answer:
        connection = self.begin(method, query, body)
        answer = connection.answer()
        connection.lose()
        return answer

    def begin(self, method: str, query: str = "", body: bytes = b"") -> Connection:
        connection = Connection(self._rig.site, self._rig.clock)
        head = (
            f"{method} {self.path}{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.send(head.encode() + body)
        connection.turn(5)
        self.asked = self._rig.clock.seconds()
        return connection

    def check(self, answer: Answer) -> None:
        """What there is from where it asked is what it has not seen."""
        assert answer.status == 200
        document = answer.json()
        assert document["last"] == len(self.log)
        self.sent = document["last"]
        assert [_told(one) for one in document["messages"]] == self.log[self.seen :]


def _told(message: dict[str, Any]) -> tuple[str, str]:
    kind = message["type"]
    who = message.get("name") or message.get("reason") or ",".join(message.get("names", ()))
    return kind, f"{who}: {message['text']}" if kind == "said" else who


class _Polling(RuleBasedStateMachine):
    """Some poll."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = ServiceRig()
        # Members in the order of their coming; those outside anywhere.
        self.clients: list[_Client] = []

    def _of(self, which: int) -> _Client:
        return self.clients[which % len(self.clients)]

    def _members(self) -> list[_Client]:
        return [one for one in self.clients if one.name is not None]

    def _tell(self, who: _Client, kind: str, text: str) -> None:
        for other in self._members():
            if other is not who:
                other.log.append((kind, text))

    @rule()
    def come(self) -> None:
        if len(self.clients) < 5:
            self.clients.append(_Client(self.rig))

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 4), name=st.sampled_from(_NAMES))
    def join(self, which: int, name: str) -> None:
        client = self._of(which)
        taken = {(one.name or "").lower() for one in self._members()}
        if ":" in name:
            client.log.append(("error", "the name has a colon in it, or a star before it"))
        elif client.name is not None:
            client.log.append(("error", "already here"))
        elif name.lower() in taken:
            client.log.append(("error", "name taken"))
        elif len(self._members()) >= _MEMBERS:
            client.log.append(("error", "room full"))
        else:
            self._tell(client, "joined", name)
            client.name = name
            self.clients.remove(client)
            self.clients.append(client)
            client.log.append(("here", ",".join(one.name or "" for one in self._members())))
        self._post(client, {"type": "join", "name": name})

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 4), text=st.sampled_from(_TEXTS))
    def say(self, which: int, text: str) -> None:
        client = self._of(which)
        if client.name is None:
            client.log.append(("error", "join first"))
        elif len(text) > _LONGEST:
            client.log.append(("error", f"the text is longer than {_LONGEST} bytes"))
        else:
            self._tell(client, "said", f"{client.name}: {text}")
        self._post(client, {"type": "say", "text": text})

    def _post(self, client: _Client, message: dict[str, str]) -> None:
        assert client.ask("POST", "", json.dumps(message).encode()).json() == {}

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 4), behind=st.sampled_from([0, 0, 1, 2, 1000]))
    def fetch(self, which: int, behind: int) -> None:
        """Ask for what comes behind what it has, or behind less than that, for the answer was lost."""
        client = self._of(which)
        self._answered(client)
        after = max(0, len(client.log) - behind)
        client.seen = max(client.seen, min(after, client.sent))
        client.check(client.ask("GET", f"?after={after}&wait=0"))
        self._replaced(client)

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 4))
    def wait(self, which: int) -> None:
        """Ask, and wait for what comes."""
        client = self._of(which)
        self._answered(client)
        # It may say that it has what it was never sent.
        client.seen = min(len(client.log), client.sent)
        asking = client.begin("GET", f"?after={len(client.log)}&wait=50")
        self._replaced(client)
        client.waiting = asking

    def _replaced(self, client: _Client) -> None:
        """Another request has come: whoever waited is answered with nothing."""
        before, client.waiting = client.waiting, None
        if before is not None:
            assert before.answer().json()["messages"] == []
            before.lose()

    def _answered(self, client: _Client) -> None:
        """If it waits and something came, it has been told."""
        if client.waiting is not None and client.seen < len(client.log):
            client.waiting.turn(5)
            client.check(client.waiting.answer())
            client.waiting.lose()
            client.waiting = None

    @precondition(lambda self: any(one.waiting for one in self.clients))
    @rule(which=st.integers(0, 4))
    def hang_up(self, which: int) -> None:
        waiting = [one for one in self.clients if one.waiting is not None]
        client = waiting[which % len(waiting)]
        assert client.waiting is not None
        client.waiting.lose()
        client.waiting, client.asked = None, self.rig.clock.seconds()

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, 4))
    def leave(self, which: int) -> None:
        client = self._of(which)
        assert client.ask("DELETE").status == 200
        self._gone(client)

    def _gone(self, client: _Client) -> None:
        self.clients.remove(client)
        if client.waiting is not None:
            client.waiting.lose()
        if client.name is not None:
            self._tell(client, "left", client.name)
        assert client.ask("GET", "?wait=0").status == 404

    @rule(seconds=st.sampled_from(_TIMES))
    def time_passes(self, seconds: float) -> None:
        for client in self.clients:
            self._answered(client)
        for client in self.clients:
            now = self.rig.clock.seconds()
            if client.waiting is not None and now + seconds - client.asked > _PATIENCE:
                # Its time to wait would be over by then.
                client.waiting.lose()
                client.waiting, client.asked = None, now
        self.rig.clock.advance(seconds)
        now = self.rig.clock.seconds()
        for client in sorted(self.clients, key=lambda one: one.asked):
            # While somebody waits it is no question whether anybody is there.
            if client.waiting is None and now - client.asked > EXPIRY:
                self._gone(client)

    @invariant()
    def who_waits_is_told_at_once(self) -> None:
        for client in self.clients:
            self._answered(client)
            assert client.waiting is None or not client.waiting.answers(), "told of nothing"

    @invariant()
    def the_room_is_the_model(self) -> None:
        assert list(self.rig.room._names.values()) == [one.name for one in self._members()]

    def teardown(self) -> None:
        for client in self.clients:
            if client.waiting is not None:
                client.waiting.lose()
        self.rig.clock.pump([EXPIRY + 1] * 3)
        assert not self.rig.room._names, "somebody is still in the room"
        kinds = [one.partition(" ")[0] for one in self.rig.of("chat")]
        assert kinds.count("opened") == kinds.count("closed")
        self.rig.end()
        self.rig.clock.pump([0.01] * 3)
        assert not self.rig.clock.getDelayedCalls(), f"left behind: {self.rig.clock.getDelayedCalls()}"


TestPolling = _Polling.TestCase
TestPolling.settings = examples(0.25)
