"""The timeline in the terminal."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsvc.commands.tail import GAP
from tests.certificates import Certificates
from tests.commands.programs import in_terminal, interrupt, netsvc, serving, started
from tests.commands.webrig import (
    asking,
    datagram,
    directory,
    facts_after,
    lines_until,
    mark,
    register,
    say,
)
from tests.live.conftest import certificates as certificates
from tests.live.daemon import Daemon, running
from tests.ports import free_port


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon to watch."""
    with running(
        tmp_path_factory.mktemp("daemon"),
        "--web=127.0.0.1:0",
        "--echo=127.0.0.1:0",
        "--timestamp=127.0.0.1:0",
        "--clients=127.0.0.1:0",
    ) as started_daemon:
        yield started_daemon


def tailed(daemon: Daemon, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
    """Exit status, lines and errors of a tail that comes to an end."""
    status, output, errors = netsvc("tail", *arguments, environment=dict(asking(daemon, **environment)))
    return status, output.decode().splitlines(), errors


# -- what is printed ----------------------------------------------------------------------------------------


def test_each_fact_is_a_line_as_it_happens(daemon: Daemon) -> None:
    with started("tail", "--after", mark(daemon), environment=dict(asking(daemon))) as command:
        for text in (b"hello", b"again"):
            _, port = say(daemon, text)
            lines = lines_until(command, "closed")
            assert [line.split()[2] for line in lines] == ["opened", "received", "sent", "closed"]
            assert f"echo  tcp 127.0.0.1:{port}  #" in lines[1]
            assert lines[1].endswith(f" {text!r}\n")
            assert " fin bytes_in=5 bytes_out=5 duration=0." in lines[3]


def test_the_seq_to_begin_behind_is_told(daemon: Daemon) -> None:
    say(daemon, b"x")
    assert tailed(daemon, "--last") == (0, [mark(daemon)], "")


def test_it_begins_with_what_happens_from_now_on(daemon: Daemon) -> None:
    say(daemon, b"before")
    assert tailed(daemon, "--timeout", "0.2") == (0, [], "")


def test_lines_of_json_are_what_the_api_has(daemon: Daemon) -> None:
    seq = mark(daemon)
    datagram(daemon, bytes(range(256)))
    status, lines, errors = tailed(daemon, "--after", seq, "--count", "2", "--json")
    assert (status, errors) == (0, "")
    assert [json.loads(line) for line in lines] == facts_after(daemon, seq)


def test_what_peers_sent_does_nothing_on_a_terminal(daemon: Daemon) -> None:
    evil = b"\x1b]0;mine\x07\x1b[2J\x9b31m\r\n\xe2\x80\xae"
    for option in ("--json", "--service=echo"):
        seq = mark(daemon)
        datagram(daemon, evil)
        arguments = ["tail", "--after", seq, "--count", "2", option]
        with in_terminal(*arguments, environment=dict(asking(daemon))) as terminal:
            assert terminal.end()[0] == 0
            shown = terminal.raw().decode().replace("\r\n", "\n")
        assert shown.count("\n") == 2
        assert shown.replace("\n", "").isprintable()


def test_many_facts_are_all_printed_in_order(daemon: Daemon) -> None:
    seq = mark(daemon)
    pieces = [b"%04d" % number for number in range(1500)]
    say(daemon, *pieces)
    status, lines, _ = tailed(daemon, "--after", seq, "--kind", "received", "--count", "1500", "--json")
    facts = [json.loads(line) for line in lines]
    assert status == 0
    assert [fact["seq"] for fact in facts] == sorted({fact["seq"] for fact in facts})
    assert len(facts) == 1500


# -- which ones ---------------------------------------------------------------------------------------------


def test_bytes_are_found_however_they_were_cut(daemon: Daemon) -> None:
    seq = mark(daemon)
    say(daemon, b"wrong", b"nee", b"dle", b"wrong")
    _, lines, _ = tailed(daemon, "--after", seq, "--contains", "needle", "--count", "2")
    assert [line.split()[2] for line in lines] == ["received", "sent"]
    assert all(line.endswith("b'dle'") for line in lines)


def test_hexadecimal_is_sought_and_shown(daemon: Daemon) -> None:
    seq = mark(daemon)
    say(daemon, b"\x00\xff\x10")
    _, lines, _ = tailed(daemon, "--after", seq, "--hex", "--contains", "ff 10", "--count", "1")
    assert lines[0].endswith(" 00 ff 10")


def test_facts_are_chosen_by_client_service_kind_and_connection(daemon: Daemon) -> None:
    seq = mark(daemon)
    say(daemon, b"other")
    host, port = say(daemon, b"one")
    say(daemon, b"[", service="timestamp")
    everything = facts_after(daemon, seq)
    [connection] = {fact["connection"] for fact in everything if fact["port"] == port}
    for options, expected in (
        (["--from", f"{host}:{port}", "--service", "echo", "--kind", "opened", "--kind", "sent"],
         [fact for fact in everything if fact["port"] == port and fact["kind"] in ("opened", "sent")]),
        (["--connection", str(connection)], [fact for fact in everything if fact["port"] == port]),
        (["--service", "timestamp"], [fact for fact in everything if fact["service"] == "timestamp"]),
    ):  # fmt: skip
        assert expected
        _, lines, _ = tailed(daemon, "--after", seq, "--json", "--count", str(len(expected)), *options)
        assert [json.loads(line) for line in lines] == expected


def test_facts_are_chosen_by_listener_and_time(daemon: Daemon) -> None:
    say(daemon, b"before")
    seq = mark(daemon)
    datagram(daemon, b"datagram")
    say(daemon, b"stream")
    everything = facts_after(daemon, seq)
    middle = next(fact for fact in everything if fact["transport"] == "tcp")
    listener = everything[0]["listener"]
    earlier = [fact for fact in everything if int(fact["time"]) < int(middle["time"])]
    later = [fact for fact in everything if int(fact["time"]) >= int(middle["time"])]
    for options, expected in (
        (
            ["--after", seq, "--listener", listener],
            [one for one in everything if one["listener"] == listener],
        ),
        (["--after", seq, "--until", middle["time"]], earlier),
        # Without --after it begins as early as there is something to show.
        (["--since", middle["time"]], later),
    ):
        assert expected
        _, lines, _ = tailed(daemon, "--json", "--count", str(len(expected)), *options)
        assert [json.loads(line) for line in lines] == expected


def test_since_a_while_ago_is_from_then_on(daemon: Daemon) -> None:
    _, port = say(daemon, b"a while ago")
    arguments = ["--since", "1h", "--from", f"127.0.0.1:{port}", "--contains", "a while ago", "--count", "1"]
    status, lines, errors = tailed(daemon, *arguments)
    assert (status, len(lines), errors) == (0, 1, "")
    status, lines, errors = tailed(daemon, "--after", "last", "--timeout", "0.2", *arguments)
    assert (status, len(lines)) == (1, 0)


def test_a_client_is_known_by_its_name(daemon: Daemon) -> None:
    seq = mark(daemon)
    register(daemon, "ann")
    say(daemon, b"by ann")
    _, [line], _ = tailed(daemon, "--after", seq, "--from", "ann", "--contains", "by ann", "--count", "1")
    assert " (ann)  #" in line


# -- how it ends --------------------------------------------------------------------------------------------


def test_the_time_is_a_good_end_unless_there_was_a_count(daemon: Daemon) -> None:
    seq = mark(daemon)
    datagram(daemon, b"x")
    status, lines, errors = tailed(daemon, "--after", seq, "--timeout", "0.2")
    assert (status, len(lines), errors) == (0, 2, "")
    status, lines, errors = tailed(daemon, "--after", seq, "--timeout", "0.2", "--count", "3")
    assert (status, len(lines), errors) == (1, 2, "netsvc: 2 of 3 within 0.2 seconds\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_word(daemon: Daemon, number: signal.Signals) -> None:
    with started("tail", "--after", "0", environment=dict(asking(daemon))) as command:
        datagram(daemon, b"something")
        lines_until(command, "something")
        command.process.send_signal(number)
        status, _, errors = command.end()
    assert (status, errors) == (128 + number, "")


def test_ctrl_c_ends_it_while_the_daemon_does_not_answer() -> None:
    def never(connection: socket.socket) -> None:
        connection.recv(1)
        asked.set()
        ended.wait()

    asked, ended = threading.Event(), threading.Event()
    with serving(never) as place, started("tail", "--at", f"http://{place}") as command:
        assert asked.wait(30)
        interrupt(command.process)
        assert command.end() == (130, b"", "")
        ended.set()


def test_nobody_reads_it_any_more(daemon: Daemon) -> None:
    with started("tail", "--after", "0", environment=dict(asking(daemon))) as command:
        datagram(daemon, b"something")
        lines_until(command, "something")
        assert command.process.stdout is not None
        command.process.stdout.close()
        datagram(daemon, b"more")
        assert command.process.wait(30) == 1
        assert command.process.stderr is not None
        assert command.process.stderr.read() == b""


# -- the daemon's end ---------------------------------------------------------------------------------------


def test_it_goes_on_after_the_daemon_was_started_again(tmp_path: Path) -> None:
    options = [f"--web=127.0.0.1:{free_port()}", "--echo=127.0.0.1:0"]
    with running(directory(tmp_path, "first"), *options) as first:
        environment = dict(asking(first))
        command = started("tail", "--json", "--after", "0", environment=environment)
        with command as tail:
            datagram(first, b"one")
            lines = lines_until(tail, '"sent"')
            first.stop()
            assert tail.error_line().endswith("; asking again until it answers\n")
            with running(directory(tmp_path, "second"), *options) as second:
                datagram(second, b"two")
                lines += lines_until(tail, '"sent"')
                assert tail.error_line() == f"netsvc: {environment['NETSVC_URL']}: it answers again\n"
                datagram(second, b"three")
                lines += lines_until(tail, '"sent"')
                interrupt(tail.process)
                status, rest, errors = tail.end()
    assert (status, rest) == (130, b"")
    # Whether it has all that happened since, the second daemon knows itself.
    assert errors in ("", f"netsvc: {GAP}\n")
    facts = [json.loads(line) for line in lines]
    assert [fact["data"] for fact in facts] == ["b25l", "b25l", "dHdv", "dHdv", "dGhyZWU=", "dGhyZWU="]
    assert [fact["seq"] for fact in facts] == sorted({fact["seq"] for fact in facts})


def test_nobody_there_is_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert netsvc("tail", "--at", url) == (1, b"", f"netsvc: {url}: connection refused\n")


# -- whom it asks -------------------------------------------------------------------------------------------


def test_a_daemon_beyond_loopback_wants_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("letmein\n")
    options = ["--web=tcp://0.0.0.0:0", f"--set=web.token_file={tmp_path}/token"]
    with running(directory(tmp_path, "daemon"), *options) as daemon:
        status, lines, errors = tailed(daemon, "--last", NETSVC_TOKEN="letmein")
        assert (status, len(lines), errors) == (0, 1, "")
        for wrong in ("", "wrong"):
            status, lines, errors = tailed(daemon, "--last", NETSVC_TOKEN=wrong)
            assert (status, lines) == (1, [])
            assert "a token is needed" in errors
            assert "NETSVC_TOKEN" in errors
            assert errors.count("\n") == 1


def test_a_daemon_may_be_asked_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    where = f"tls://127.0.0.1:0?certificate={certificates.server_certificate}&key={certificates.server_key}"
    with running(directory(tmp_path, "daemon"), f"--web={where}") as daemon:
        place = f"127.0.0.1:{daemon.port('web', 'tls')}"
        ask = ["tail", "--last", "--at", f"https://{place}"]
        status, output, errors = netsvc(*ask, "--ca", str(certificates.ca))
        assert (status, output.strip().isdigit(), errors) == (0, True, "")
        status, output, errors = netsvc(*ask)
        assert (status, output) == (1, b"")
        assert errors.startswith(f"netsvc: certificate of {place} is not trusted")
        status, output, errors = netsvc(*ask, "--insecure")
        assert (status, output.strip().isdigit()) == (0, True)
        assert "NOT VERIFIED" in errors
        status, output, errors = netsvc("tail", "--last", "--at", f"http://{place}")
        assert (status, output) == (1, b"")
        assert errors.count("\n") == 1


def test_a_daemon_may_be_asked_over_a_unix_socket(tmp_path: Path) -> None:
    where = f"unix://{tmp_path}/web.sock"
    with running(directory(tmp_path, "daemon"), f"--web={where}"):
        status, output, errors = netsvc("tail", "--last", "--at", where)
        assert (status, output.strip().isdigit(), errors) == (0, True, "")
