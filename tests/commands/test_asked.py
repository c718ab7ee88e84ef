"""The options that say which facts."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Any

import click
import pytest
from click.testing import CliRunner

from netsvc.commands.asked import AfterType, filter_options, is_address


def asked(*arguments: str) -> Sequence[tuple[str, str]]:
    """The question that a command line becomes."""
    got: list[Any] = []

    @click.command()
    @filter_options
    def command(query: Sequence[tuple[str, str]], **_: object) -> None:
        got.extend(query)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return got


def refused(*arguments: str) -> str:
    """The last line of what is said about a wrong command line."""

    @click.command()
    @filter_options
    def command(**_: object) -> None:
        pass

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    return result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ([], []),
        (["--contains", "hello", "--contains", "hex:00"], [("contains", "hello"), ("contains", "hex:00")]),
        (["--hex", "--contains", "00 FF:10"], [("contains", "hex:00ff10")]),
        (["--from", "ann", "--from", "bob"], [("name", "ann"), ("name", "bob")]),
        (["--from", "127.0.0.1:80"], [("peer", "127.0.0.1:80")]),
        (["--service", "echo", "--kind", "sent", "--connection", "7"],
         [("service", "echo"), ("kind", "sent"), ("connection", "7")]),
        (["--listener", "udp://:1", "--since", "17", "--until", "1970-01-01T00:00:01Z"],
         [("listener", "udp://:1"), ("since", "17"), ("until", "1000000000")]),
    ],
)  # fmt: skip
def test_options_are_a_question(arguments: list[str], query: list[tuple[str, str]]) -> None:
    assert asked(*arguments) == query


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--hex", "--contains", "0g"], "not hexadecimal"),
        (["--contains", ""], "everything contains nothing"),
        (["--from", ""], "at least one character"),
        (["--from", "ann", "--from", "::1"], "only one kind"),
        (["--kind", "heard"], "is not one of"),
        (["--connection", "0"], "not in the range"),
        (["--since", "yesterday"], "'yesterday': expected nanoseconds since the epoch, a time such as"),
        (["--until", ""], "expected nanoseconds since the epoch"),
        (["--ca", "file"], "are for TLS and not for http://127.0.0.1:8080"),
    ],
)
def test_what_means_nothing_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.delenv("NETSVC_URL", raising=False)
    assert why in refused(*arguments)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "127.0.0.1:80", "::1", "[::1]", "[::1]:80", "/run/x.sock", "@abstract", "2001:db8::1"],
)
def test_an_address_is_told_from_a_name(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["ann", "127.0.0.256", "a:80", "[ann]", "::1::", "box 1", "10.0.0"])
def test_a_name_is_told_from_an_address(text: str) -> None:
    assert not is_address(text)


def test_how_long_ago_is_by_the_clock_of_who_asks() -> None:
    before = time_ns()
    ((_, moment),) = asked("--since", "2h")
    assert before <= int(moment) + 7200 * 10**9 <= time_ns()


def test_after_is_a_seq_or_last() -> None:
    after = AfterType()
    assert after.convert("last", None, None) == "last"
    assert after.convert("1795177666958230", None, None) == 1795177666958230
    for wrong in ("", "-1", "first", "1.5", str(1 << 63)):
        with pytest.raises(click.BadParameter):
            after.convert(wrong, None, None)
