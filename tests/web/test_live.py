"""
The timeline over WebSocket: everything once, from where one was, in samples, and without those who do not
read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from netsvc.journal.query import NameOf
from netsvc.journal.reading import Delivery, json_of
from netsvc.journal.turns import WatchLimits
from netsvc.journal.watch import Watchers
from tests.web.frames import CLOSE
from tests.web.service_rig import ServiceRig, SocketClient


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.end()


def pass_time(rig: ServiceRig, seconds: float = 1.0) -> None:
    """Let some time pass, in small steps."""
    rig.clock.pump([0.01] * round(seconds * 100))


def data_of(batches: list[dict[str, Any]]) -> list[bytes]:
    """The bytes of the facts in some messages."""
    return [base64.b64decode(fact["data"]) for batch in batches for fact in batch["facts"]]


def seen(rig: ServiceRig, client: SocketClient, seconds: float = 1.0) -> list[dict[str, Any]]:
    """What came meanwhile."""
    pass_time(rig, seconds)
    return client.heard()


def test_a_watcher_is_told_where_it_begins_and_gets_what_was_and_what_comes(rig: ServiceRig) -> None:
    rig.receive(b"before")
    client = rig.open("/ws/facts")
    first, *batches = seen(rig, client)
    assert (first["facts"], first["left_out"], first["gap"]) == ([], 0, None)
    assert data_of(batches) == [b"before"]
    rig.receive(b"after")
    assert data_of(seen(rig, client)) == [b"after"]


def test_from_now_on_is_from_now_on(rig: ServiceRig) -> None:
    rig.receive(b"before")
    client = rig.open("/ws/facts?after=last")
    (first,) = seen(rig, client)
    rig.receive(b"after")
    (batch,) = seen(rig, client)
    assert data_of([batch]) == [b"after"]
    assert batch["last"] > first["last"]


def test_the_filters_are_those_of_the_api(rig: ServiceRig) -> None:
    client = rig.open("/ws/facts?service=echo&contains=lo%20wor&kind=received")
    for piece in (b"hello", b" world"):
        rig.receive(piece)
    rig.receive(b"hello world", connection=2, service="discard")
    assert data_of(seen(rig, client)) == [b" world"]


def test_who_goes_on_where_it_was_misses_nothing_and_gets_nothing_twice(rig: ServiceRig) -> None:
    got: list[bytes] = []
    last = 0
    for turn in range(10):
        client = rig.open(f"/ws/facts?after={last}&rate=all")
        for n in range(37):
            rig.receive(b"%d.%d" % (turn, n))
            if n % 5 == 0:
                pass_time(rig, 0.03)
        batches = client.heard()
        got += data_of(batches)
        last = batches[-1]["last"]
        # What comes now is for the next connection.
        client.lose()
    got += data_of(seen(rig, rig.open(f"/ws/facts?after={last}&rate=all")))
    assert got == [b"%d.%d" % (turn, n) for turn in range(10) for n in range(37)]


def test_a_gap_is_told() -> None:
    rig = ServiceRig()
    rig.receive(b"first")
    client = rig.open("/ws/facts")
    last = seen(rig, client)[-1]["last"]
    client.lose()
    rig.receive(b"lost")
    rig.timeline.clear()
    rig.receive(b"there")
    batches = seen(rig, rig.open(f"/ws/facts?after={last}"))
    assert data_of(batches) == [b"there"]
    assert next(batch["gap"] for batch in batches if batch["gap"])["after"] == last
    rig.end()


def test_what_is_more_than_the_rate_is_left_out_and_counted(rig: ServiceRig) -> None:
    client = rig.open("/ws/facts?rate=100")
    for n in range(5000):
        rig.receive(b"%d" % n)
    batches = seen(rig, client, 2.0)
    shown = data_of(batches)
    assert 0 < len(shown) < 300
    assert len(shown) + sum(batch["left_out"] for batch in batches) == 5000
    assert shown[-1] == b"4999"


def test_all_are_shown_to_who_wants_all(rig: ServiceRig) -> None:
    client = rig.open("/ws/facts?rate=all")
    for n in range(5000):
        rig.receive(b"%d" % n)
    batches = seen(rig, client, 5.0)
    assert data_of(batches) == [b"%d" % n for n in range(5000)]
    assert max(len(json.dumps(batch)) for batch in batches) < 200_000


@pytest.mark.parametrize(
    "query", ["service=", "after=x", "rate=0", "rate=20001", "rate=x", "unheard=of", "limit=1"]
)
def test_a_query_that_cannot_be_used_is_refused(rig: ServiceRig, query: str) -> None:
    client = rig.open(f"/ws/facts?{query}")
    assert client.status == 400
    assert json.loads(client.body)["error"]


def test_there_are_only_so_many_watchers() -> None:
    rig = ServiceRig()
    rig.watchers = rig.view.watchers = Watchers(
        rig.facts, rig.timeline, rig.clients, rig.clock, WatchLimits(watchers=1)
    )
    first, second = rig.open("/ws/facts"), rig.open("/ws/facts")
    assert len(first.heard()) == 1
    (one,) = second.frames()
    assert (one.opcode, one.payload[:2]) == (CLOSE, b"\x03\xf5")
    first.close()
    assert rig.open("/ws/facts").heard() != []
    rig.end()


def test_of_many_watchers_the_one_that_does_not_read_is_dropped_and_the_others_miss_nothing(
    rig: ServiceRig,
) -> None:
    watchers = [rig.open("/ws/facts?rate=all") for _ in range(200)]
    slow, others = watchers[77], [one for n, one in enumerate(watchers) if n != 77]
    slow.heard()
    slow.wire.producer.pauseProducing()
    for n in range(500):
        rig.receive(b"%d" % n)
        if n % 50 == 0:
            pass_time(rig, 0.1)
    pass_time(rig, 2.0)
    # It has its pings to show that it is there, but those are not what it is waited for with.
    assert [one.opcode for one in slow.frames()] == []
    wanted = [b"%d" % n for n in range(500)]
    assert all(data_of(one.heard()) == wanted for one in others)
    for _ in range(3):
        for client in others:
            client.send(b"\x8a\x80\0\0\0\0")
        slow.send(b"\x8a\x80\0\0\0\0")
        pass_time(rig, 10.0)
    assert slow.wire.aborted
    assert not any(one.wire.aborted for one in others)


def test_one_that_reads_again_in_time_gets_the_rest(rig: ServiceRig) -> None:
    client = rig.open("/ws/facts?rate=all")
    client.heard()
    client.wire.producer.pauseProducing()
    for n in range(100):
        rig.receive(b"%d" % n)
    assert seen(rig, client, 5.0) == []
    client.wire.producer.resumeProducing()
    assert data_of(seen(rig, client)) == [b"%d" % n for n in range(100)]


def test_what_several_want_from_the_same_place_is_encoded_once(
    rig: ServiceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[Delivery] = []

    def encode(delivery: Delivery, name_of: NameOf) -> bytes:
        encoded.append(delivery)
        return json_of(delivery, name_of)

    monkeypatch.setattr("netsvc.journal.watch.json_of", encode)
    clients = [rig.open("/ws/facts?after=last") for _ in range(50)]
    for client in clients:
        client.heard()
    rig.receive(b"hello")
    pass_time(rig)
    assert [data_of(client.heard()) for client in clients] == [[b"hello"]] * 50
    assert len(encoded) < 5


def test_a_daemon_that_stops_says_so(rig: ServiceRig) -> None:
    client = rig.open("/ws/facts")
    client.heard()
    rig.watchers.stop()
    (one,) = client.frames()
    assert (one.opcode, one.payload[:2]) == (CLOSE, b"\x03\xe9")


def test_watching_is_no_fact(rig: ServiceRig) -> None:
    rig.open("/ws/facts").close()
    assert len(rig.timeline) == 0
