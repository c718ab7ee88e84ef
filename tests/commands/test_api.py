"""The API's client, and whoever answers in the daemon's place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from twisted.internet.defer import CancelledError, Deferred

from netsvc.commands import api as api_module
from netsvc.commands.api import API, UnreachableError
from netsvc.commands.at import parse_at
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions
from tests.commands.programs import answering, serving
from tests.live.daemon import PATIENCE


def http(body: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def asked(reactor: Any, answer: Callable[[socket.socket], None], token: str | None = None) -> int:
    """What `API.last` makes of an answer."""
    with serving(answer) as place:
        api = API(reactor, parse_at(f"http://{place}"), TLSOptions(), token)
        try:
            return await api.last()
        finally:
            await api.close()


class Silent:
    """
    Answers only the beginning of an answer.

    @ivar over: set it when nobody waits any more.
    """

    def __init__(self, begin: bytes, asked: Callable[[], None]) -> None:
        """@param asked: called in the server's thread when the question has come."""
        self.over = threading.Event()
        self._begin = begin
        self._asked = asked

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(self._begin)
        self._asked()
        assert self.over.wait(PATIENCE)


BEGINNINGS = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"]


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_it_asks_and_shows_its_token(started_reactor: Any) -> None:
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heads.append(connection.recv(65_536))
        connection.sendall(http(b'{"facts": [], "last": 7, "gap": null}'))

    assert await asked(started_reactor, answer, "secret") == 7
    head = heads[0].lower()
    assert head.startswith(b"get /api/facts?after=last&limit=1 http/1.1\r\n")
    assert b"\r\nauthorization: bearer secret\r\n" in head
    assert b"\r\naccept: application/json\r\n" in head


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-x\r\n", "what answers there does not speak HTTP"),
        (http(b"hi"), "what answers there is not netsvc's API"),
        (http(b"[]"), "what answers there is not netsvc's API"),
        (http(b"[" * 100_000), "what answers there is not netsvc's API"),
        (http(b'{"facts": [{}], "last": 1}'), "what answers there is not netsvc's API"),
        (http(b'{"facts": [], "last": "1"}'), "what answers there is not netsvc's API"),
        (http(b"hi", b"404 Not Found"), "what answers there is not netsvc's API (404 Not Found)"),
        (http(b"", b"302 Found\r\nLocation: /"), "what answers there is not netsvc's API (302 Found)"),
        (http(b'{"error": "no good"}', b"400 Bad"), "no good"),
        (http(b'{"error": "a token is needed"}', b"403 No"),
         "a token is needed; NETSVC_TOKEN has the wrong one, or none"),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_wrong_answer_is_one_line(started_reactor: Any, answer: bytes, why: str) -> None:
    with pytest.raises(NotDone) as caught:
        await asked(started_reactor, answering([answer]))
    assert str(caught.value).partition("http://")[2].partition(": ")[2] == why


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"", b"503 Soon"), "503 Soon"),
        (http(b'{"error": "too many watchers"}', b"503 Soon"), "too many watchers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", "closed by the server"),
        (b"HTTP/1.1 200 O", "closed by the server"),
        (b"", "closed by the server"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_who_does_not_answer_may_do_so_later(started_reactor: Any, answer: bytes, why: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        await asked(started_reactor, answering([answer]))
    assert str(caught.value).partition("http://")[2].partition(": ")[2] == why


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_who_never_ends_an_answer_is_given_up(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(api_module, "PATIENCE", 0.05)
    silent = Silent(begin, lambda: None)
    with serving(silent) as place:
        api = API(started_reactor, parse_at(f"http://{place}"), TLSOptions(), None)
        with pytest.raises(UnreachableError, match="no answer in time"):
            await api.last()
        await api.close()
        silent.over.set()


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_who_has_little_time_waits_little_longer(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(api_module, "PATIENCE", 10 * PATIENCE)
    monkeypatch.setattr(api_module, "LATE", 0.05)
    silent = Silent(begin, lambda: None)
    with serving(silent) as place:
        api = API(started_reactor, parse_at(f"http://{place}"), TLSOptions(), None, 0.05)
        with pytest.raises(UnreachableError, match="no answer in time"):
            await api.wait([], 0, 1, 0.05)
        await api.close()
        silent.over.set()


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_answer_without_bounds_is_given_up(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "LONGEST_ANSWER", 1000)
    with pytest.raises(NotDone, match="an answer of more than 1,000 bytes"):
        await asked(started_reactor, answering([http(b" " * 5000)[:2000]]))


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_question_can_be_cancelled(started_reactor: Any, begin: bytes) -> None:
    came: Deferred[None] = Deferred()
    silent = Silent(begin, lambda: started_reactor.callFromThread(came.callback, None))
    with serving(silent) as place:
        api = API(started_reactor, parse_at(f"http://{place}"), TLSOptions(), None)
        asking = Deferred.fromCoroutine(api.last())
        await came
        asking.cancel()
        with pytest.raises(CancelledError):
            await asking
        await api.close()
        silent.over.set()
