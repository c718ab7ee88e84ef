"""What a WHERE asks to open, for which service, on which machine; nothing is opened here."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.net.binding import Binding, bindings_of, loopback_interfaces
from netsvc.net.machine import Inherited, Machine
from netsvc.net.where import parse_where
from netsvc.service import NetService, Setting
from netsvc.settings import TLS, Limits, Net, SettingError

PREFIXES = frozenset({"tcp", "ssl", "unix", "haproxy"})
BOTH = frozenset({"stream", "datagram"})

ECHO = NetService(
    name="echo",
    summary="",
    stream="a.b",
    datagram="a.c",
    settings=[Setting("text", str, "hi", reason="what is sent")],
)
STREAM = NetService(name="greeting", summary="", stream="a.b")
DATAGRAM = NetService(name="sink", summary="", datagram="a.b")
CANVAS = NetService(name="canvas", summary="", websocket="a.b")

NAMES: Mapping[str, Sequence[str]] = {
    "debian": ["127.0.1.1"],
    "published": ["192.0.2.7", "fd00::7"],
    "localhost": ["::1", "127.0.0.1"],
    "two": ["192.0.2.1", "2001:db8::1", "192.0.2.1"],
    "nothing": [],
    "mapped": ["::ffff:192.0.2.1"],
}
INHERITED: Mapping[str, Sequence[Inherited]] = {
    "echo": [
        Inherited(3, "stream", socket.AF_INET, "127.0.0.1", 7),
        Inherited(4, "datagram", socket.AF_INET6, "::", 7),
        Inherited(5, "stream", socket.AF_UNIX, "/run/echo", None),
        Inherited(6, "datagram", socket.AF_UNIX, "@echo", None),
    ],
    "web": [Inherited(7, "stream", socket.AF_INET6, "::1", 80)],
}


def resolve(name: str) -> Sequence[str]:
    if name not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return NAMES[name]


def inherited(name: str) -> Sequence[Inherited]:
    if name not in INHERITED:
        raise ValueError(f"no inherited socket is named {name}; there is echo, web")
    return INHERITED[name]


def machine(name: str = "unknown") -> Machine:
    return Machine(name, resolve, inherited)


def bindings(text: str, service: NetService = ECHO, **other: Any) -> tuple[Binding, ...]:
    arguments: dict[str, Any] = {
        "transports": BOTH,
        "settings": {"text": "hi"},
        "limits": Limits(),
        "net": Net(),
        "tls": TLS(),
        "origin": "--echo",
        "machine": machine(),
    }
    return bindings_of(parse_where(text, PREFIXES), service=service, **{**arguments, **other})


def urls(text: str, service: NetService = ECHO, **other: Any) -> list[str]:
    return [one.url for one in bindings(text, service, **other)]


def refused(text: str, service: NetService = ECHO, **other: Any) -> str:
    with pytest.raises(SettingError) as caught:
        bindings(text, service, **other)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Interfaces


def test_a_port_is_all_of_the_services_transports_on_loopback() -> None:
    assert urls("8009") == [
        "tcp://127.0.0.1:8009",
        "tcp://[::1]:8009",
        "udp://127.0.0.1:8009",
        "udp://[::1]:8009",
    ]
    assert all(one.optional for one in bindings("8009"))


def test_the_option_can_allow_fewer_transports() -> None:
    assert urls("1", transports=frozenset({"stream"})) == ["tcp://127.0.0.1:1", "tcp://[::1]:1"]
    assert urls("1", STREAM) == ["tcp://127.0.0.1:1", "tcp://[::1]:1"]


def test_websocket_has_a_path_and_origins() -> None:
    where = "ws://192.0.2.1:9001/a%20path?origin=https://a.example,*&text=x&idle-timeout=7&proxy=optional"
    (one,) = bindings(where)
    assert (one.kind, one.transport, one.url) == ("stream", "ws", "ws://192.0.2.1:9001/a%20path")
    assert (one.path, one.origins) == ("/a path", ("https://a.example", "*"))
    assert (one.settings["text"], one.limits.idle_timeout, one.proxy) == ("x", 7.0, "optional")
    (plain,) = bindings("ws://192.0.2.1:9001")
    assert (plain.url, plain.path, plain.origins, plain.tls) == ("ws://192.0.2.1:9001", "", (), None)


def test_websocket_over_tls_has_a_certificate() -> None:
    (one,) = bindings("wss://[2001:db8::1]:9001/?certificate=c.pem&key=k.pem", CANVAS)
    assert (one.transport, one.url) == ("wss", "wss://[2001:db8::1]:9001/")
    assert one.tls is not None
    assert (one.tls.certificate, one.tls.key) == ("c.pem", "k.pem")


def test_an_option_for_datagrams_alone_opens_no_websocket() -> None:
    with pytest.raises(SettingError, match="is for datagram sockets alone"):
        bindings("ws://:1", transports=frozenset({"datagram"}))


def test_the_loopback_address_of_the_machines_name_is_a_default_interface() -> None:
    assert loopback_interfaces(machine("debian")) == ["127.0.0.1", "::1", "127.0.1.1"]


@pytest.mark.parametrize("name", ["unknown", "published", "localhost", "nothing"])
def test_an_address_of_the_machines_name_beyond_loopback_is_none(name: str) -> None:
    assert loopback_interfaces(machine(name)) == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("interface", "addresses"),
    [
        (["192.0.2.1"], ["192.0.2.1"]),
        (["0.0.0.0"], ["0.0.0.0"]),
        (["::"], ["[::]"]),
        (["::", "0.0.0.0", "127.0.0.1", "::1"], ["[::]"]),
        (["127.0.0.1", "0.0.0.0", "::1"], ["0.0.0.0", "[::1]"]),
        (["two", "192.0.2.1"], ["192.0.2.1", "[2001:db8::1]"]),
        (["fe80::1%eth0"], ["[fe80::1%25eth0]"]),
        (["::ffff:192.0.2.1"], ["192.0.2.1"]),
    ],
)
def test_interfaces_replace_the_default_ones(interface: list[str], addresses: list[str]) -> None:
    expected = [f"tcp://{address}:8009" for address in addresses]
    assert urls("8009", STREAM, net=Net(interface=interface)) == expected
    assert urls("tcp://:8009", STREAM, net=Net(interface=interface)) == expected
    assert not any(one.optional for one in bindings("8009", STREAM, net=Net(interface=interface)))


@pytest.mark.parametrize(
    "interface", ["0", "nowhere", "127.0.0.1:80", "", "[::1", "fe80::1%e\x1b[2J", "fe80::1%\ufeff"]
)
def test_an_interface_that_is_none_is_refused(interface: str) -> None:
    assert f"--echo 8009: interface {interface!r}: " in refused("8009", net=Net(interface=[interface]))


def test_a_host_is_every_address_that_it_has() -> None:
    assert urls("two:1", STREAM) == ["tcp://192.0.2.1:1", "tcp://[2001:db8::1]:1"]
    assert urls("udp://two:1") == ["udp://192.0.2.1:1", "udp://[2001:db8::1]:1"]
    assert urls("mapped:1", STREAM) == ["tcp://192.0.2.1:1"]
    assert urls("[2001:db8::1]:8009", STREAM) == ["tcp://[2001:db8::1]:8009"]


def test_only_loopback_that_comes_from_a_name_may_be_lacking() -> None:
    assert [one.optional for one in bindings("localhost:1", STREAM)] == [True, True]
    assert [one.optional for one in bindings("two:1", STREAM)] == [False, False]
    assert [one.optional for one in bindings("[::1]:1", STREAM)] == [False]


def test_a_host_without_an_address_is_refused() -> None:
    assert refused("nope:1") == "--echo nope:1: no address of nope is known (Name or service not known)"
    assert refused("udp:6667").endswith("; for a URL write udp://")
    assert "nothing has no IP address" in refused("nothing:1")


# URLs


def test_a_url_is_one_transport() -> None:
    (one,) = bindings("udp://127.0.0.1:7")
    assert (one.kind, one.transport, one.host, one.port) == ("datagram", "udp", "127.0.0.1", 7)
    assert (one.family, one.mode, one.backlog, one.proxy, one.tls) == (socket.AF_INET, None, 0, "off", None)
    (one,) = bindings("tcp://[::1]:7")
    assert (one.kind, one.transport, one.family) == ("stream", "tcp", socket.AF_INET6)
    assert one.backlog >= 4096


def test_a_unix_description_is_a_socket_of_ours_with_twisteds_mode() -> None:
    (open_to_all,) = bindings("unix:/run/a\\:b.sock")
    assert (open_to_all.transport, open_to_all.host, open_to_all.mode) == ("unix", "/run/a:b.sock", 0o666)
    (strict,) = bindings("unix:/run/a.sock:mode=600:backlog=7:lockfile=0")
    assert (strict.mode, strict.backlog) == (0o600, 7)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("unix:/a:mode=rw", "expected an octal mode"),
        ("unix:/a:wantPID=1", "expected unix:PATH, mode= or backlog=; got wantPID"),
        ("unix:mode=600", "it has no path"),
        ("unix:/a:/b", "too many parts"),
    ],
)
def test_a_unix_description_that_cannot_be_read_is_refused(where: str, message: str) -> None:
    assert message in refused(where)


def test_a_unix_url_is_a_path_with_permissions_for_the_owner_alone() -> None:
    (stream,) = bindings("unix:///run/a%20b.sock")
    assert (stream.kind, stream.transport, stream.host, stream.port, stream.mode) == (
        "stream",
        "unix",
        "/run/a b.sock",
        None,
        0o600,
    )
    assert stream.url == "unix:///run/a%20b.sock"
    (datagram,) = bindings("unix-datagram:///run/a?mode=660")
    assert (datagram.kind, datagram.url, datagram.mode) == ("datagram", "unix-datagram:///run/a", 0o660)


def test_a_path_may_be_as_long_as_the_system_allows() -> None:
    assert bindings("unix:///" + "a" * 106)
    assert "the path has 108 bytes; a UNIX socket's has at most 107" in refused("unix:///" + "a" * 107)
    assert "has 109 bytes" in refused("unix:///" + "é" * 54)


def test_a_query_holds_for_its_listener() -> None:
    for one in bindings("tcp://:7?text=Hello&per-address=3&proxy=optional&backlog=9"):
        assert one.settings == {"text": "Hello"}
        assert (one.limits.per_address, one.proxy, one.backlog) == (3, "optional", 9)
    assert bindings("tcp://:7")[0].limits == Limits()


def test_tls_takes_its_certificate_from_the_query_or_the_table() -> None:
    table = TLS(certificate="c")
    assert {one.tls for one in bindings("tls://:7", tls=table)} == {table}
    assert bindings("tls://:7?certificate=own")[0].tls == TLS("own")
    assert bindings("tls://:7?certificate=own")[0].url == "tls://127.0.0.1:7"
    assert bindings("tcp://:7", tls=table)[0].tls is None
    assert refused("tls://:7").startswith("--echo tls://:7: TLS needs a certificate; expected")


@pytest.mark.parametrize(
    ("text", "service", "reason"),
    [
        ("udp://:1", STREAM, "greeting has no datagram side; expected tcp://, tls:// or unix://"),
        ("unix-datagram:///a", STREAM, "greeting has no datagram side"),
        ("tcp://:1", DATAGRAM, "sink has no stream side; expected udp:// or unix-datagram://"),
        ("tls://:1", DATAGRAM, "sink has no stream side"),
        ("unix:///a", DATAGRAM, "sink has no stream side"),
        ("tcp:1", DATAGRAM, "sink has no stream side"),
        ("ws://:1", DATAGRAM, "sink has no stream side; expected udp://"),
        ("wss://:1/x", ECHO, "TLS needs a certificate"),
        ("ws://:1?certificate=c", ECHO, "certificate is for TLS; use wss:// instead of ws://"),
        ("tcp://:1?origin=*", ECHO, "tcp:// has no origin; it is for ws://, wss://"),
        ("1", CANVAS, "canvas is for WebSocket alone; expected ws:// or wss://"),
        ("tcp://:1", CANVAS, "canvas is for WebSocket alone; expected ws:// or wss://"),
        ("udp://:1?proxy=required", ECHO, "datagrams have no PROXY header"),
        ("tcp://:1?certificate=c", ECHO, "use tls:// instead"),
        ("tcp://:1?tex=c", ECHO, "no setting tex; did you mean text?"),
    ],
)
def test_what_cannot_be_is_refused(text: str, service: NetService, reason: str) -> None:
    message = refused(text, service)
    assert message.startswith(f"--echo {text}: ")
    assert reason in message


def test_an_option_for_one_side_refuses_the_other() -> None:
    streams: dict[str, Any] = {"transports": frozenset({"stream"}), "origin": "--tcp"}
    assert refused("udp://:1", **streams) == ("--tcp udp://:1: --tcp is for stream sockets alone; use --echo")
    assert "sink has no stream side" in refused("1", DATAGRAM, **streams)


# Endpoints


def test_an_endpoint_description_is_one_binding() -> None:
    (one,) = bindings(r"tcp:8009:interface=\:\:")
    assert (one.kind, one.transport, one.port, one.proxy) == ("stream", "endpoint", None, "off")
    assert one.url == one.description == r"tcp:8009:interface=\:\:"


def test_haproxy_is_the_endpoint_behind_it_and_a_header_that_must_come() -> None:
    (one,) = bindings(r"haproxy:tcp:8009:interface=\:\:")
    assert (one.description, one.proxy) == (r"tcp:8009:interface=\:\:", "required")
    assert one.url == r"haproxy:tcp:8009:interface=\:\:"
    assert "expected one haproxy:" in refused("haproxy:haproxy:tcp:1")


# Inherited sockets


def test_every_inherited_socket_of_a_name_is_a_binding() -> None:
    found = bindings("systemd://echo")
    assert [(one.kind, one.url, one.fd) for one in found] == [
        ("stream", "tcp://127.0.0.1:7", 3),
        ("datagram", "udp://[::]:7", 4),
        ("stream", "unix:///run/echo", 5),
        ("datagram", "unix-datagram://@echo", 6),
    ]
    assert not any(one.optional for one in found)


def test_inherited_sockets_take_a_query() -> None:
    (one,) = bindings("systemd://web?proxy=required&certificate=c&text=Hello&max-connections=2")
    assert (one.transport, one.proxy, one.tls, one.url) == ("tls", "required", TLS("c"), "tls://[::1]:80")
    assert (one.settings, one.limits.max_connections) == ({"text": "Hello"}, 2)


def test_inherited_sockets_that_do_not_fit_are_refused() -> None:
    assert "greeting has no datagram side" in refused("systemd://echo", STREAM)
    assert "sink has no stream side" in refused("systemd://web", DATAGRAM)
    assert "no inherited socket is named Echo; there is echo, web" in refused("systemd://Echo")
    assert "datagrams have no PROXY header" in refused("systemd://echo?proxy=required")
    assert "TLS is for streams" in refused("systemd://echo?certificate=c")


# Any WHERE


@given(
    st.one_of(
        st.text(alphabet="0189:.[]ax%", max_size=12),
        st.builds(
            "{}://{}:{}?{}".format,
            st.sampled_from(("tcp", "udp", "tls", "systemd", "ws")),
            st.sampled_from(("", "localhost", "two", "nope", "echo", "[::1]")),
            st.integers(0, 65536),
            st.sampled_from(("", "text=a", "proxy=off", "certificate=c", "nope=1", "log_rate=nan")),
        ),
    ),
    st.sampled_from((ECHO, STREAM, DATAGRAM)),
)
def test_any_where_gives_bindings_with_names_of_their_own_or_one_line(text: str, service: NetService) -> None:
    try:
        parse_where(text, PREFIXES)
    except ValueError:
        return
    try:
        found = bindings(text, service)
    except SettingError as error:
        reason = str(error)
    else:
        assert found
        assert len({one.url for one in found}) == len(found) == len(set(found))
        return
    assert reason.startswith("--echo ")
    assert reason.isprintable()
