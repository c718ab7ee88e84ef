"""What there is to ask beside the timeline: who is here, who is connected, and whether all is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.frames import TEXT, frame
from tests.web.service_rig import ServiceRig
from tests.web.siterig import Connection

#: As many as a client list may have unless somebody says otherwise.
MANY = 100_000


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.clients.close()
    rig.end()


def enter(rig: ServiceRig, *names: str) -> None:
    for name in names:
        rig.clients.register(name, "192.0.2.1", 4711, 0, 1_000_000)


def client(name: str) -> dict[str, Any]:
    return {"name": name, "address": "192.0.2.1", "port": 4711}


def test_the_client_list_is_whole_unless_only_the_newest_are_asked_for(rig: ServiceRig) -> None:
    assert rig.ask("/api/clients").json() == {"total": 0, "clients": {}}
    assert rig.ask("/api/clients?limit=3").json() == {"total": 0, "clients": {}}
    names = [f"n{number}" for number in range(300)]
    enter(rig, *names)
    assert rig.ask("/api/clients").json() == {"total": 300, "clients": {name: client(name) for name in names}}
    for limit in (1, 200, 300, 10_000):
        found = rig.ask(f"/api/clients?limit={limit}").json()
        assert (found["total"], list(found["clients"])) == (300, names[-limit:])


def test_connections_too(rig: ServiceRig) -> None:
    assert rig.ask("/api/connections").json() == {"connections": [], "total": 0}
    sockets = [rig.open(f"/ws/{'echo' if number % 2 else 'canvas'}") for number in range(7)]
    sockets[2].lose()
    found = rig.ask("/api/connections").json()
    assert found["total"] == len(found["connections"]) == 6
    numbers = sorted(one["connection"] for one in found["connections"])
    sockets[1].send(frame(TEXT, b"hello"))
    found = rig.ask("/api/connections?limit=3").json()
    assert (found["total"], [one["connection"] for one in found["connections"]]) == (6, numbers[-3:])
    found = rig.ask("/api/connections?limit=100").json()
    assert [one["connection"] for one in found["connections"]] == numbers
    assert {one["service"] for one in found["connections"]} == {"echo", "canvas"}
    assert sum(one["bytes_in"] for one in found["connections"]) == 5


@pytest.mark.parametrize("path", ["/api/clients", "/api/connections"])
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=10001", "limit=x", "limit=", "limit=1&limit=2", "after=1", "limit"],
)
def test_a_limit_is_a_number_and_nothing_else_is_asked(rig: ServiceRig, path: str, query: str) -> None:
    answer = rig.ask(f"{path}?{query}")
    assert answer.status == 400
    assert ("limit" in answer.json()["error"]) or ("after" in answer.json()["error"])


def test_a_long_list_is_made_while_it_is_read_and_nobody_holds_a_copy(rig: ServiceRig) -> None:
    enter(rig, *(f"client-{number:06}" for number in range(MANY)))
    connection = rig.connect()
    connection.send(b"GET /api/clients HTTP/1.1\r\nHost: localhost\r\n\r\n")
    producer: Any = connection.wire.producer
    # A client that does not read: what is written is a slice, and it goes on only when there is room.
    producer.pauseProducing()
    connection.turn()
    written = len(connection.wire.value())
    assert written < 1 << 20
    connection.turn()
    assert len(connection.wire.value()) == written
    producer.resumeProducing()
    connection.turn()
    answer = connection.answer()
    assert len(answer.body) > 80 * MANY
    assert len(json.loads(answer.body)["clients"]) == MANY
    connection.lose()


@pytest.mark.parametrize("path", ["/api/listeners", "/api/openapi.json", "/metrics"])
def test_where_nothing_can_be_asked_a_query_is_an_error(rig: ServiceRig, path: str) -> None:
    assert rig.ask(path).status == 200
    answer = rig.ask(f"{path}?limit=1")
    assert (answer.status, answer.json()) == (400, {"error": "'limit': there is nothing to ask for here"})


@pytest.mark.parametrize(
    "path", ["/api/listeners", "/api/clients", "/api/connections", "/api/openapi.json", "/api/wait?timeout=0"]
)
def test_head_gives_the_same_head_and_ends_there(rig: ServiceRig, path: str) -> None:
    connection = Connection(rig.site, rig.clock)
    asked = {name: connection.ask(path, name) for name in ("GET", "HEAD")}
    assert asked["HEAD"].status == asked["GET"].status
    assert asked["HEAD"].headers["content-type"] == asked["GET"].headers["content-type"] == "application/json"
    assert connection.ask("/readyz").status == 200
    connection.lose()
