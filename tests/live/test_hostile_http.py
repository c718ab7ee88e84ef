"""
Clients that break HTTP, on purpose or by the dozen: each is answered with what is wrong, or not at all, and
what stands behind a request that nobody can tell the end of is never taken for another.

Each request here is followed by one that would empty the timeline. Where the connection must be closed, that
one must have had no effect: it stands for what a proxy in front of netsvc did not see go by.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.daemon import PATIENCE, Daemon, eventually, running
from tests.live.streams import end_sending, exchange

pytestmark = pytest.mark.live

_MARK = b"a fact that stays"

#: Bytes of requests that one client would send, if it were let.
_MOST = 100 * 1000 * 1000

#: What is smuggled in.
_EMPTY = b"DELETE /api/facts HTTP/1.1\r\nHost: localhost\r\n\r\n"

_GET = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST /readyz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("http")
    options = ["--web=127.0.0.1:0", f"--web=unix://{directory}/web.sock", "--echo=127.0.0.1:0"]
    with running(directory, *options, "--whoami=ws://127.0.0.1:0/ws") as started:
        yield started


@pytest.fixture(autouse=True)
def watch(daemon: Daemon) -> Iterator[None]:
    """In the end nobody has emptied the timeline, and nothing has failed."""
    with daemon.connect("echo") as sock:
        exchange(sock, _MARK, len(_MARK))
    yield
    ((status, _, body),) = _answers(
        _ask(daemon, b"GET /api/facts?limit=1&contains=" + _MARK.replace(b" ", b"+"))
    )
    assert (status, len(json.loads(body)["facts"])) == (200, 1)
    assert "Traceback" not in daemon.log()


def _ask(daemon: Daemon, line: bytes) -> bytes:
    """A request as it should be, and all that comes back."""
    return _send(daemon, line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


def _send(daemon: Daemon, data: bytes, service: str = "web", transport: str = "tcp") -> bytes:
    """Send bytes and the end of the stream; all that comes back."""
    with socket.create_connection(("127.0.0.1", daemon.port(service, transport)), PATIENCE) as sock:
        with suppress(ConnectionError):
            sock.sendall(data)
            end_sending(sock)
        return _rest(sock)


def _rest(sock: socket.socket) -> bytes:
    received = bytearray()
    with suppress(ConnectionResetError):
        while data := sock.recv(65_536):
            received += data
    return bytes(received)


def _answers(received: bytes) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """The answers to requests none of which was HEAD: status, headers in lower case, and body of each."""
    found = []
    while received:
        head, between, received = received.partition(b"\r\n\r\n")
        assert between, head
        first, *lines = head.split(b"\r\n")
        version, status, _ = first.split(b" ", 2)
        assert version == b"HTTP/1.1", first
        headers = {}
        for line in lines:
            name, _, value = line.partition(b": ")
            assert name.lower() not in headers, head
            headers[name.lower()] = value
        if headers.get(b"transfer-encoding") == b"chunked":
            body, received = _chunked(received)
        else:
            size = int(headers.get(b"content-length", b"0"))
            body, received = received[:size], received[size:]
        if int(status) != 100:
            found.append((int(status), headers, body))
    return found


def _chunked(received: bytes) -> tuple[bytes, bytes]:
    """A body in chunks, and what stands behind it."""
    body = b""
    while True:
        line, _, received = received.partition(b"\r\n")
        size = int(line, 16)
        body, received = body + received[:size], received[size + 2 :]
        if not size:
            return body, received


#: Requests after which nobody knows where the next one begins, and the status that says so.
_UNSOUND = {
    # What tells the length of a body says two things (RFC 9112 section 6.3).
    "cl-te": (_POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "te-cl": (_POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two-lengths": (_POST + b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n", 400),
    "list-of-lengths": (_POST + b"Content-Length: 0, 50\r\n\r\n", 400),
    "same-length-twice": (_POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    "signed-length": (_POST + b"Content-Length: +0\r\n\r\n", 400),
    "negative-length": (_POST + b"Content-Length: -1\r\n\r\n", 400),
    "hexadecimal-length": (_POST + b"Content-Length: 0x0\r\n\r\n", 400),
    "length-with-underscore": (_POST + b"Content-Length: 0_0\r\n\r\n", 400),
    "length-in-other-digits": (_POST + "Content-Length: ٠\r\n\r\n".encode(), 400),
    "empty-length": (_POST + b"Content-Length: \r\n\r\n", 400),
    "huge-length": (_POST + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", 413),
    "length-of-two-to-the-64": (_POST + b"Content-Length: 18446744073709551616\r\n\r\n", 413),
    # Transfer-Encoding that one reads and the other does not.
    "te-identity": (_POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "te-gzip-chunked": (_POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "te-chunked-gzip": (_POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "te-chunked-twice": (_POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "te-in-two-lines": (
        _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
    ),
    "te-quoted": (_POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "te-with-vertical-tab": (_POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "te-with-parameter": (_POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    "te-http-1.0": (
        b"POST /readyz HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "te-before-colon": (_POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "te-folded": (_POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "te-nul": (_POST + b"Transfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", 400),
    # Chunks (RFC 9112 section 7.1).
    "chunk-of-nonsense": (_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "chunk-negative": (_POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    "chunk-signed": (_POST + b"Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n", 400),
    "chunk-with-prefix": (_POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400),
    "chunk-with-underscore": (_POST + b"Transfer-Encoding: chunked\r\n\r\n1_0\r\nx\r\n0\r\n\r\n", 400),
    "chunk-empty-size": (_POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n", 400),
    "chunk-longer-than-it-says": (_POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n", 400),
    "chunk-line-end-lf": (_POST + b"Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", 400),
    "chunk-extension-without-end": (
        _POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 20_000 + b"\r\n",
        400,
    ),
    "trailer-without-end": (
        _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        400,
    ),
    # Lines and heads (RFC 9112 sections 2.2, 3 and 5).
    "lf-alone": (b"GET /readyz HTTP/1.1\nHost: localhost\n\n", 400),
    "cr-alone": (b"GET /readyz HTTP/1.1\rHost: localhost\r\r", 400),
    "cr-in-value": (_GET + b"X: a\rContent-Length: 5\r\n\r\n", 400),
    "lf-in-value": (_GET + b"X: a\nContent-Length: 5\r\n\r\n", 400),
    "nul-in-value": (_GET + b"X: a\0b\r\n\r\n", 400),
    "no-colon": (_GET + b"X\r\n\r\n", 400),
    "empty-name": (_GET + b": x\r\n\r\n", 400),
    "blank-before-colon": (_GET + b"X : y\r\n\r\n", 400),
    "folded": (_GET + b"X: y\r\n\tz\r\n\r\n", 400),
    "first-header-folded": (b"GET /readyz HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "name-not-a-token": (_GET + b"X[]: y\r\n\r\n", 400),
    "name-not-ascii": (_GET + "É: y\r\n\r\n".encode(), 400),
    "no-host": (b"GET /readyz HTTP/1.1\r\n\r\n", 400),
    "two-hosts": (_GET + b"Host: localhost\r\n\r\n", 400),
    "host-with-comma": (b"GET /readyz HTTP/1.1\r\nHost: localhost, evil\r\n\r\n", 400),
    "host-with-user": (b"GET /readyz HTTP/1.1\r\nHost: a@localhost\r\n\r\n", 400),
    "many-headers": (_GET + b"X: y\r\n" * 1000 + b"\r\n", 400),
    "huge-header": (_GET + b"X: " + b"y" * 100_000 + b"\r\n\r\n", 431),
    "huge-name": (_GET + b"X" * 100_000 + b": y\r\n\r\n", 431),
    "huge-target": (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    "huge-method": (b"X" * 100_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    "http-0.9": (b"GET /\r\n", 400),
    "http-0.9-with-host": (b"GET /readyz\r\nHost: localhost\r\n\r\n", 400),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "http-1.2": (b"GET /readyz HTTP/1.2\r\nHost: localhost\r\n\r\n", 400),
    "http-11": (b"GET /readyz HTTP/11\r\nHost: localhost\r\n\r\n", 400),
    "http-lower-case": (b"GET /readyz http/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two-blanks": (b"GET  /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "blank-in-target": (b"GET /ready z HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "tab-for-blank": (b"GET\t/readyz\tHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "method-not-a-token": (b"G(T /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "only-a-method": (b"GET\r\n\r\n", 400),
    "absolute-with-user": (b"GET http://a@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 3, 400),
    "proxy-header": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + _GET + b"\r\n", 400),
    "smtp": (b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n", 400),
    "expect-unknown": (_POST + b"Expect: 200-maybe\r\nContent-Length: 70000\r\n\r\n", 413),
}


@pytest.mark.parametrize(("request_", "status"), _UNSOUND.values(), ids=_UNSOUND)
def test_what_has_no_certain_end_is_answered_once_and_ends_the_connection(
    daemon: Daemon, request_: bytes, status: int
) -> None:
    answers = _answers(_send(daemon, request_ + _EMPTY))
    assert [answer[0] for answer in answers] == [status]
    assert answers[0][1][b"connection"] == b"close"
    assert b"error" in answers[0][2]


@pytest.mark.parametrize("size", [b"7fffffff", b"ffffffffffffffff", b"f" * 100])
def test_a_chunk_that_says_it_is_huge_takes_what_follows_with_it(daemon: Daemon, size: bytes) -> None:
    head = _POST + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n"
    assert _answers(_send(daemon, head + _EMPTY)) == []
    answers = _answers(_send(daemon, head + _EMPTY * 5000))
    assert [answer[0] for answer in answers] == [413]


@pytest.mark.parametrize(("request_", "status"), _UNSOUND.values(), ids=_UNSOUND)
def test_a_websocket_listener_takes_it_no_better(daemon: Daemon, request_: bytes, status: int) -> None:
    answers = _answers(_send(daemon, request_.replace(b"/readyz", b"/ws") + _EMPTY, "whoami", "ws"))
    assert [answer[0] for answer in answers] == [status]


#: Requests that are odd but sound, and the status of each; behind them the next request counts.
_ODD = {
    "trace": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nX-Secret: y\r\n\r\n", 405),
    "connect": (b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "options-star": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "put": (b"PUT /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", 405),
    "unknown-method": (b"BREW /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "lower-case-method": (b"get /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "absolute": (b"GET http://localhost/readyz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
    "absolute-elsewhere": (b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 403),
    "ftp-url": (b"GET ftp://localhost/readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "dot-dot": (b"GET /static/../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "dot-dot-encoded": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "nul-encoded": (b"GET /index.html%00.js HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "line-end-encoded": (b"GET /%0d%0aX:%20y HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "escape-without-digits": (b"GET /%zz%1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "query-of-nonsense": (b"GET /api/facts?%ff=%00&&&=&limit HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "other-host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
    "host-in-capitals": (b"GET /readyz HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n", 200),
    "chunk-extension": (
        _POST + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nTrailer: y\r\n\r\n",
        405,
    ),
    "te-in-capitals": (_POST + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n", 405),
    "get-with-body": (_GET + b"Content-Length: 5\r\n\r\nhello", 200),
    "expect-continue": (_POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 405),
    "expect-unknown": (_GET + b"Expect: 200-maybe\r\n\r\n", 200),
    "upgrade-h2c": (
        _GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
        200,
    ),
    "upgrade-nonsense": (_GET + b"Connection: Upgrade\r\nUpgrade: \x7f,,/,websocket/\r\n\r\n", 200),
    "upgrade-half": (b"GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n", 426),
    "websocket-in-post": (
        b"POST /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Content-Length: 0\r\n\r\n",
        405,
    ),
    "cookie-of-nonsense": (_GET + b"Cookie: =;;;=\xff; \x7f=\x80\r\n\r\n", 200),
    "authorization-of-nonsense": (_GET + b"Authorization: Bearer\r\n\r\n", 200),
    "range": (b"GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=9-1,-0,x-\r\n\r\n", 200),
    "conditional-nonsense": (b'GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: W/""\xff\r\n\r\n', 200),
    "accept-of-nonsense": (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */;q=x,\xff\r\n\r\n", 200),
    "forwarded-of-nonsense": (_GET + b"X-Forwarded-For: ,,\xff,1.2.3.4.5,[::\r\n\r\n", 200),
    "empty-line-before": (b"\r\n" + _GET + b"\r\n", 200),
}


@pytest.mark.parametrize(("request_", "status"), _ODD.values(), ids=_ODD)
def test_what_is_odd_is_answered_and_never_a_failure_of_ours(
    daemon: Daemon, request_: bytes, status: int
) -> None:
    answers = _answers(_send(daemon, request_ + _GET + b"\r\n"))
    assert answers[0][0] == status
    assert b"x-secret" not in b"".join(answer[2] for answer in answers).lower()
    if answers[0][1].get(b"connection") != b"close":
        assert [answer[0] for answer in answers] == [status, 200]


def test_many_requests_at_once_are_answered_one_after_the_other(daemon: Daemon) -> None:
    paths = [b"/readyz", b"/nothing", b"/healthz"]
    sent = b"".join(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % paths[n % 3] for n in range(900))
    statuses = [answer[0] for answer in _answers(_send(daemon, sent))]
    assert statuses == [200, 404, 200] * 300


def test_one_that_asks_without_end_and_never_reads_is_not_read_from(daemon: Daemon) -> None:
    ask = b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before = daemon.memory()
    with daemon.connect("web") as sock:
        sock.settimeout(1)
        sent = 0
        with suppress(TimeoutError):
            while sent < _MOST:
                sent += sock.send(ask * 1000)
        assert sent < _MOST
        assert daemon.memory() - before < 8 * 1024 * 1024
        assert _answers(_ask(daemon, b"GET /readyz"))[0][0] == 200


@pytest.mark.parametrize("answer_begins", [False, True])
def test_one_that_leaves_early_leaves_nothing(daemon: Daemon, answer_begins: bool) -> None:
    before = daemon.descriptors()
    for at in range(1, 60):
        with daemon.connect("web") as sock:
            sock.sendall(
                (b"GET /api/wait?timeout=100&contains=never HTTP/1.1\r\nHost: localhost\r\n\r\n")[:at]
            )
            if answer_begins:
                sock.sendall(b"\r\n\r\n")
                sock.recv(1)
    eventually(lambda: daemon.descriptors() <= before)


_PARTS = st.sampled_from(
    [
        b"GET ", b"POST ", b"/readyz", b"/api/facts", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r", b" ",
        b"\t", b"Host: localhost\r\n", b"Host: \r\n", b"Content-Length: 3\r\n", b"Content-Length: 70000\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: Upgrade\r\n",
        b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"\0", b"\xff",
        b"x" * 5000, b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"Cookie: a=b\r\n", b"?token=x", b"http://localhost",
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(parts=st.lists(_PARTS, min_size=1, max_size=25), cuts=st.lists(st.integers(1, 200), max_size=3))
def test_any_pieces_of_requests_are_answered_with_what_the_client_has_done_wrong(
    daemon: Daemon, parts: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(parts)
    with daemon.connect("web") as sock:
        with suppress(ConnectionError):
            for start, end in pairwise([0, *sorted(cuts), max(200, len(data))]):
                sock.sendall(data[start:end])
            end_sending(sock)
        answers = _answers(_rest(sock))
    assert all(status < 500 for status, _, _ in answers), answers
