"""HTTP with limits: what is wrong with a request is answered, ends the connection, and has no effect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.settings import Limits
from netsvc.web.request import MAX_HEAD, MAX_HEADERS
from tests.web.siterig import Connection, Rig

FINE = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def rig() -> Rig:
    return Rig()


def error_of(connection: Connection) -> tuple[int, str]:
    answer = connection.answer()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    return answer.status, answer.json()["error"]


# -- heads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400, "otherwise than in CR LF"),
        (b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", 400, "otherwise than in CR LF"),
        (b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n", 400, "otherwise than in CR LF"),
        (b"GET /\rx HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "otherwise than in CR LF"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\r\n\r\n", 400, "otherwise than in CR LF"),
        (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400, "expected one Host header, got 0"),
        (b"GET / HTTP/1.0\r\nX: y\r\n\r\n", 400, "expected one Host header, got 0"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "expected one Host header, got 2"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "the Host header is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "the Host header is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "the Host header is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "the Host header is malformed"),
        (b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400, "the Host header is malformed"),
        (b"GET / HTTP/1.1\r\nHost: -e.localhost\r\n\r\n", 400, "the Host header is malformed"),
        (b"GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the request target is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "begins with a blank"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "begins with a blank"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "the request is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "the request is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400, "the request is malformed"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400, "the request is malformed"),
        (b"GET /\r\n\r\n", 400, "the request is malformed"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the request is malformed"),
        (b"\x16\x03\x01\x02\r\n", 400, "the request is malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, "at most 65536"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
            413,
            "a body has at most 65536 bytes",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "malformed",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n",
            400,
            "both Content-Length and Transfer-Encoding",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            400,
            "the only transfer coding",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "from HTTP/1.1 on"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * MAX_HEADERS + b"\r\n", 400, "malformed"),
        (b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1\r\n", 431, f"longer than {MAX_HEAD} bytes"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * MAX_HEAD, 431, f"longer than {MAX_HEAD} bytes"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 17,
            431,
            f"longer than {MAX_HEAD} bytes",
        ),
    ],
)
def test_what_is_wrong_is_answered_once_and_ends_the_connection(
    rig: Rig, head: bytes, status: int, reason: str
) -> None:
    connection = rig.connect()
    # What comes behind is not looked at any more, however good it is.
    connection.send(head + FINE)
    assert connection.closing
    found, text = error_of(connection)
    assert found == status
    assert reason in text
    connection.channel.dataReceived(FINE)
    assert connection.answers() == []


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: localhost\n\n", b"GET /\r "])
def test_a_line_that_ends_otherwise_is_not_waited_for(rig: Rig, head: bytes) -> None:
    connection = rig.connect()
    connection.send(head)
    assert error_of(connection)[0] == 400


def test_a_refusal_in_the_middle_of_a_head_has_no_effect(rig: Rig) -> None:
    rig.receive(b"kept")
    connection = rig.connect()
    connection.send(b"DELETE /api/facts HTTP/1.1\r\nHost: localhost\r\nbad header\r\nX: y\r\n\r\n")
    assert error_of(connection)[0] == 400
    assert len(rig.timeline) == 1


@given(st.data())
def test_a_head_is_read_the_same_however_it_is_cut(data: st.DataObject) -> None:
    head = data.draw(
        st.sampled_from(
            [
                FINE,
                b"\r\n" + FINE,
                b"POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n\n\r\n\r",
                b"GET /readyz HTTP/1.1\r\nHost: localhost\rX\r\n\r\n",
                b"GET /readyz HTTP/1.1\nHost: localhost\n\n",
                FINE + FINE + b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ]
        )
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(head) - 1), max_size=6)))

    def statuses(pieces: list[bytes]) -> list[int]:
        connection = Rig().connect()
        for piece in pieces:
            connection.send(piece)
        connection.turn()
        found = [answer.status for answer in connection.answers()]
        connection.lose()
        return found

    ends = [*cuts, len(head)]
    assert statuses([head[a:b] for a, b in zip([0, *cuts], ends, strict=True)]) == statuses([head])


def test_the_server_of_an_absolute_target_is_the_one_that_is_meant(rig: Rig) -> None:
    answer = rig.connect().ask("http://localhost/readyz?", host="evil.example")
    assert answer.status == 200
    assert rig.connect().ask("HTTP://evil.example/", host="localhost").status == 403
    assert rig.connect().ask("http://localhost", host="localhost").status in (200, 404)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("foo", "foo='': expected one of the keys"),
        ("contains=a;limit=1&order", "order='': expected oldest or newest"),
        ("kind=a+b%2Bc%3B", "kind='a b+c;': expected one of"),
        ("a%3Db=c", "a=b='c': expected one of the keys"),
        ("&&kind==", "kind='=': expected one of"),
    ],
)
def test_a_query_is_read_as_others_write_it(rig: Rig, query: str, error: str) -> None:
    answer = rig.ask(f"/api/facts?{query}")
    assert answer.status == 400
    assert answer.json()["error"].startswith(error)


def test_a_semicolon_is_part_of_a_value(rig: Rig) -> None:
    rig.receive(b"a;b")
    rig.receive(b"a")
    (fact,) = rig.ask("/api/facts?contains=a;b").json()["facts"]
    assert fact["length"] == 3


@pytest.mark.parametrize("target", ["*", "localhost:80", "x"])
def test_a_target_that_is_no_path_is_refused(rig: Rig, target: str) -> None:
    assert rig.ask(target, "OPTIONS").status == 400


# -- bodies ----------------------------------------------------------------------------------------------


def test_a_body_beyond_its_limit_is_refused_before_the_client_is_told_to_go_on(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(
        b"POST /api/facts HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        b"Content-Length: 70000\r\n\r\n"
    )
    assert error_of(connection)[0] == 413


def test_a_chunked_body_beyond_its_limit_is_refused_when_it_gets_there(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(b"POST /api/facts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(16):
        connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert connection.answers() == []
    connection.send(b"1\r\nx\r\n" + b"0\r\n\r\n" + FINE)
    assert error_of(connection)[0] == 413


def test_a_malformed_chunk_is_refused(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(
        b"POST /api/facts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    assert error_of(connection)[0] == 400


@pytest.mark.parametrize("trailer", [b"X: a\nb", b"X: a\rb", b"X: y\r\nX: a\n\nGET /a HTTP/1.1\nHost: b"])
def test_a_trailer_that_others_would_end_elsewhere_is_refused(rig: Rig, trailer: bytes) -> None:
    head = b"POST /readyz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = rig.connect()
    connection.send(head + b"0\r\n" + trailer + b"\r\n\r\n" + FINE)
    status, text = error_of(connection)
    assert status == 400
    assert "otherwise than in CR LF" in text
    connection = rig.connect()
    connection.send(head + b"0\r\nX: y\r\n\r\n" + FINE)
    connection.turn()
    assert [answer.status for answer in connection.answers()] == [405, 200]


def test_a_body_is_kept_in_memory_and_what_follows_is_the_next_request(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(
        b"POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n" + b"\n" * 65_536 + FINE
    )
    connection.turn()
    assert [answer.status for answer in connection.answers()] == [405, 200]
    assert not connection.closing


# -- time ------------------------------------------------------------------------------------------------


def test_a_head_has_one_time_whatever_trickles_in() -> None:
    rig = Rig(limits=Limits(handshake_timeout=3))
    connection = rig.connect()
    for byte in b"GET / HTTP/1.1\r\nHost: loca":
        connection.send(bytes([byte]))
        rig.clock.advance(0.11)
    assert not connection.closing
    rig.clock.advance(0.2)
    assert error_of(connection) == (408, "the request was not complete within 3 seconds")


def test_a_silent_connection_has_the_same_time() -> None:
    rig = Rig(limits=Limits(handshake_timeout=3))
    connection = rig.connect()
    rig.clock.advance(3.1)
    assert error_of(connection)[0] == 408


def test_a_body_has_its_own_time() -> None:
    rig = Rig(limits=Limits(handshake_timeout=3))
    connection = rig.connect()
    connection.send(b"POST /readyz HTTP/1.1\r\n")
    rig.clock.advance(2)
    connection.send(b"Host: localhost\r\nContent-Length: 40\r\n\r\n")
    for _ in range(29):
        connection.send(b"x")
        rig.clock.advance(0.1)
    assert not connection.closing
    rig.clock.advance(0.2)
    assert error_of(connection)[0] == 408


def test_the_next_request_may_take_the_keep_alive_time_to_begin() -> None:
    rig = Rig(limits=Limits(handshake_timeout=3), keep_alive=20.0)
    connection = rig.connect()
    assert connection.ask("/readyz").status == 200
    rig.clock.advance(19)
    connection.send(b"G")
    rig.clock.advance(2.9)
    connection.send(FINE[1:])
    assert connection.answer().status == 200
    rig.clock.advance(20.1)
    assert connection.closing
    assert connection.answers() == []


def test_a_request_that_is_answered_later_has_no_time_of_the_channels(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(b"GET /api/wait?timeout=200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    rig.clock.advance(199)
    assert connection.answers() == []
    assert not connection.closing
    rig.receive(b"x")
    rig.clock.pump([0.01] * 20)
    assert connection.answer().status == 200


# -- the answer ------------------------------------------------------------------------------------------


def test_requests_that_come_together_are_answered_in_their_order(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(FINE + FINE.replace(b"readyz", b"nothing") + FINE)
    connection.turn()
    assert [answer.status for answer in connection.answers()] == [200, 404, 200]
    assert not connection.closing


def test_a_thousand_requests_that_come_together_hold_nobody_up(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(FINE * 1000 + FINE[:-2])
    assert len(connection.answers()) == 1
    # Nothing more is read until they are answered, one in each turn of the reactor.
    assert connection.wire.producerState == "paused"
    connection.turn(times=10)
    assert len(connection.answers()) == 10
    connection.turn(times=1000)
    assert len(connection.answers()) == 989
    assert connection.wire.producerState == "producing"
    connection.send(FINE[-2:])
    assert len(connection.answers()) == 1
    # And the time for the next request begins anew.
    rig.clock.advance(rig.site.web.keep_alive + 1)
    assert connection.closing


def test_requests_are_not_answered_faster_than_the_client_reads(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(FINE * 100)
    connection.channel.pauseProducing()
    connection.turn()
    assert len(connection.answers()) == 1
    # However long that takes, nothing is wrong with the requests.
    rig.clock.advance(100)
    assert connection.answers() == []
    assert not connection.closing
    connection.channel.resumeProducing()
    connection.turn(times=10)
    assert len(connection.answers()) == 10
    connection.channel.pauseProducing()
    connection.channel.resumeProducing()
    connection.turn()
    assert len(connection.answers()) == 89
    connection.lose()


def test_all_that_came_before_the_end_of_input_is_answered(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(FINE * 3 + FINE[:-2])
    connection.end_of_input()
    assert not connection.closing
    connection.turn()
    assert len(connection.answers()) == 3
    assert connection.closing


def test_requests_that_came_together_end_with_their_connection(rig: Rig) -> None:
    lost, closing = rig.connect(), rig.connect()
    lost.send(FINE * 3)
    lost.lose()
    closing.send(FINE + FINE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + FINE)
    closing.turn()
    assert len(closing.answers()) == 2
    assert closing.closing
    closing.lose()
    assert rig.clock.getDelayedCalls() == []


@pytest.mark.parametrize("value", ["close", "Close, TE", "keep-alive, close"])
def test_a_client_that_wants_to_close_is_closed(rig: Rig, value: str) -> None:
    connection = rig.connect()
    assert connection.ask("/readyz", connection=value).headers["connection"] == "close"
    assert connection.closing


def test_http_1_0_is_answered_and_closed(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert connection.wire.value().startswith(b"HTTP/1.0 200 ")
    assert connection.closing


@pytest.mark.parametrize("path", ["/healthz", "/readyz?verbose"])
@pytest.mark.parametrize(("ready", "status"), [(True, b"200"), (False, b"503")])
def test_a_probe_of_http_1_0_needs_no_host_and_is_told_no_reasons(
    path: str, ready: bool, status: bytes
) -> None:
    connection = Rig(ready=lambda: ready).connect()
    connection.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    sent = connection.wire.value()
    assert sent.startswith(b"HTTP/1.")
    assert sent.split(b" ")[1] == status
    assert b"reasons" not in sent


@pytest.mark.parametrize(
    "first",
    [b"GET /healthz HTTP/1.1", b"GET /healthz/ HTTP/1.0", b"GET /api/facts HTTP/1.0", b"GET / HTTP/1.0"],
)
def test_everything_else_needs_a_host(rig: Rig, first: bytes) -> None:
    connection = rig.connect()
    connection.send(first + b"\r\n\r\n")
    assert connection.wire.value().startswith(b"HTTP/1.1 400 ")


def test_a_head_request_has_the_headers_and_no_body(rig: Rig) -> None:
    connection = rig.connect()
    answer = connection.ask("/readyz", "HEAD")
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 10
    assert connection.ask("/readyz").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "TRACE", "BREW", "__class__"])
def test_another_method_is_told_which_there_are(rig: Rig, method: str) -> None:
    answer = rig.ask("/api/facts", method)
    assert (answer.status, answer.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert answer.json() == {"error": "expected the method DELETE, GET, HEAD"}


@pytest.mark.parametrize(
    "path", ["/", "/x", "/api", "/api/", "/api/facts/x", "/api/nothing", "//", "/%2e%2e/x"]
)
def test_what_does_not_exist_is_404_in_json(path: str) -> None:
    answer = Rig().ask(path if path != "/" else "/nothing")
    assert (answer.status, answer.json()) == (404, {"error": "nothing is here"})


def test_a_client_that_has_finished_sending_is_still_answered(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(b"GET /api/wait?timeout=5 HTTP/1.1\r\nHost: localhost\r\n\r\n" + FINE)
    connection.end_of_input()
    assert not connection.closing
    rig.clock.pump([1] * 6)
    connection.turn()
    assert [answer.status for answer in connection.answers()] == [404, 200]
    assert connection.closing


def test_the_end_of_input_within_a_head_closes(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(FINE[:-1])
    connection.end_of_input()
    assert connection.closing


def test_a_lost_connection_leaves_nothing_to_wait_for(rig: Rig) -> None:
    connection = rig.connect()
    connection.send(b"GET /api/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(rig.watchers) == 1
    connection.lose()
    assert len(rig.watchers) == 0
    idle = rig.connect()
    idle.lose()
    assert rig.clock.getDelayedCalls() == []


def test_a_defect_is_a_500_and_one_line_of_the_log_in_a_second(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[object] = []
    monkeypatch.setattr(rig.site, "_say", said.append)

    def broken() -> list[str]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(rig.view, "ready", broken)
    assert [rig.ask("/readyz").status for _ in range(3)] == [500] * 3
    rig.clock.advance(1.1)
    answer = rig.ask("/readyz")
    assert answer.json() == {"error": "netsvc failed to answer; its log says why"}
    assert len(said) == 2


def test_the_server_header_tells_no_version_and_nothing_may_be_kept(rig: Rig) -> None:
    answer = rig.ask("/api/listeners")
    assert answer.headers["server"] == "netsvc"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
