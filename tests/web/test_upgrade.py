"""From an HTTP request to a WebSocket: what is an opening handshake and what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.web.frames import ACCEPT, CLOSE, PING, PONG, TEXT, Frame, frame, opening
from tests.web.service_rig import ServiceRig
from tests.web.siterig import ELSEWHERE, HERE, Connection


@pytest.fixture
def rig() -> Iterator[ServiceRig]:
    rig = ServiceRig()
    yield rig
    rig.end()


def test_a_handshake_becomes_a_websocket(rig: ServiceRig) -> None:
    client = rig.open("/ws/echo")
    assert client.status == 101
    assert f"Sec-WebSocket-Accept: {ACCEPT.decode()}" in client.head
    client.send(frame(TEXT, b"hello"))
    assert client.frames() == [Frame(TEXT, b"hello")]
    assert rig.shared.answers[101] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"},
        {"Upgrade": "h2c, websocket"},
        {"Sec_WebSocket_Extensions": "x-unheard-of; a=1"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; " + "x" * 2000},
        {"User_Agent": "a browser"},
    ],
)
def test_there_is_more_than_one_way_to_write_it(rig: ServiceRig, headers: dict[str, str]) -> None:
    assert rig.open("/ws/echo", HERE, **headers).status == 101


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upgrade": ""}, 426),
        ({"Connection": "close"}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZZ=="}, 400),
        ({"Sec_WebSocket_Key": "d" * 24}, 400),
    ],
)
def test_what_is_no_handshake_is_answered_as_any_request(
    rig: ServiceRig, headers: dict[str, str], status: int
) -> None:
    client = rig.open("/ws/echo", HERE, **headers)
    assert client.status == status
    assert json.loads(client.body)["error"]
    if status == 426:
        assert "upgrade: websocket" in client.head.lower()


def test_a_key_given_twice_is_none(rig: ServiceRig) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    assert rig.open("/ws/echo", Sec_WebSocket_Key=f"{key}\r\nSec-WebSocket-Key: {key}").status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_methods_open_nothing(rig: ServiceRig, method: str) -> None:
    connection = Connection(rig.site, rig.clock)
    answer = connection.ask("/ws/echo", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    connection.lose()


def test_http_1_0_opens_nothing(rig: ServiceRig) -> None:
    connection = Connection(rig.site, rig.clock)
    connection.send(opening("/ws/echo").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert connection.wire.value().startswith(b"HTTP/1.0 400 ")
    connection.lose()


@pytest.mark.parametrize("path", ["/ws", "/ws/", "/ws/nobody", "/ws/web", "/ws/echo/more", "/ws/%ff"])
def test_what_is_no_service_is_not_found(rig: ServiceRig, path: str) -> None:
    assert rig.open(path).status == 404


@pytest.mark.parametrize(
    ("offered", "chosen"), [("mqtt", "mqtt"), ("soap, wamp", "soap"), ("", None), ("not a token, x", None)]
)
def test_the_first_subprotocol_is_chosen(rig: ServiceRig, offered: str, chosen: str | None) -> None:
    head = rig.open("/ws/echo", Sec_WebSocket_Protocol=offered).head
    assert (f"Sec-WebSocket-Protocol: {chosen}" in head) == (chosen is not None)
    assert head.startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ('Permessage-Deflate; client_max_window_bits="15"', "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
        # What cannot be met, or is not known, is declined; the next offer is what the client takes instead.
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; client_max_window_bits=99", None),
        ("permessage-deflate; client_max_window_bits=abc", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("permessage-deflate; of_the_future=1", None),
        ("permessage-deflate;;", None),
        ("permessage-deflate\xff", None),
        ('permessage-brotli, =;,", ,', None),
        (
            "permessage-deflate; of_the_future, permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
    ],
)
def test_an_offer_to_compress_is_taken_or_declined(rig: ServiceRig, offer: str, answer: str | None) -> None:
    client = rig.open("/ws/echo", Sec_WebSocket_Extensions=offer)
    assert client.status == 101
    given = [line for line in client.head.split("\r\n") if line.startswith("Sec-WebSocket-Extensions")]
    assert given == ([] if answer is None else [f"Sec-WebSocket-Extensions: {answer}"])


def test_what_comes_in_one_read_with_the_handshake_is_not_lost(rig: ServiceRig) -> None:
    connection = Connection(rig.site, rig.clock)
    connection.channel.dataReceived(opening("/ws/echo") + frame(PING, b"early") + frame(TEXT, b"*" * 20_000))
    connection.turn()
    sent = connection.wire.value().partition(b"\r\n\r\n")[2]
    assert sent.startswith(b"\x8a\x05early\x81")
    assert len(sent) == 7 + 4 + 20_000
    assert connection.wire.producerState == "producing"
    wire: Any = connection.wire
    wire.protocol.connectionLost(Failure(ConnectionDone()))


def test_a_handshake_may_come_behind_another_request(rig: ServiceRig) -> None:
    connection = Connection(rig.site, rig.clock)
    fine = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.send(fine * 2 + opening("/ws/echo") + frame(PING, b"early"))
    connection.turn()
    wire: Any = connection.wire
    assert wire.value().count(b"HTTP/1.1 200 ") == 2
    assert wire.value().endswith(b"\x8a\x05early")
    assert wire.producerState == "producing"
    wire.protocol.connectionLost(Failure(ConnectionDone()))


def test_the_time_for_a_head_does_not_end_a_websocket(rig: ServiceRig) -> None:
    client = rig.open("/ws/echo")
    rig.clock.pump([1.0] * 19)
    client.send(frame(PING, b"still here"))
    assert client.frames() == [Frame(PONG, b"still here")]


def test_pages_of_other_origins_open_only_what_they_may() -> None:
    rig = ServiceRig(origins=["https://app.example"])
    other, ours = "https://app.example", "http://localhost"
    for path, origin, status in (
        ("/ws/echo", other, 101),
        ("/ws/echo", ours, 101),
        ("/ws/echo", "https://evil.example", 403),
        ("/ws/facts", other, 403),
        ("/ws/facts", ours, 101),
        ("/ws/canvas", other, 403),
        ("/ws/canvas", ours, 101),
    ):
        assert (path, origin, rig.open(path, Origin=origin).status) == (path, origin, status)
    rig.end()


def test_from_elsewhere_a_token_is_needed(rig: ServiceRig) -> None:
    client = rig.open("/ws/echo", ELSEWHERE, Host="192.0.2.5")
    assert client.status == 403


def test_a_forwarded_address_is_the_clients(rig: ServiceRig) -> None:
    client = rig.open("/ws/echo", X_Forwarded_For="127.0.0.7")
    client.send(frame(TEXT, b"hello"))
    origin = rig.timeline.since(0, 10)[0][3]
    assert origin[:5] == ("echo", "ws://127.0.0.1:8080/ws/echo", "ws", "127.0.0.7", 0)


def test_a_refused_client_gets_its_reason_in_a_close() -> None:
    from netsvc.settings import Limits

    rig = ServiceRig(carried=Limits(max_connections=1))
    first, second = rig.open("/ws/echo"), rig.open("/ws/echo")
    assert first.frames() == []
    assert second.frames() == [Frame(CLOSE, b"\x03\xf5max_connections")]
    rig.end()
