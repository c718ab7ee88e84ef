"""The opening handshake of a WebSocket, without a socket."""

from __future__ import annotations

import pytest

from netsvc.commands.address import Address
from netsvc.commands.handshake import LONGEST_HEAD, Opening, RefusedError

ADDRESS = Address("ws", "127.0.0.1", 8080, "/ws/echo?token=t")

OPENED = (
    b"HTTP/1.1 101 Welcome\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
)
REFUSED = b'HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{"error":"nothing is here"}'


def test_the_request_asks_for_the_path_and_its_query() -> None:
    opening = Opening(ADDRESS)
    lines = opening.request().split(b"\r\n")
    assert lines[:2] == [b"GET /ws/echo?token=t HTTP/1.1", b"Host: 127.0.0.1:8080"]
    assert b"Sec-WebSocket-Key: " + opening.key in lines
    assert Opening(Address("ws", "h", 80)).request().startswith(b"GET / HTTP/1.1\r\nHost: h\r\n")


def test_the_request_shows_a_token_where_there_is_one() -> None:
    assert b"\r\nAuthorization: Bearer abc\r\n" in Opening(ADDRESS, "abc").request()
    assert b"Authorization" not in Opening(ADDRESS).request()


@pytest.mark.parametrize("cut", range(len(OPENED)))
def test_an_opening_is_found_however_it_is_cut(cut: int) -> None:
    opening = Opening(ADDRESS)
    assert opening.feed(OPENED[:cut]) is None
    answer = opening.feed(OPENED[cut:] + b"frame")
    assert answer is not None
    head, rest = answer
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n")
    assert rest == b"frame"


@pytest.mark.parametrize("cut", range(len(REFUSED)))
def test_a_refusal_says_why_however_it_is_cut(cut: int) -> None:
    opening = Opening(ADDRESS)
    assert opening.feed(REFUSED[:cut]) is None
    with pytest.raises(RefusedError, match="404 nothing is here"):
        opening.feed(REFUSED[cut:])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "302 Found"),
        (b"HTTP/1.0 200\r\n\r\n<p>", "200"),
        (b'HTTP/1.1 403 No\r\n\r\n{"error":"a token is needed"}', "403 a token is needed"),
        (b"HTTP/1.1 500 \xff\xfe\r\nContent-Length: x\r\n\r\n{", "500 ÿþ"),
        (b"HTTP/1.1 10", "closed by the server"),
        (b"", "closed by the server"),
    ],
)
def test_a_refusal_may_end_with_the_connection(answer: bytes, why: str) -> None:
    opening = Opening(ADDRESS)
    assert opening.feed(answer) is None
    with pytest.raises(RefusedError, match=f"^{why}$"):
        opening.end()


@pytest.mark.parametrize(
    "answer", [b"[Thu", b"SSH-2.0-x\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 1\r\n\r\n"]
)
def test_what_is_no_http_is_refused(answer: bytes) -> None:
    with pytest.raises(RefusedError, match="does not speak HTTP"):
        Opening(ADDRESS).feed(answer)


def test_a_head_without_end_is_refused() -> None:
    opening = Opening(ADDRESS)
    assert opening.feed(b"HTTP/1.1 101 x\r\nA: " + b"a" * 60_000) is None
    with pytest.raises(RefusedError, match="does not speak HTTP"):
        opening.feed(b"a" * LONGEST_HEAD)


def test_nothing_but_the_handshake_gets_through() -> None:
    answer = Opening(ADDRESS).feed(OPENED[:-2] + b"Set-Cookie: a\r\nnonsense\r\nConnection: \xff\r\n\r\n")
    assert answer is not None
    assert answer[0].lower().count(b"\r\n") == OPENED.count(b"\r\n")
