"""The text of a WHERE: which form it has, what it says, and what it is refused with."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.net.where import (
    SCHEMES,
    EndpointWhere,
    HostWhere,
    PortWhere,
    URLWhere,
    Where,
    endpoint_prefixes,
    host_in_url,
    host_name,
    parse_url,
    parse_where,
)

PREFIXES = frozenset({"tcp", "tcp6", "ssl", "tls", "unix", "systemd", "haproxy"})

GOOD: list[tuple[str, Where]] = [
    ("8009", PortWhere(8009)),
    (":8009", PortWhere(8009)),
    ("0", PortWhere(0)),
    ("65535", PortWhere(65535)),
    ("tcp://127.0.0.1:8009", URLWhere("tcp", "127.0.0.1", 8009, "")),
    ("tcp://127.0.0.1:8009/", URLWhere("tcp", "127.0.0.1", 8009, "")),
    ("TCP://Example.org:1", URLWhere("tcp", "Example.org", 1, "")),
    ("udp://:6667", URLWhere("udp", "", 6667, "")),
    ("udp://:6668?ack=received", URLWhere("udp", "", 6668, "", (("ack", "received"),))),
    ("udp://[::1]:0", URLWhere("udp", "::1", 0, "")),
    ("tcp://[0:0::1]:1", URLWhere("tcp", "::1", 1, "")),
    ("tcp://[fe80::1%25eth0]:1", URLWhere("tcp", "fe80::1%eth0", 1, "")),
    ("tcp://[fe80::1%eth0]:1", URLWhere("tcp", "fe80::1%eth0", 1, "")),
    ("unix:///run/netsvc/echo.sock", URLWhere("unix", "", None, "/run/netsvc/echo.sock")),
    ("unix:///a%20b?mode=660", URLWhere("unix", "", None, "/a b", (("mode", "660"),))),
    ("unix-datagram:///path", URLWhere("unix-datagram", "", None, "/path")),
    (
        "tls://:2007?certificate=server.pem&key=server.key&client-ca=ca.pem",
        URLWhere(
            "tls",
            "",
            2007,
            "",
            (("certificate", "server.pem"), ("key", "server.key"), ("client_ca", "ca.pem")),
        ),
    ),
    ("tls://:1?ciphers=ECDHE+AESGCM:x", URLWhere("tls", "", 1, "", (("ciphers", "ECDHE+AESGCM:x"),))),
    ("ws://:9001/path?origin=*", URLWhere("ws", "", 9001, "/path", (("origin", "*"),))),
    ("wss://h:9001", URLWhere("wss", "h", 9001, "")),
    ("systemd://Echo", URLWhere("systemd", "Echo", None, "")),
    ("systemd://echo%401.socket", URLWhere("systemd", "echo@1.socket", None, "")),
    ("tcp://:9999?text=Hello", URLWhere("tcp", "", 9999, "", (("text", "Hello"),))),
    ("tcp://:9?text=a b%0D%0A%3D%26", URLWhere("tcp", "", 9, "", (("text", "a b\r\n=&"),))),
    ("tcp://:9?text=", URLWhere("tcp", "", 9, "", (("text", ""),))),
    ("tcp://:9?text=a=b", URLWhere("tcp", "", 9, "", (("text", "a=b"),))),
    ("tcp://:9?", URLWhere("tcp", "", 9, "")),
    ("tcp:8009", EndpointWhere("tcp:8009", "tcp")),
    (r"tcp:8009:interface=\:\:", EndpointWhere(r"tcp:8009:interface=\:\:", "tcp")),
    ("unix:/run/a.sock", EndpointWhere("unix:/run/a.sock", "unix")),
    ("haproxy:tcp:8009", EndpointWhere("haproxy:tcp:8009", "haproxy")),
    (r"tls:x=http\://a", EndpointWhere(r"tls:x=http\://a", "tls")),
    ("localhost:8009", HostWhere("localhost", 8009)),
    ("127.0.0.1:8009", HostWhere("127.0.0.1", 8009)),
    ("[2001:db8::1]:8009", HostWhere("2001:db8::1", 8009)),
    ("[fe80::1%eth0]:8009", HostWhere("fe80::1%eth0", 8009)),
    ("udp:6667", HostWhere("udp", 6667)),
    ("my_host.example.:1", HostWhere("my_host.example.", 1)),
]


@pytest.mark.parametrize(("text", "where"), GOOD, ids=[text for text, _ in GOOD])
def test_every_form_is_read(text: str, where: Where) -> None:
    assert parse_where(text, PREFIXES) == where


@pytest.mark.parametrize(("text", "where"), GOOD, ids=[text for text, _ in GOOD])
def test_a_url_is_known_without_what_else_there_is(text: str, where: Where) -> None:
    assert parse_url(text) == (where if isinstance(where, URLWhere) else None)


def test_a_url_that_cannot_be_used_is_refused_without_that_too() -> None:
    with pytest.raises(ValueError, match=r"^'sytemd://echo': unknown scheme sytemd"):
        parse_url("sytemd://echo")


@pytest.mark.parametrize("where", [where for _, where in GOOD], ids=str)
def test_every_form_is_written_as_it_is_read(where: Where) -> None:
    assert parse_where(str(where), PREFIXES) == where


BAD = [
    ("", "expected a port"),
    ("localhost", "expected a port"),
    ("99999", "is no port; expected 0 to 65535"),
    (":65536", "is no port"),
    ("9" * 5000, "is no port"),
    ("٨٠٠٩", "expected a port"),
    ("host:٨٠", "is no port"),
    ("host:", "is no port"),
    ("host:-1", "is no port"),
    ("host: 1", "is no port"),
    (" 8009", "expected a port"),
    ("8009\n", "cannot be printed"),
    ("tcp://127.0.0.1:80\t09", "cannot be printed"),
    ("tcp://:1?text=\ud800", "cannot be printed"),
    ("::1:8009", "needs brackets"),
    (":::8009", "needs brackets"),
    ("tcp://::1:8009", "needs brackets"),
    ("[::1]", "expected a port"),
    ("[::1]8009", "in brackets and a port"),
    ("[::1:8009", "in brackets and a port"),
    ("[127.0.0.1]:8009", "no IPv6 address"),
    ("[]:8009", "no IPv6 address"),
    ("[::1%]:8009", "no interface behind its %"),
    ("[::1%a b]:8009", "no interface behind its %"),
    ("0:8009", "no IPv4 address"),
    ("127.1:8009", "no IPv4 address"),
    ("0x7f.1:8009", "no IPv4 address"),
    ("1.2.3.4.:8009", "no IPv4 address"),
    ("tcp://256.0.0.1:1", "no IPv4 address"),
    ("*:8009", "no host"),
    ("a b:8009", "no host"),
    ("tcp://a%20b:8009", "no host"),
    ("http://localhost:80", "unknown scheme http; expected one of tcp, udp, tls, unix"),
    ("tcp://127.0.0.1", "port is missing"),
    ("tcp://", "port is missing"),
    ("tcp://:", "is no port"),
    ("tcp://user@host:1", "no user@"),
    ("tcp://:1#x", "no #fragment"),
    ("tcp://:1/path", "has no path"),
    ("tcp://:1?a", "expected key=value"),
    ("tcp://:1?a=1&&b=2", "expected key=value"),
    ("tcp://:1?=1", "expected key=value"),
    ("tcp://:1?a=1&a=2", "a is given twice"),
    ("tls://:1?client-ca=1&client_ca=2", "client_ca is given twice"),
    ("tcp://:1?a=%zz", "two hexadecimal digits"),
    ("tcp://:1?a=%", "two hexadecimal digits"),
    ("tcp://:1?a=%ff", "not UTF-8"),
    ("unix://run/a.sock", "absolute path behind three slashes"),
    ("unix://", "absolute path behind three slashes"),
    ("unix:///", "names a directory"),
    ("unix:///run/", "names a directory"),
    ("unix:///a%00b", "cannot be printed"),
    ("unix://@name", "abstract sockets"),
    ("systemd://", "systemd://NAME"),
    ("systemd://a/b", "systemd://NAME"),
    ("systemd://a:1", "systemd://NAME"),
    ("tcp:", "nothing follows tcp:"),
]


@pytest.mark.parametrize(("text", "reason"), BAD, ids=[ascii(text)[:40] for text, _ in BAD])
def test_what_is_wrong_is_said_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_where(text, PREFIXES)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_text_itself_is_named_and_not_at_length() -> None:
    with pytest.raises(ValueError, match=r"^'nonsense': expected a port \(8009\)"):
        parse_where("nonsense", PREFIXES)
    with pytest.raises(ValueError) as caught:
        parse_where("x" * 100_000, PREFIXES)
    assert len(str(caught.value)) < 500


def test_a_prefix_that_is_not_installed_is_a_host() -> None:
    assert parse_where("tcp:8009", frozenset()) == HostWhere("tcp", 8009)


def test_installed_prefixes_include_builtin_ones_and_plugins() -> None:
    assert endpoint_prefixes() >= PREFIXES


def test_a_scope_in_a_url_is_written_with_an_escaped_percent_sign() -> None:
    assert host_in_url("fe80::1%eth0") == "[fe80::1%25eth0]"
    assert host_in_url("127.0.0.1") == "127.0.0.1"
    assert parse_where("tcp://[fe80::1%2525]:1", PREFIXES) == URLWhere("tcp", "fe80::1%25", 1, "")


def test_a_host_name_is_no_shorthand_for_an_address() -> None:
    assert host_name("localhost") == "localhost"
    with pytest.raises(ValueError, match="no IPv4 address"):
        host_name("0")


def _examples() -> list[str]:
    lines = (Path(__file__).parents[2] / "docs" / "where.md").read_text().splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith("    twistd -n netsvc ")]
    return [word for command in commands for word in command[3:] if not word.startswith("--")]


@pytest.mark.parametrize("text", _examples())
def test_what_the_documentation_shows_is_read(text: str) -> None:
    assert parse_where(text, PREFIXES)


def _holds(text: str) -> None:
    try:
        where = parse_where(text, PREFIXES)
    except ValueError as error:
        reason = str(error)
    else:
        _survives_being_written(where)
        return
    assert reason.isprintable()


def _survives_being_written(where: Where) -> None:
    again = str(where)
    assert again.isprintable()
    assert parse_where(again, PREFIXES) == where
    port = getattr(where, "port", None)
    assert port is None or 0 <= port <= 65535


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_any_text_is_a_where_or_a_value_error(text: str) -> None:
    _holds(text)


@settings(deadline=None, max_examples=500)
@given(
    st.sampled_from((*SCHEMES, "http")),
    st.text(alphabet="aZ09.:[]%@-_~f5 é", max_size=12),
    st.sampled_from(("", ":", ":0", ":8009", ":65536")),
    st.text(alphabet="/a.%20é?#&=", max_size=8),
    st.lists(st.tuples(st.sampled_from(("a", "b-c", "b_c")), st.text(alphabet="a%2F+ =&é")), max_size=3),
)
def test_any_url_is_a_where_or_a_value_error(
    scheme: str, host: str, port: str, path: str, query: list[tuple[str, str]]
) -> None:
    pairs = "&".join(f"{key}={value}" for key, value in query)
    _holds(f"{scheme}://{host}{port}{path}?{pairs}")


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="aZ09.:[]%-_ é\\=", max_size=20), st.sampled_from(("", ":0", ":8009")))
def test_any_host_or_description_is_a_where_or_a_value_error(host: str, port: str) -> None:
    _holds(host + port)


@settings(deadline=None, max_examples=200)
@given(st.text(), st.sampled_from(("tcp", "ws")))
def test_any_value_of_a_query_survives_being_written(value: str, scheme: str) -> None:
    where = URLWhere(scheme, "", 1, "", (("text", value),))
    try:
        text = str(where)
    except UnicodeEncodeError:
        return
    assert parse_where(text, PREFIXES) == where
