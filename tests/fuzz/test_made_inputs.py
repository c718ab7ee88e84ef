"""
Every parser and every protocol takes whatever comes: no exception, no error in the log, nothing left behind.

The percents are each target's share of all inputs; together they are a hundred. A failure shows the least
input that fails, ready to be a test of its own beside those of the module at fault.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import bursts, configurations, datagrams, handshakes, headers, plays, streams, texts
from tests.fuzz.campaign import Result, run
from tests.net.tls_client import VERSIONS

Report = Callable[[Result], None]

_OURS = plays.registry().builtin
# The web service is no service of a few bytes; its own tests feed it HTTP.
_STREAMS = (
    *(name for name in _OURS if plays.service_named(name).stream and name != "web"),
    plays.WILD.name,
)
_DATAGRAMS = (*(name for name in _OURS if plays.service_named(name).datagram), bursts.WILD.name)

#: Where clients meet, and where a service does what it likes, there is most to go wrong.
_MORE = ("chat", "clients", bursts.WILD.name)


@pytest.mark.parametrize("name", _STREAMS)
def test_stream_services_take_any_connection(name: str, report: Report) -> None:
    share = 40 / (len(_STREAMS) + len(_MORE)) * (2 if name in _MORE else 1)
    report(
        run(f"stream {name}", share, lambda chance: streams.make(chance, name), plays.check, plays.simpler)
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["echo", "chargen", "chat", "wild"])
def test_stream_services_behind_tls_take_any_connection(
    name: str, version: str, serving: ssl.SSLContext, report: Report
) -> None:
    client = handshakes.careless(version)

    def check(play: plays.Play) -> None:
        plays.check_tls(play, serving, client)

    report(
        run(f"{version} {name}", 1.25, lambda chance: streams.make_tls(chance, name), check, plays.simpler)
    )


@pytest.mark.parametrize("name", _DATAGRAMS)
def test_datagram_services_take_anything_from_anybody(name: str, report: Report) -> None:
    share = 18 / len(_DATAGRAMS)
    made = run(
        f"datagrams {name}",
        share,
        lambda chance: datagrams.make(chance, name),
        bursts.check,
        bursts.simpler,
    )
    report(made)


def test_tls_sessions_take_any_handshake_and_any_record(serving: ssl.SSLContext, report: Report) -> None:
    recorded = handshakes.record(serving)

    def check(made: handshakes.Received) -> None:
        handshakes.check_received(made, serving)

    report(run("session", 4, lambda chance: handshakes.make_received(chance, recorded), check))


def test_any_client_hello_is_looked_through_for_its_name(serving: ssl.SSLContext, report: Report) -> None:
    hellos = handshakes.hellos(handshakes.record(serving))
    made = run("hello", 4, lambda chance: handshakes.make_hello(chance, hellos), handshakes.check_hello)
    report(made)


def test_proxy_headers_are_the_same_however_they_are_cut(report: Report) -> None:
    report(run("proxy", 6, headers.make, headers.check))


def test_a_where_is_understood_or_refused_in_one_line(report: Report) -> None:
    report(run("where", 6, configurations.make_where, configurations.check_where))


def test_a_configuration_file_is_understood_or_refused_in_one_line(tmp_path: Path, report: Report) -> None:
    def check(written: configurations.Written) -> None:
        configurations.check_written(written, str(tmp_path / "netsvc.toml"))

    report(run("file", 4, configurations.make_file, check))


def test_a_command_line_is_understood_or_refused_in_one_line(tmp_path: Path, report: Report) -> None:
    def check(written: configurations.Written) -> None:
        configurations.check_written(written, str(tmp_path / "netsvc.toml"))

    report(run("command line", 2, configurations.make_arguments, check))


def test_lines_are_the_same_however_they_are_cut(report: Report) -> None:
    report(run("lines", 2, texts.make_lines, texts.check_lines))


def test_names_and_what_is_said_can_be_shown(report: Report) -> None:
    report(run("names", 2, texts.make_name, texts.check_name_and_text))


def test_facts_become_json_and_lines_of_the_log(report: Report) -> None:
    report(run("facts", 2, texts.make_noted, texts.check_noted))
