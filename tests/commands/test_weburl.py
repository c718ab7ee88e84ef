"""URLs of the web, and the addresses that are made of them."""

from __future__ import annotations

import pytest

from netsvc.commands.address import SERVICE_SCHEMES, Address, parse_address
from netsvc.commands.weburl import split_web_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws://localhost", ("ws", "localhost", 80, "")),
        ("WSS://a.example/", ("wss", "a.example", 443, "/")),
        ("ws://127.0.0.1:8080/ws/echo", ("ws", "127.0.0.1", 8080, "/ws/echo")),
        ("ws://[2001:DB8::1]:9/a%20b?c=d/?e", ("ws", "2001:db8::1", 9, "/a%20b?c=d/?e")),
        ("ws://[fe80::1%eth0]:9", ("ws", "fe80::1%eth0", 9, "")),
        ("http://some_host:1?x", ("http", "some_host", 1, "/?x")),
    ],
)
def test_a_url_is_taken_apart(text: str, expected: tuple[str, str, int, str]) -> None:
    assert split_web_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "ftp://localhost/",
        "ws://",
        "ws://:80",
        "ws://user@localhost/",
        "ws://localhost:0",
        "ws://localhost:65536",
        "ws://localhost/#there",
        "ws://localhost/a b",
        "ws://localhost/\r\nX: y",
        "ws://localhost\n",
        "ws://[::1",
        "ws://[::1::]/",
        "ws://höst/",
    ],
)
def test_what_is_not_plainly_a_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_web_url(text)


def test_an_address_of_websocket_has_messages_and_perhaps_tls() -> None:
    plain, secure = (parse_address(f"{scheme}://h:1/p", SERVICE_SCHEMES) for scheme in ("ws", "wss"))
    assert (plain.is_websocket, plain.has_messages, plain.is_secure, plain.is_datagram) == (
        True,
        True,
        False,
        False,
    )
    assert (secure.is_websocket, secure.is_secure) == (True, True)


def test_websocket_is_refused_where_it_cannot_be_used() -> None:
    with pytest.raises(ValueError, match="no address here; expected HOST:PORT, tcp://HOST:PORT"):
        parse_address("ws://h:1/p")


@pytest.mark.parametrize(
    ("address", "authority"),
    [
        (Address("ws", "h", 80, ""), "h"),
        (Address("ws", "h", 443, ""), "h:443"),
        (Address("https", "::1", 443, ""), "[::1]"),
        (Address("http", "fe80::1%eth0", 8080, ""), "[fe80::1]:8080"),
        (Address("unix", "", None, "/run/web"), "localhost"),
    ],
)
def test_the_authority_is_what_a_host_header_has(address: Address, authority: str) -> None:
    assert address.authority == authority


def test_a_secret_in_a_query_is_not_shown() -> None:
    assert str(parse_address("ws://h:1/ws/echo?token=secret", SERVICE_SCHEMES)) == "ws://h:1/ws/echo"
