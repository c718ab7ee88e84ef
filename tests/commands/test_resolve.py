"""Names and their addresses, as the command shows them."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from netsvc.commands.complaints import NotDone
from netsvc.commands.naming import Found, look_up
from netsvc.commands.resolve import as_json
from tests.commands.programs import netsvc


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_addresses_come_in_the_systems_order_and_once(
    started_reactor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 80, 0, 0)),
        (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("not asked for", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: rows)
    found = await look_up(started_reactor, "example.org", 80)
    assert found == [Found("IPv6", "2001:db8::1", 80), Found("IPv4", "192.0.2.1", 80)]


@pytest.mark.parametrize("host", ["a" * 64, "\udcff"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_can_be_no_name_is_refused_in_one_line(started_reactor: Any, host: str) -> None:
    with pytest.raises(NotDone) as caught:
        await look_up(started_reactor, host, None)
    assert "\n" not in str(caught.value)


def test_a_port_that_was_not_asked_for_is_null() -> None:
    text = as_json("here", "example.org", None, [Found("IPv4", "192.0.2.1", 0)])
    assert json.loads(text) == {
        "this_host": "here",
        "host": "example.org",
        "service": None,
        "addresses": [{"family": "IPv4", "address": "192.0.2.1", "port": None}],
    }


def test_a_port_that_was_asked_for_is_shown_also_if_it_is_0() -> None:
    text = as_json("here", "example.org", "0", [Found("IPv4", "192.0.2.1", 0)])
    assert json.loads(text)["addresses"][0]["port"] == 0


def test_the_command_shows_addresses_and_this_hosts_name() -> None:
    status, output, errors = netsvc("resolve", "127.0.0.1", "8009")
    assert (status, errors) == (0, "")
    lines = output.decode().splitlines()
    assert lines[0] == f"this host is {socket.gethostname()}"
    assert lines[-1].split() == ["IPv4", "127.0.0.1", "8009"]


def test_as_json_it_can_be_parsed() -> None:
    status, output, _ = netsvc("resolve", "127.0.0.1", "80", "--json", "--udp")
    assert status == 0
    assert json.loads(output)["addresses"] == [{"family": "IPv4", "address": "127.0.0.1", "port": 80}]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonesuch.invalid"], "nonesuch.invalid: the name has no address"),
        (["127.0.0.1", "nonesuch"], "nonesuch: this host knows no such service or port"),
        (["127.0.0.1", "99999"], "99999: this host knows no such service or port"),
        (["a\x1b[31mb"], r"a\x1b[31mb: the name has no address"),
    ],
)
def test_what_is_not_known_is_said_in_one_line(arguments: list[str], complaint: str) -> None:
    status, output, errors = netsvc("resolve", *arguments)
    assert (status, output) == (1, b"")
    assert errors.startswith(f"netsvc: {complaint}")
    assert errors.count("\n") == 1
