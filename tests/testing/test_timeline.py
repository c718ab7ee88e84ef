"""What a test sees of a daemon, and what answers in the daemon's place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from netsvc.testing.daemon import DaemonError
from netsvc.testing.timeline import Fact, Netsvc, Service

# -- values -------------------------------------------------------------------------------------------------


def test_a_fact_is_one_line_that_does_nothing_on_a_terminal() -> None:
    fact = Fact.of(
        {
            "seq": 1,
            "time": "2",
            "kind": "received",
            "service": "echo",
            "listener": "unix:///s",
            "transport": "unix",
            "address": "/s\x1b[2J",
            "port": None,
            "local": "/s",
            "connection": 7,
            "name": None,
            "length": 300,
            "data": "eHh4",
            "reason": None,
            "tls": {"version": "TLSv1.3"},
        }
    )
    assert str(fact) == r"received echo unix /s\x1b[2J #7 b'xxx' (300 bytes)"
    assert (fact.time, fact.details) == (2, {"tls": {"version": "TLSv1.3"}})


def test_a_service_with_several_ports_has_none() -> None:
    places = tuple({"listener": f"tcp://h:{port}", "address": "h", "port": port} for port in (1, 2))
    with pytest.raises(ValueError, match="echo listens on tcp://h:1, tcp://h:2: look for the right one"):
        _ = Service("echo", places, ("h", 3)).port


# -- what the API answers -----------------------------------------------------------------------------------

#: What makes an answer of a question: the keys and their values.
Answer = Callable[[Mapping[str, str]], Mapping[str, Any]]


@contextmanager
def asking(answer: Answer) -> Iterator[Netsvc]:
    """A test's view of what answers in the daemon's place."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answer(dict(parse_qsl(urlsplit(self.path).query)))
            body = json.dumps(found).encode()
            self.send_response(200 if "facts" in found else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        place = {"service": "web", "address": "127.0.0.1", "port": server.server_port}
        try:
            yield Netsvc(cast(Any, SimpleNamespace(places=[place])))
        finally:
            server.shutdown()
            thread.join()


def a_fact(seq: int) -> Mapping[str, Any]:
    """A fact of the API's."""
    texts = dict.fromkeys(("kind", "service", "listener", "transport", "address", "local"), "")
    nothing = dict.fromkeys(("port", "connection", "name", "length", "data", "reason"))
    return {"seq": seq, "time": "1", **texts, **nothing}


def test_a_daemon_that_will_not_tell_what_happened_does_not_hide_why_a_test_failed() -> None:
    """Such as one with as many watchers as there may be."""
    begin: list[Mapping[str, Any]] = [{"facts": [], "last": 7}]
    with asking(lambda query: begin.pop() if begin else {"error": "too many"}) as seen:
        with pytest.raises(ValueError, match="too many"):
            seen.facts()
        assert seen.report() == "too many"


def test_an_answer_without_facts_is_not_the_end_while_there_is_more_to_look_at() -> None:
    """Such as one of a journal, of which each question looks at a part."""
    ends = iter([0, 30, 30])

    def answer(query: Mapping[str, str]) -> Mapping[str, Any]:
        if query["after"] == "last":
            return {"facts": [], "last": next(ends)}
        last = int(query["after"]) + 10
        return {"facts": [a_fact(last)] if last == 20 else [], "last": last, "more": last < 30}

    with asking(answer) as seen:
        assert [one.seq for one in seen.facts()] == [20]
        assert seen.report().count("\n") == 0


def test_what_comes_while_facts_are_read_has_an_end() -> None:
    newest = 0

    def answer(query: Mapping[str, str]) -> Mapping[str, Any]:
        nonlocal newest
        newest += 5
        if query["after"] == "last":
            return {"facts": [], "last": newest}
        after, until = int(query["after"]), min(newest, int(query.get("before", newest + 1)) - 1)
        # Who does not know where to end is helped out of it.
        facts = [a_fact(seq) for seq in range(after + 1, until + 1)] if newest < 500 else []
        return {"facts": facts, "last": until, "more": until < newest}

    with asking(answer) as seen:
        assert [one.seq for one in seen.facts()] == [6, 7, 8, 9, 10]


def test_a_daemon_that_cannot_read_on_is_not_asked_for_ever() -> None:
    ends = iter([7, 9])

    def answer(query: Mapping[str, str]) -> Mapping[str, Any]:
        return {"facts": [], "last": next(ends, 7), "more": True}

    with asking(answer) as seen, pytest.raises(DaemonError, match="could not read on behind seq 7"):
        seen.facts()
