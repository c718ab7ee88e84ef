"""
How long does a journal of ten million facts take to answer, while it is written to?

A journal is filled as netsvc would have done, and a daemon started with it, which records some 5,000 facts a
second that come as datagrams. Meanwhile its API is asked for the first page of what a service had from a peer
at a time: where that is common, where both are common and seldom meet, where it is rare, and where there is
none. And how long one part of a search for content takes, which looks at a bounded number of facts. The file
is where temporary files are and takes some 2.5 GB; `python -m bench.questions 1000000` makes it a tenth.
"""

from __future__ import annotations

import http.client
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, sleep, time_ns
from typing import Any
from urllib.parse import urlencode

from bench.report import bound, machine, percentile, say, table
from bench.servers import netsvc
from netsvc.journal.disk.columns import INSERT
from netsvc.journal.disk.database import Database

#: Facts in the journal, and in a second; times that each question is asked.
FACTS, RATE, ROUNDS = 10_000_000, 5000, 60

#: A datagram is two facts, for it is acknowledged; they come by the tick.
_TICK = 0.01
_TOGETHER = int(RATE / 2 * _TICK)

#: Milliseconds that the first page may take.
MOST = 50.0

#: Facts inserted at once.
_GROUP = 100_000

_LISTENER, _LOCAL, _CONTENT = "udp://127.0.0.1:6667", "127.0.0.1:6667", b"message %56d"

#: One in so many facts is of these two together, each of which is common; and so many are of the rare peer.
_SELDOM, _RARE = 500_000, 200_000


def main(facts: int = FACTS) -> bool:
    """Measure and print; gives whether the bound holds."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.db"
        begin = time_ns() // 1000 - facts * 1_000_000 // RATE - 10_000_000
        taken = _fill(path, begin, facts)
        say(f"\n{facts:,} facts, {path.stat().st_size / 1e9:.2f} GB, written in {taken:.0f} s")
        # Nothing leaves it, however old or much it is.
        arguments = (f"--journal={path}", "--set=journal.age=0", "--set=journal.size=0")
        with netsvc(*arguments, "--udp=udp://127.0.0.1:0?ack=received", "--web=127.0.0.1:0") as daemon:
            with _load(daemon.port("receiver", "udp")) as sent:
                times = _times(daemon.port("web"), _questions(begin, facts))
                searches = _times(daemon.port("web"), _searches(begin, facts))
            say(f"meanwhile {2 * sent[0] / sent[1]:,.0f} facts a second came")
    table("by service, peer and time, the first page", "ms", times)
    table("a part of a search for content, with the rest after the one before", "ms", searches)
    slowest = max(median(numbers) for numbers in times.values())
    late = max(percentile(numbers, 95) for numbers in times.values())
    say(f"\n  19 of 20 answers to any question by service, peer and time come within {late:.1f} ms")
    return bound("the question among these that takes longest, ms", slowest, MOST)


def _during(begin: int, facts: int) -> dict[str, int]:
    """The fifth tenth of the time."""
    length = facts * 1_000_000 // RATE
    return {"since": (begin + length * 4 // 10) * 1000, "until": (begin + length * 5 // 10) * 1000}


def _questions(begin: int, facts: int) -> dict[str, dict[str, Any]]:
    """What is asked by service, peer and time."""
    during = _during(begin, facts)
    return {
        "common": {"service": "echo", "peer": "192.0.2.1", **during},
        "common, newest first": {"service": "echo", "peer": "192.0.2.1", "order": "newest", **during},
        "common, of a kind": {"service": "echo", "peer": "192.0.2.1", "kind": "sent", **during},
        "seldom together": {"service": "receiver", "peer": "192.0.2.1", **during},
        "rare": {"service": "chat", "peer": "203.0.113.1", **during},
        "none": {"service": "chat", "peer": "192.0.2.1", **during},
        "several": {"service": ["echo", "chat"], "peer": ["192.0.2.1", "192.0.2.2", "203.0.113.1"], **during},
    }


def _searches(begin: int, facts: int) -> dict[str, dict[str, Any]]:
    """What is sought that is not there."""
    during = _during(begin, facts)
    return {
        "among all facts": {"contains": "nowhere", **during},
        "among those of a peer": {"contains": "nowhere", "peer": "192.0.2.1", **during},
    }


def _fill(path: Path, begin: int, facts: int) -> float:
    """Make the journal; gives how many seconds that has taken."""
    started = perf_counter()
    with closing(Database(path, say).open()) as connection:
        # Nothing of it has to survive anything.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        records = _records(begin, facts)
        while group := list(islice(records, _GROUP)):
            connection.execute("BEGIN")
            connection.executemany(INSERT, group)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return perf_counter() - started


def _records(begin: int, facts: int) -> Iterator[tuple[Any, ...]]:
    step = 1_000_000 // RATE
    for number in range(facts):
        seq = begin + number * step
        if number % _RARE == 0:
            service, peer = "chat", "203.0.113.1"
        elif number % _SELDOM == 1:
            service, peer = "receiver", "192.0.2.1"
        elif number % 4 == 1:
            service, peer = "echo", "192.0.2.1"
        else:
            service, peer = ("echo", "receiver")[number % 2], f"192.0.2.{2 + number % 199}"
        kind = "sent" if number % 100 == 17 else "received"
        data = _CONTENT % number
        yield (
            *(seq, seq * 1000, kind, service, _LISTENER, "udp", peer, 4000, _LOCAL),
            *(number % 1000 + 1, len(data), data, None, None),
        )


@contextmanager
def _load(port: int) -> Iterator[list[float]]:
    """Datagrams, while this is open; in the end how many they were, and for how many seconds."""
    ended = threading.Event()
    sent = [0.0, 0.0]

    def send() -> None:
        started = perf_counter()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect(("127.0.0.1", port))
            while not ended.is_set():
                due = started + sent[0] / _TOGETHER * _TICK
                sleep(max(0.0, due - perf_counter()))
                for _ in range(_TOGETHER):
                    sock.send(_CONTENT % sent[0])
                for _ in range(_TOGETHER):
                    sock.recv(100)
                sent[0] += _TOGETHER
        sent[1] = perf_counter() - started

    sending = threading.Thread(target=send)
    sending.start()
    try:
        # Until what waits for the disk is what it always is.
        sleep(1.0)
        yield sent
    finally:
        ended.set()
        sending.join()


def _times(port: int, questions: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """How long each question takes, in milliseconds, asked in turns."""
    times: dict[str, list[float]] = {name: [] for name in questions}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        for _ in range(ROUNDS):
            for name, question in questions.items():
                begin = perf_counter()
                connection.request("GET", f"/api/facts?{urlencode(question, doseq=True)}")
                answer = connection.getresponse()
                body = answer.read()
                times[name].append(1000 * (perf_counter() - begin))
                if answer.status != 200:
                    raise RuntimeError(body.decode())
    return times


if __name__ == "__main__":
    say(machine())
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else FACTS) else 1)
