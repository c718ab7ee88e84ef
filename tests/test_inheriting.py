"""Whose the sockets are that systemd passed, and what of the file is not for them."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from netsvc.configuration import DEFAULT_SERVICES, CommandLine, Configuration, Listen, configuration_of
from netsvc.registry import discover
from netsvc.settings import SettingError

REGISTRY = discover()


def configured(text: str = "", **command_line: Any) -> Configuration:
    """The configuration that a file and a command line make."""
    return configuration_of(CommandLine(**command_line), REGISTRY, tomllib.loads(text), "a.toml")


def places(configuration: Configuration) -> dict[str, list[str]]:
    """Where each service listens."""
    return {one.service.name: [each.where for each in one.listen] for one in configuration.services}


def test_every_inherited_socket_is_its_services_unless_an_option_names_that() -> None:
    assert places(configured(inherited=("echo", "web"))) == {
        "echo": ["systemd://echo"],
        "web": ["systemd://web"],
    }
    found = configured("[chat]\nlisten = 7\n[echo]\nlisten = 8", inherited=("echo", "timestamp"), tcp=("9",))
    assert places(found) == {"timestamp": ["9"], "echo": ["systemd://echo"], "chat": ["7"]}
    (echo,) = configured(inherited=("echo",)).services
    assert echo.listen == (Listen("systemd://echo", "--inherited", frozenset({"stream", "datagram"})),)


@pytest.mark.parametrize(
    ("text", "sockets", "expected"),
    [
        ("[echo]\nlisten = 'systemd://echo?key=k'", ["echo"], {"echo": ["systemd://echo?key=k"]}),
        ("[echo]\nlisten = 'SystemD://ech%6F?key=k'", ["echo"], {"echo": ["SystemD://ech%6F?key=k"]}),
        ("[echo]\nlisten = ['tls://:9', 'systemd://echo', 8]", ["echo"], {"echo": ["systemd://echo"]}),
        (
            "[echo]\nlisten = ['systemd://echo', 'systemd://more?key=k']",
            ["more", "echo"],
            {"echo": ["systemd://echo", "systemd://more?key=k"]},
        ),
        (
            "[echo]\nlisten = 'systemd://more?proxy=required'",
            ["more", "echo"],
            {"echo": ["systemd://echo", "systemd://more?proxy=required"]},
        ),
        ("[echo]\nlisten = ['systemd://more', 7]", ["more"], {"echo": ["systemd://more"]}),
        ("[chat]\nlisten = 'systemd://echo'", ["echo"], {"chat": ["systemd://echo"]}),
        ("[service.x]\nstream = 'a.B'\nlisten = 'systemd://x?key=k'", ["x"], {"x": ["systemd://x?key=k"]}),
        ("[echo]\nlisten = []", ["echo"], {"echo": ["systemd://echo"]}),
    ],
)
def test_what_the_file_says_of_an_inherited_socket_holds_in_place_of_its_name(
    text: str, sockets: list[str], expected: dict[str, list[str]]
) -> None:
    assert places(configured(text, inherited=tuple(sockets))) == expected


def test_an_option_names_an_inherited_socket_too() -> None:
    options = {"listen": {"chat": ("systemd://echo",)}, "inherited": ("echo",)}
    assert places(configured("", **options)) == {"chat": ["systemd://echo"]}
    # And all that the file says of where its service listens is as if it were not there.
    options = {"listen": {"echo": ("systemd://echo",)}, "inherited": ("echo",)}
    found = configured("[echo]\nlisten = 'tls://:9'", **options)
    assert (places(found), found.unused) == ({"echo": ["systemd://echo"]}, ())


@pytest.mark.parametrize(
    "listen",
    [
        "'tls://:50001'",
        "'TLS://127.0.0.1:50001?certificate=a.pem'",
        "['tls://:1', 'wss://:2/echo']",
        "'ssl:443:privateKey=a.pem'",
        "'haproxy:ssl:443'",
        "['tls://:1', 'udp://:1', 'unix:///run/echo', 'unix:/run/more']",
        "['tls://:1', 'systemd://more?client-ca=']",
        "'systemd://more?certificate=a.pem'",
    ],
)
def test_no_inherited_socket_answers_in_plaintext_what_the_file_has_over_tls_alone(listen: str) -> None:
    text, sockets = f"[echo]\nlisten = {listen}", ("echo", "more") if "more?" in listen else ("echo",)
    expected = (
        r"^a\.toml: echo\.listen: it has TLS alone, and the inherited socket echo would answer without; "
        r"write systemd://echo\?certificate=FILE&key=FILE there, or systemd://echo for plaintext$"
    )
    with pytest.raises(SettingError, match=expected):
        configured(text, inherited=sockets)
    with pytest.raises(SettingError, match=r"^--set echo\.listen: it has TLS alone"):
        configured(inherited=("echo",), set=("echo.listen=tls://:9",))
    # Unless it does not start, or systemd passed nothing under its name.
    text += "\n[chat]\nlisten = 1"
    assert list(places(configured(text, inherited=sockets, without=("echo",)))) == ["chat"]
    assert "echo" in places(configured(text, inherited=("chat", *sockets[1:])))


@pytest.mark.parametrize(
    ("listen", "unused"),
    [
        ("7", True),
        ("true", True),
        ("['7', 'tls://:8']", True),
        ("['tls://:8', 'systemd://echo']", True),
        ("['tls://:8', 'systemd://echo?certificate=a.pem']", True),
        ("'udp://:6667'", True),
        ("'unix:///run/echo'", True),
        ("'tcp:7'", True),
        ("'systemd://echo'", False),
        ("'systemd://echo?certificate=a.pem'", False),
        ("[]", False),
    ],
)
def test_what_is_not_opened_for_inherited_sockets_is_told_by_its_key(listen: str, unused: bool) -> None:
    text = f"[echo]\nlisten = {listen}\n[chat]\nlisten = 7"
    assert configured(text, inherited=("echo",)).unused == (("a.toml: echo.listen",) if unused else ())
    # Not where it does not start; and without inherited sockets all of it is opened.
    assert configured(text, inherited=("echo",), without=("echo",)).unused == ()
    assert configured(text).unused == ()


@pytest.mark.parametrize("listen", ["sytemd://echo?key=k", "systemd://echo?key", "systemd://", "tls://"])
def test_a_url_that_would_not_be_opened_is_refused_where_it_is_wrong(listen: str) -> None:
    with pytest.raises(SettingError, match=rf"^a\.toml: echo\.listen '{re.escape(listen)}': "):
        configured(f"[echo]\nlisten = '{listen}'", inherited=("echo",))


def test_inherited_sockets_of_nobodys_or_none_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^--inherited: ecoh: no such service; did you mean echo\?$"):
        configured(inherited=("ecoh",))
    with pytest.raises(SettingError, match="^--inherited: systemd passed no socket; expected a start by"):
        configured(inherited=())
    assert tuple(places(configured(inherited=None))) == DEFAULT_SERVICES
