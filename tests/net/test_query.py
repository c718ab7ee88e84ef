"""What the query of a URL gives one listener of its own."""

from __future__ import annotations

import pytest

from netsvc.net.query import Own, read_query
from netsvc.net.where import URLWhere, parse_where
from netsvc.settings import TLS, Limits, Networks, Setting

DEFINITIONS = (
    Setting("text", str, "hi", reason="what is sent"),
    Setting("ack", str, "off", choices=("off", "received"), reason="whether to answer"),
    Setting("times", int, 1, minimum=1, maximum=9, reason="how often"),
)
BASE = Own({"text": "hi", "ack": "off", "times": 2}, Limits(idle_timeout=7.0))


def read(text: str, tls: TLS | None = None) -> Own:
    where = parse_where(text, frozenset())
    assert isinstance(where, URLWhere)
    return read_query(where, DEFINITIONS, BASE, tls or TLS())


def test_without_a_query_everything_is_as_it_was() -> None:
    assert read("tcp://:1") == BASE
    assert (BASE.mode, BASE.backlog, BASE.proxy, BASE.tls) == (0o600, 65_535, "off", None)


def test_a_key_may_be_the_transports_the_services_or_a_limit() -> None:
    own = read("tcp://:1?backlog=5&proxy=required&text=Hello&times=3&per-address=4&deny=192.0.2.0/24,::1")
    assert (own.backlog, own.proxy) == (5, "required")
    assert own.settings == {"text": "Hello", "ack": "off", "times": 3}
    assert own.limits == Limits(idle_timeout=7.0, per_address=4, deny=Networks.of("192.0.2.0/24", "::1"))


def test_the_base_is_not_changed() -> None:
    read("tcp://:1?text=other")
    assert BASE.settings["text"] == "hi"


@pytest.mark.parametrize(("text", "mode"), [("600", 0o600), ("0660", 0o660), ("777", 0o777), ("0", 0)])
def test_mode_is_octal(text: str, mode: int) -> None:
    assert read(f"unix:///a?mode={text}").mode == mode
    assert read(f"unix-datagram:///a?mode={text}").mode == mode


@pytest.mark.parametrize("text", ["", "8", "1777", "0o60", "-1", "rw", "00660", "٦٦٠"])
def test_mode_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"mode=.*: expected octal permissions"):
        read(f"unix:///a?mode={text}")


def test_tls_without_a_query_uses_the_table() -> None:
    table = TLS(certificate="c", key="k", client_ca="ca")
    assert read("tls://:1", table).tls == table


def test_a_certificate_of_its_own_comes_with_its_own_key_but_the_tables_client_ca() -> None:
    table = TLS(certificate="c", key="k", client_ca="ca")
    assert read("tls://:1?certificate=own", table).tls == TLS(certificate="own", client_ca="ca")
    assert read("tls://:1?certificate=own&key=mine&client-ca=", table).tls == TLS("own", "mine")


def test_client_ca_alone_keeps_the_tables_certificate() -> None:
    table = TLS(certificate="c", key="k")
    assert read("tls://:1?client-ca=ca", table).tls == TLS("c", "k", "ca")


def test_tls_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match=r"expected \?certificate=FILE, or certificate in \[tls\]"):
        read("tls://:1?key=k")


def test_inherited_sockets_speak_tls_when_they_are_given_something_of_it() -> None:
    table = TLS(certificate="c", key="k")
    assert read("systemd://echo", table).tls is None
    assert read("systemd://echo?certificate=own", table).tls == TLS("own")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tcp://:1?certificate=c", "certificate is for TLS; use tls:// instead of tcp://"),
        ("unix:///a?client-ca=c", "client-ca is for TLS; use tls:// instead of unix://"),
        ("udp://:1?proxy=required", "datagrams have no PROXY header"),
        ("unix-datagram:///a?proxy=off", "datagrams have no PROXY header"),
        ("udp://:1?backlog=1", "udp:// has no backlog; it is for tcp://, tls://, ws://, wss://, unix://"),
        ("tcp://:1?mode=600", "tcp:// has no mode; it is for unix://, unix-datagram://"),
        ("tcp://:1?proxy=yes", "proxy='yes': expected one of off, optional, required"),
        ("tcp://:1?backlog=0", "backlog='0': expected a whole number of connections from 1"),
        ("tcp://:1?times=10", "times='10': expected a whole number from 1 to 9"),
        ("tcp://:1?deny=x", "deny='x': expected a list of networks"),
        ("tcp://:1?idle-timeot=1", "no setting idle-timeot; did you mean idle_timeout?"),
        ("tcp://:1?zzzz=1", "no setting zzzz; expected one of backlog, proxy, text, ack, times, max_conn"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_expected(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
