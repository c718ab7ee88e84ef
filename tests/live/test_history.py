"""Asking a daemon that has a journal for what it no longer has in memory: of before it began, and since."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from netsvc.journal.disk.columns import INSERT
from netsvc.journal.disk.database import Database
from tests.commands.programs import netsvc
from tests.live.daemon import PATIENCE, Daemon, eventually, running
from tests.live.websockets import WebSocketClient

pytestmark = pytest.mark.live

#: A memory that a second's datagrams do not fit into.
SMALL = "--set=timeline.timeline_memory=1048576"


def ask(daemon: Daemon, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
    """A question; the status of its answer, and the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", f"{path}?{urlencode(query, doseq=True)}")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def pages(daemon: Daemon, **query: Any) -> Iterator[dict[str, Any]]:
    """Every page, oldest first, until there are no more."""
    after = query.pop("after", 0)
    while True:
        status, page = ask(daemon, "/api/facts", after=after, **query)
        assert status == 200
        yield page
        if not page["more"]:
            return
        after = page["last"]


def said(daemon: Daemon, data: bytes) -> None:
    """Have something echoed."""
    with daemon.connect("echo") as sock:
        sock.sendall(data)
        assert sock.recv(65_536) == data


@pytest.fixture
def arguments(tmp_path: Path) -> tuple[str, ...]:
    """Of a daemon with a journal."""
    journal = f"--journal={tmp_path / 'journal.db'}"
    return ("--web", "0", "--echo", "0", "--receiver", "udp://127.0.0.1:0?ack=received", journal)


# -- after a restart -----------------------------------------------------------------------------------------


def test_what_was_before_a_restart_is_answered_by_whatever_asks(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"the first daemon")
        _, last = ask(daemon, "/api/facts", after="last")
        said(daemon, b"and its last words")
        eventually(lambda: len(ask(daemon, "/api/facts", kind="closed")[1]["facts"]) == 2)
        before = ask(daemon, "/api/facts")[1]["facts"]
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"the second daemon")
        eventually(lambda: len(ask(daemon, "/api/facts", kind="closed")[1]["facts"]) == 3)
        (page,) = pages(daemon)
        assert page["gap"] is None
        assert page["facts"][: len(before)] == before
        assert page["facts"][len(before)]["connection"] == 1
        newest = ask(daemon, "/api/facts", order="newest")[1]
        assert newest["facts"] == page["facts"][::-1]
        # Those who go on where they were when it ended miss nothing.
        assert ask(daemon, "/api/wait", contains="last words", after=last["last"])[0] == 200
        assert ask(daemon, "/api/wait", contains="first daemon", after=last["last"], timeout=0)[0] == 404
        status, out, errors = netsvc(
            *("tail", "--at", f"127.0.0.1:{daemon.port('web')}", "--after", str(last["last"])),
            *("--count", "8", "--json", "--timeout", "20"),
        )
        shown = [json.loads(line) for line in out.splitlines()]
        assert (status, errors) == (0, "")
        assert shown == [fact for fact in page["facts"] if fact["seq"] > last["last"]][:8]
        with WebSocketClient.to(daemon, f"facts?after={last['last']}&rate=all") as live:
            assert live_facts(live, 8) == shown


def live_facts(live: WebSocketClient, count: int) -> list[dict[str, Any]]:
    """So many facts from a WebSocket."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = live.hear()
        assert message["gap"] is None
        found += message["facts"]
    return found[:count]


def test_what_was_before_kill_9_is_answered(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"hel")
        _, page = ask(daemon, "/api/facts")
        eventually(lambda: count_of(tmp_path / "journal.db") >= len(page["facts"]))
        daemon.process.kill()
        daemon.wait()
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"lo")
        _, again = ask(daemon, "/api/facts")
        assert again["facts"][: len(page["facts"])] == page["facts"]
        # The connections have the same number, and are not the same.
        assert ask(daemon, "/api/facts", contains="hello")[1]["facts"] == []


def count_of(path: Path) -> int:
    """The facts in a journal."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM fact").fetchone()[0])


# -- and before what is in memory ----------------------------------------------------------------------------


