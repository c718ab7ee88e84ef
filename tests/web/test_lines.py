"""Lines to paste, for each kind of listener, at the address that reached the page, and safe in a shell."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from netsvc.web.lines import lines_for


def listener(service: str, transport: str, address: str, port: int | None, url: str = "") -> dict[str, Any]:
    url = url or f"{transport}://{address}:{port}"
    return {"service": service, "transport": transport, "address": address, "port": port, "listener": url}


def lines(row: dict[str, Any], page: str = "bench.example", local: str = "192.0.2.5") -> dict[str, str]:
    return {one["program"]: one["line"] for one in lines_for(row, page, local)}


def test_a_tcp_service_has_a_line_for_each_program() -> None:
    found = lines(listener("echo", "tcp", "192.0.2.5", 7))
    assert list(found) == ["nc", "socat", "Python", "PowerShell", "netsvc"]
    assert found["nc"] == "nc bench.example 7"
    assert found["socat"] == "socat - TCP:bench.example:7"
    assert found["netsvc"] == "netsvc talk bench.example:7"
    assert all("bench.example" in line for line in found.values())


@pytest.mark.parametrize(
    ("address", "page", "local", "expected"),
    [
        ("0.0.0.0", "bench.example", "192.0.2.5", "nc bench.example 7"),
        ("::", "::1", "::1", "nc ::1 7"),
        ("127.0.0.1", "localhost", "127.0.0.1", "nc localhost 7"),
        ("127.0.0.1", "localhost", "::1", "nc 127.0.0.1 7"),
        ("192.0.2.9", "bench.example", "192.0.2.5", "nc 192.0.2.9 7"),
    ],
)
def test_a_listener_is_reached_as_the_page_was_where_it_is_there(
    address: str, page: str, local: str, expected: str
) -> None:
    assert lines(listener("echo", "tcp", address, 7), page, local)["nc"] == expected


def test_ipv6_is_written_as_each_program_wants_it() -> None:
    found = lines(listener("echo", "tcp", "::1", 7), "::1", "::1")
    assert found["socat"] == "socat - TCP6:[::1]:7"
    assert found["netsvc"] == "netsvc talk [::1]:7"
    assert "('::1', 7)" in found["Python"]
    assert "AF_INET6" in lines(listener("receiver", "udp", "::1", 7), "::1", "::1")["Python"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("clients", "netsvc clients 127.0.0.1:1 -n me"),
        ("chat", "netsvc chat 127.0.0.1:1 -n me"),
        ("greeting", "netsvc greet 127.0.0.1:1"),
        ("timestamp", "netsvc talk 127.0.0.1:1"),
    ],
)
def test_netsvcs_own_command_is_the_one_for_the_service(service: str, expected: str) -> None:
    assert lines(listener(service, "tcp", "127.0.0.1", 1))["netsvc"] == expected


def test_other_transports_have_lines_of_their_own() -> None:
    assert lines(listener("receiver", "udp", "0.0.0.0", 6667))["netsvc"] == (
        "netsvc send udp://bench.example:6667 hello"
    )
    tls = lines(listener("echo", "tls", "0.0.0.0", 2007))
    assert tls["openssl"] == "openssl s_client -quiet -connect bench.example:2007 -servername bench.example"
    assert "-servername" not in lines(listener("echo", "tls", "127.0.0.1", 2007))["openssl"]
    assert list(lines(listener("echo", "unix-datagram", "/run/e.sock", None))) == ["socat", "netsvc"]
    web = lines(listener("web", "tcp", "0.0.0.0", 8080))
    assert web["curl"] == "curl 'http://bench.example:8080/api/facts?order=newest&limit=10'"
    assert web["netsvc"] == "netsvc tail --at http://bench.example:8080"
    assert lines(listener("web", "tls", "127.0.0.1", 1))["netsvc"] == "netsvc tail --at https://127.0.0.1:1"
    assert "--unix-socket /run/w.sock" in lines(listener("web", "unix", "/run/w.sock", None))["curl"]
    ws = lines(listener("echo", "ws", "0.0.0.0", 8080, "ws://0.0.0.0:8080/ws/echo"))
    assert ws["netsvc"] == "netsvc talk ws://bench.example:8080/ws/echo"
    assert "new WebSocket('ws://bench.example:8080/ws/echo')" in ws["browser"]


def test_a_path_of_any_letters_is_one_word_of_the_shell() -> None:
    path = "/tmp/a b'; rm -rf $HOME"
    found = lines(listener("echo", "unix", path, None))
    assert shlex.split(found["nc"]) == ["nc", "-U", path]
    assert shlex.split(found["socat"]) == ["socat", "-", f"UNIX-CONNECT:{path}"]
    assert shlex.split(found["netsvc"]) == ["netsvc", "talk", f"unix://{path}"]


@pytest.mark.parametrize("transport", ["tcp", "udp", "tls"])
def test_the_python_lines_are_python(transport: str) -> None:
    program, option, code = shlex.split(lines(listener("echo", transport, "127.0.0.1", 1))["Python"])
    assert (program, option) == ("python3", "-c")
    compile(code, "line", "exec")
