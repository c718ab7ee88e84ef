"""Which daemon is asked, and who gets its token."""

from __future__ import annotations

import pytest

from netsvc.commands.address import Address
from netsvc.commands.at import parse_at, token, token_for
from netsvc.commands.complaints import NotDone
from tests.commands.programs import usage


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8080", Address("http", "127.0.0.1", 8080, "")),
        ("localhost:8080", Address("http", "localhost", 8080, "")),
        ("HTTPS://a.example/netsvc/", Address("https", "a.example", 443, "/netsvc")),
        ("unix:///run/netsvc/web.sock", Address("unix", "", None, "/run/netsvc/web.sock")),
    ],
)
def test_a_url_says_where_the_web_service_is(text: str, address: Address) -> None:
    assert parse_at(text) == address


@pytest.mark.parametrize("text", ["", "ws://h:1", "http://", "http://h:0", "unix:relative", "a b"])
def test_what_is_no_url_of_a_web_service_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected http://HOST:PORT, https://HOST:PORT or unix:///PATH"):
        parse_at(text)


def test_a_token_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="NETSVC_TOKEN") as refusal:
        parse_at("http://h:1/?token=secret")
    assert "secret" not in str(refusal.value)


def test_a_url_that_is_none_is_wrong_usage() -> None:
    assert usage("tail", "--at", "no where") == 2
    assert usage("wait", "--at", "ws://h:1") == 2


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETSVC_TOKEN", raising=False)
    assert token() is None
    monkeypatch.setenv("NETSVC_TOKEN", " abc-_.~+/=1\n")
    assert token() == "abc-_.~+/=1"
    monkeypatch.setenv("NETSVC_TOKEN", "a\r\nX: y")
    with pytest.raises(NotDone, match="NETSVC_TOKEN: expected letters"):
        token()


@pytest.mark.parametrize(
    ("address", "gets"),
    [
        (Address("ws", "daemon", 8080, "/ws/echo"), True),
        (Address("ws", "daemon", 8081, "/ws/echo"), False),
        (Address("ws", "other", 8080, "/ws/echo"), False),
        (Address("wss", "daemon", 8080, "/ws/echo"), False),
    ],
)
def test_nobody_but_the_daemon_gets_the_token(
    monkeypatch: pytest.MonkeyPatch, address: Address, gets: bool
) -> None:
    monkeypatch.setenv("NETSVC_URL", "http://daemon:8080")
    monkeypatch.setenv("NETSVC_TOKEN", "abc")
    assert token_for(address) == ("abc" if gets else None)


def test_a_wrong_netsvc_url_is_nobody_s_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSVC_URL", "nonsense nonsense")
    monkeypatch.setenv("NETSVC_TOKEN", "abc")
    assert token_for(Address("ws", "daemon", 8080)) is None