def test_what_left_the_memory_is_read_in_order_and_once_while_more_comes(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Some 5,000 facts a second, several times what the memory has room for."""
    total = 20_000
    with running(tmp_path, *arguments, SMALL) as daemon:
        sending = threading.Thread(target=send, args=(daemon, total))
        sending.start()
        read: list[int] = []
        after = 0
        while len(read) < total:
            status, page = ask(
                daemon, "/api/facts", after=after, limit=1000, service="receiver", kind="received", wait=10
            )
            assert (status, page["gap"]) == (200, None)
            read += map(number_of, page["facts"])
            after = page["last"]
        sending.join()
        assert read == list(range(total))
        back: list[int] = []
        page = {"before": 1 << 62, "more": True}
        while page["more"]:
            query = {"order": "newest", "limit": 10_000, "kind": "received", "before": page["before"]}
            _, page = ask(daemon, "/api/facts", **query)
            back += map(number_of, page["facts"])
        assert back == read[::-1]


def send(daemon: Daemon, total: int) -> None:
    """Numbered datagrams, some 5,000 in a second, no more under way than there is room for anywhere."""
    with daemon.datagrams("receiver") as sock:
        for begin in range(0, total, 50):
            for number in range(begin, begin + 50):
                sock.send(number.to_bytes(4, "big") + bytes(60))
            for _ in range(50):
                sock.recv(100)
            time.sleep(0.005)


def number_of(fact: dict[str, Any]) -> int:
    """The number of a datagram."""
    return int.from_bytes(base64.b64decode(fact["data"])[:4], "big")


def test_a_time_is_asked_for_in_whatever_form(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"one")
        said(daemon, b"two")
    with running(tmp_path, *arguments) as daemon:
        facts = ask(daemon, "/api/facts")[1]["facts"]
        middle = facts[4]["time"]
        assert ask(daemon, "/api/facts", since=middle)[1]["facts"] == facts[4:]
        assert ask(daemon, "/api/facts", until=middle)[1]["facts"] == facts[:4]
        assert ask(daemon, "/api/facts", since="1h", until="2200-01-01")[1]["facts"] == facts
        assert ask(daemon, "/api/facts", until="1h")[1]["facts"] == []
        status, answer = ask(daemon, "/api/facts", since="yesterday")
        assert (status, answer["error"][:48]) == (400, "since='yesterday': expected nanoseconds since th")


def test_emptying_the_memory_leaves_the_journal(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"one")
        facts = ask(daemon, "/api/facts")[1]["facts"]
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=PATIENCE)
        with closing(connection):
            connection.request("DELETE", "/api/facts")
            assert connection.getresponse().status == 200
        assert ask(daemon, "/api/facts")[1]["facts"][: len(facts)] == facts


# -- a large one ---------------------------------------------------------------------------------------------


def filled(path: Path, facts: int) -> None:
    """A journal with many facts, all of which hold what is sought, but for its last byte."""
    begin = time.time_ns() // 1000 - facts - 60_000_000
    whence = ("echo", "tcp://127.0.0.1:7", "tcp", "192.0.2.1", 4000, "127.0.0.1:7")
    with closing(Database(path, print).open()) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            INSERT,
            (
                (seq, seq * 1000, "received", *whence, seq % 97 + 1, 9, b"needle in", None, None)
                for seq in range(begin, begin + facts)
            ),
        )
        connection.execute("COMMIT")


def test_others_are_served_while_a_long_journal_is_searched(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    filled(tmp_path / "journal.db", 120_000)
    with running(tmp_path, *arguments) as daemon:
        answers: list[tuple[int, dict[str, Any]]] = []

        def search() -> None:
            answers.append(ask(daemon, "/api/wait", contains="needle innn", timeout=PATIENCE / 2))

        status, first = ask(daemon, "/api/facts", contains="needle innn")
        assert (status, first["facts"], first["more"]) == (200, [], True)
        searching = threading.Thread(target=search)
        searching.start()
        for _ in range(50):
            said(daemon, b"somebody else")
        assert answers == []
        said(daemon, b"needle innn")
        searching.join(PATIENCE)
        assert [(status, len(answer["facts"])) for status, answer in answers] == [(200, 1)]
        # By hand, a part at a time, it is the same.
        parts = list(pages(daemon, contains="needle innn"))
        assert len(parts) > 10
        assert sum(len(page["facts"]) for page in parts) == 2


def test_where_the_journal_cannot_be_read_the_memory_answers_and_says_so(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "journal.db"
    filled(path, 10)
    with running(tmp_path, *arguments) as daemon:
        said(daemon, b"one")
        assert len(ask(daemon, "/api/facts")[1]["facts"]) == 14
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink()
        page = ask(daemon, "/api/facts", after=1)[1]
        assert page["gap"] is not None
        assert page["gap"]["after"] == 1
        assert len(page["facts"]) == 4
