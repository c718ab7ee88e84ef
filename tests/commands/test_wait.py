"""Waiting for what happens, for scripts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.programs import interrupt, netsvc, started, usage
from tests.commands.webrig import asking, datagram, directory, facts_after, mark, say
from tests.live.daemon import PATIENCE, Daemon, eventually, running
from tests.ports import free_port


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon to wait on."""
    with running(
        tmp_path_factory.mktemp("daemon"), "--web=127.0.0.1:0", "--echo=127.0.0.1:0"
    ) as started_daemon:
        yield started_daemon


def waited(daemon: Daemon, *arguments: str) -> tuple[int, list[str], str]:
    """Exit status, lines and errors of a wait."""
    status, output, errors = netsvc("wait", *arguments, environment=dict(asking(daemon)))
    return status, output.decode().splitlines(), errors


def test_what_has_happened_is_found_at_once(daemon: Daemon) -> None:
    say(daemon, b"well ", b"known")
    status, lines, errors = waited(daemon, "--contains", "well known", "--timeout", "20")
    assert (status, errors) == (0, "")
    assert len(lines) == 1
    assert "received  echo  tcp" in lines[0]
    assert lines[0].endswith("b'known'")


def test_what_has_happened_is_found_by_listener_and_time(daemon: Daemon) -> None:
    seq = mark(daemon)
    datagram(daemon, b"looked for")
    fact = facts_after(daemon, seq)[0]
    after = str(int(fact["time"]) + 1)
    for options, expected in (
        (["--listener", fact["listener"], "--since", fact["time"], "--until", after], 0),
        (["--since", "1h", "--contains", "looked for"], 0),
        (["--until", fact["time"]], 1),
        (["--listener", "udp://192.0.2.1:1"], 1),
    ):
        status, _, _ = netsvc(
            "wait", "--after", seq, "--timeout", "0.2", *options, environment=dict(asking(daemon))
        )
        assert status == expected


def test_what_happens_is_waited_for(daemon: Daemon) -> None:
    with started("wait", "--contains", "awaited", "--json", environment=dict(asking(daemon))) as command:
        datagram(daemon, b"not this")
        _, port = datagram(daemon, b"awaited")
        fact = json.loads(command.line())
        assert command.end() == (0, b"", "")
    assert (fact["kind"], fact["port"], fact["data"]) == ("received", port, "YXdhaXRlZA==")


def test_several_are_waited_for_and_printed_oldest_first(daemon: Daemon) -> None:
    seq = mark(daemon)
    say(daemon, b"1", b"2", b"3")
    status, lines, _ = waited(daemon, "--after", seq, "--kind", "received", "--count", "3")
    assert status == 0
    assert [line[-4:] for line in lines] == ["b'1'", "b'2'", "b'3'"]


def test_two_commands_miss_nothing_between_them(daemon: Daemon) -> None:
    seq = mark(daemon)
    say(daemon, b"a", b"b")
    seen = ""
    for _ in range(2):
        _, [line], _ = waited(daemon, "--after", seq, "--kind", "received", "--json")
        seen += json.loads(line)["data"]
        seq = str(json.loads(line)["seq"])
    assert seen == "YQ==Yg=="


def test_what_does_not_come_is_a_failure_that_shows_what_came(daemon: Daemon) -> None:
    seq = mark(daemon)
    for text in (b"wanted once", b"\x1b[31mother"):
        datagram(daemon, text)
    ask = ["--after", seq, "--contains", "wanted", "--kind", "sent", "--count", "2", "--timeout", "0.2"]
    status, lines, errors = waited(daemon, *ask)
    assert status == 1
    assert len(lines) == 1
    assert lines[0].endswith("b'wanted once'")
    first, *others = errors.splitlines()
    assert first == "netsvc: 1 of 2 within 0.2 seconds; the last 4 of all facts:"
    assert [line.split()[2] for line in others] == ["received", "sent"] * 2
    assert others[-1].endswith("b'\\x1b[31mother'")


def test_where_nothing_happens_it_says_so(daemon: Daemon) -> None:
    assert waited(daemon, "--after", "last", "--timeout", "0.1") == (
        1,
        [],
        "netsvc: 0 of 1 within 0.1 seconds; nothing else happened\n",
    )


def test_a_daemon_that_is_being_started_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with started("wait", "--at", url, "--contains", "early", "--timeout", "60") as command:
        assert command.error_line() == f"netsvc: {url}: connection refused; asking again until it answers\n"
        with running(directory(tmp_path, "d"), f"--web=127.0.0.1:{port}", "--echo=127.0.0.1:0") as daemon:
            datagram(daemon, b"early")
            assert command.line().endswith("b'early'\n")
            assert command.end() == (0, b"", f"netsvc: {url}: it answers again\n")


def test_a_daemon_that_never_answers_is_a_failure() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    status, output, errors = netsvc("wait", "--at", url, "--timeout", "0.1")
    assert (status, output) == (1, b"")
    assert errors.splitlines() == [
        f"netsvc: {url}: connection refused; asking again until it answers",
        "netsvc: 0 of 1 within 0.1 seconds",
    ]


def test_a_daemon_that_is_connected_to_and_never_answers_does_not_keep_who_has_little_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # Far less than the patience that there is without a time.
        with (
            started("wait", "--at", url, "--timeout", "0.1") as waiting,
            started("tail", "--at", url, "--timeout", "0.1") as tailing,
        ):
            assert tailing.process.wait(PATIENCE / 2) == 1
            assert waiting.process.wait(PATIENCE / 2) == 1
            assert tailing.end() == (1, b"", f"netsvc: {url}: no answer in time\n")
            status, output, errors = waiting.end()
    assert (status, output) == (1, b"")
    assert errors.splitlines() == [
        f"netsvc: {url}: no answer in time; asking again until it answers",
        "netsvc: 0 of 1 within 0.1 seconds",
    ]


def test_a_refused_question_is_not_repeated(daemon: Daemon) -> None:
    # A pattern may have 1024 bytes.
    status, lines, errors = waited(daemon, "--contains", "x" * 2000, "--timeout", "60")
    assert (status, lines) == (1, [])
    assert "contains=" in errors
    assert errors.count("\n") == 1


def test_ctrl_c_ends_it_without_a_word(daemon: Daemon) -> None:
    environment = dict(asking(daemon))
    with started("wait", "--contains", "never", "--timeout", "60", environment=environment) as command:
        eventually(lambda: connected_to(daemon.port("web")))
        interrupt(command.process)
        status, output, errors = command.end()
    assert (status, output, errors) == (130, b"", "")


def connected_to(port: int) -> bool:
    """Whether somebody is connected to a port (proc_pid_net(5): 01 is ESTABLISHED)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.parametrize(
    "arguments",
    [["--count", "0"], ["--count", "10001"], ["--timeout", "0"], ["--timeout", "nan"], ["--after", "x"]],
)
def test_what_cannot_be_waited_for_is_wrong_usage(arguments: list[str]) -> None:
    assert usage("wait", *arguments) == 2
