"""The load command as a process, against a real daemon, against servers that misbehave, and in a terminal."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Certificates, make_authority
from tests.commands.programs import (
    NETSVC,
    RESET,
    answering,
    in_terminal,
    interrupt,
    netsvc,
    serving,
    started,
)
from tests.live.daemon import PATIENCE, Daemon, running

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority with a server's certificate."""
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """What can be put under load, and what cannot."""
    directory = tmp_path_factory.mktemp("daemon")
    options = [
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--timestamp=0",
        "--echo=0",
        "--echo=tls://:0",
        f"--echo=unix://{directory}/echo.sock",
        f"--echo=unix-datagram://{directory}/echo.dgram",
        "--receiver=udp://:0?ack=received",
        "--discard=0",
        "--greeting=0",
    ]
    with running(directory, *options) as started_daemon:
        yield started_daemon


def bench(address: str, *arguments: str) -> dict[str, Any]:
    """A run without a fault, as JSON."""
    status, output, errors = netsvc("bench", address, "--json", *arguments)
    assert (status, errors) == (0, "")
    found: dict[str, Any] = json.loads(output)
    assert found["faults"] == []
    return found


def failing(address: str, *arguments: str) -> tuple[str, str]:
    """What a run that failed has written."""
    status, output, errors = netsvc("bench", address, *arguments)
    assert status == 1, (output, errors)
    assert "Traceback" not in errors
    assert all(line.startswith("netsvc: ") for line in errors.splitlines())
    return output.decode(), errors


def tcp(daemon: Daemon, service: str) -> str:
    """A service's address."""
    return f"127.0.0.1:{daemon.port(service)}"


# -- what answers -------------------------------------------------------------------------------------------


def test_every_transport_is_measured(daemon: Daemon, certificates: Certificates) -> None:
    ca = f"--ca={certificates.ca}"
    for address, *options in (
        (tcp(daemon, "timestamp"),),
        (tcp(daemon, "echo"), "--expect=echo"),
        (f"tls://localhost:{daemon.port('echo', 'tls')}", ca),
        (f"unix://{daemon.path('echo')}",),
        (f"udp://127.0.0.1:{daemon.port('echo', 'udp')}",),
        (f"udp://[::1]:{daemon.port('echo', 'udp')}",),
        (f"unix-datagram://{daemon.path('echo', 'unix-datagram')}",),
    ):
        found = bench(address, "--count=500", "--connections=5", *options)
        assert (found["sent"], found["answered"], found["differing"]) == (500, 500, 0), address
        latency = found["latency_us"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"]
        assert sum(count for _, count in found["distribution_us"]) == 500


def test_many_messages_on_many_connections_come_back_as_they_were(daemon: Daemon) -> None:
    options = ("--count=20000", "--connections=200", "--depth=20", "--expect=echo", "--size=1000")
    found = bench(tcp(daemon, "echo"), *options)
    assert (found["answered"], found["bytes_received"]) == (20_000, 20_000_000)


def test_large_messages_come_back_as_they_were(daemon: Daemon, certificates: Certificates) -> None:
    options = ("--count=20", "--connections=2", "--depth=3", "--size=1000000")
    assert bench(tcp(daemon, "echo"), *options)["answered"] == 20
    tls = f"tls://localhost:{daemon.port('echo', 'tls')}"
    assert bench(tls, *options, "--ca", str(certificates.ca))["answered"] == 20


def test_a_run_ends_when_its_time_is_over(daemon: Daemon) -> None:
    found = bench(tcp(daemon, "timestamp"), "--seconds=0.5")
    assert found["answered"] == found["sent"] > 0
    assert found["seconds"] >= 0.5


def test_a_rate_is_a_number_of_messages(daemon: Daemon) -> None:
    for address in (tcp(daemon, "timestamp"), f"udp://127.0.0.1:{daemon.port('echo', 'udp')}"):
        found = bench(address, "--rate=400", "--seconds=0.5")
        assert (found["sent"], found["answered"], found["unsent"]) == (200, 200, 0)
        assert found["seconds"] >= 199 / 400
        assert found["left_late_us"]["max"] >= 0


def test_unix_datagrams_wait_for_room_and_none_is_lost(daemon: Daemon) -> None:
    address = f"unix-datagram://{daemon.path('echo', 'unix-datagram')}"
    # Late is not lost: a busy machine may take its time.
    found = bench(address, "--count=20000", "--depth=1000", "--expect=echo", "--timeout=30")
    assert (found["answered"], found["lost"], found["unexpected"]) == (20_000, 0, 0)


def test_insecure_is_said_once_however_many_connections_follow(daemon: Daemon) -> None:
    address = f"tls://localhost:{daemon.port('echo', 'tls')}"
    status, _, errors = netsvc("bench", address, "--insecure", "--count=100", "--connections=20")
    assert status == 0
    assert errors == (
        f"netsvc: WARNING: the certificate of {address} is NOT VERIFIED (--insecure): it can be anybody\n"
    )


def test_an_acknowledgement_can_be_any_answer(daemon: Daemon) -> None:
    address = f"udp://127.0.0.1:{daemon.port('receiver', 'udp')}"
    assert bench(address, "--count=50", "--expect=any")["answered"] == 50
    # And it is no echo.
    output, errors = failing(address, "--count=2", "--timeout=0.2", "--connections=1")
    assert "lost 2 (100.00%)" in output
    assert "unexpected" in output
    assert errors.endswith("none of 2 messages was answered\n")


def test_the_report_is_for_people(daemon: Daemon) -> None:
    status, output, errors = netsvc("bench", tcp(daemon, "timestamp"), "--count=300")
    lines = output.decode().splitlines()
    assert (status, errors) == (0, "")
    assert lines[0] == f"tcp://{tcp(daemon, 'timestamp')}: 10 connections, closed loop of 1 on each, 64 bytes"
    assert lines[1].startswith("answered   300 of 300 in ")
    assert lines[2].startswith("latency    p50 ")
    assert lines[-1].split()[3:5] == ["100", "%"] or lines[-1].startswith("The client")
    assert "\x1b" not in output.decode()


# -- what does not ------------------------------------------------------------------------------------------


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    assert failing(free) == ("", f"netsvc: tcp://{free}: connection refused\n")
    output, errors = failing(f"udp://{free}", "--count=3", "--timeout=0.3")
    assert "lost 3" in output
    assert errors.endswith(": none of 3 messages was answered: nobody receives there\n")
    _, errors = failing(f"unix://{tmp_path}/nothing.sock")
    assert errors == f"netsvc: unix://{tmp_path}/nothing.sock: no such file or directory\n"
    _, errors = failing(f"unix-datagram://{tmp_path}/nothing.sock")
    assert errors == f"netsvc: unix-datagram://{tmp_path}/nothing.sock: no such file or directory\n"
    for scheme in ("tcp", "udp"):
        _, errors = failing(f"{scheme}://nobody.invalid:7")
        assert errors.count("\n") == 1


def test_a_server_of_datagrams_that_goes_in_the_middle_is_a_failure() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        with started(
            "bench", address, "--seconds=1", "--connections=1", "--timeout=0.2", "--json"
        ) as process:
            for _ in range(5):
                data, source = server.recvfrom(1024)
                server.sendto(data, source)
            server.close()
            status, output, errors = process.end()
    found = json.loads(output)
    assert (status, found["answered"], found["refused"] > 0, found["seconds"] >= 1) == (1, 5, True, True)
    assert f"{address}: nobody receives there any more" in found["faults"][0]
    assert errors.startswith(f"netsvc: {address}: nobody receives there any more")


def test_a_certificate_that_is_not_trusted_is_one_line(daemon: Daemon, certificates: Certificates) -> None:
    address = f"tls://localhost:{daemon.port('echo', 'tls')}"
    output, errors = failing(address, "--ca", str(certificates.other_ca))
    assert (output, errors.count("\n")) == ("", 1)


def test_a_service_that_does_not_answer_is_given_up(daemon: Daemon) -> None:
    _, errors = failing(tcp(daemon, "discard"), "--timeout=0.3", "--count=100")
    assert errors == f"netsvc: tcp://{tcp(daemon, 'discard')}: none of 10 messages was answered\n"


def test_a_service_that_says_something_else_differs(daemon: Daemon) -> None:
    output, errors = failing(tcp(daemon, "timestamp"), "--expect=echo", "--count=5")
    assert "5 answers differ from what was sent; the first from byte " in errors
    assert f" for b'{'0' * 11}" in errors
    assert "answered   0 of 5" in output
    _, errors = failing(tcp(daemon, "greeting"), "--connections=1", "--count=1")
    assert "none of " in errors


def test_an_answer_that_was_changed_on_the_way_is_found() -> None:
    def answer(connection: socket.socket) -> None:
        for number in range(10):
            data = bytearray(connection.recv(1024))
            data[40] ^= number // 9
            connection.sendall(data)
        # Reset, when the command is sure that nothing better comes.
        with contextlib.suppress(ConnectionError):
            connection.recv(1024)

    with serving(answer) as address:
        output, errors = failing(address, "--connections=1", "--count=20", "--timeout=0.5")
    assert "answered   9 of 10" in output
    assert "netsvc: 1 answer differs from what was sent; the first from byte 40 on: b'" in errors


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([RESET], "reset"),
        ([], "closed by the server"),
        ([b"\x00\xff\x1b[2Jgarbage" * 100], "1 answer differs"),
    ],
    ids=["reset", "close", "garbage"],
)
def test_a_server_that_misbehaves_is_told_in_lines(pieces: list[bytes], said: str) -> None:
    with serving(answering(pieces)) as address:
        _, errors = failing(address, "--connections=1", "--timeout=1")
    assert said in errors
    assert "\x1b" not in errors


def test_more_connections_than_descriptors_are_refused_before_anything_is_opened(daemon: Daemon) -> None:
    done = subprocess.run(
        [NETSVC, "bench", tcp(daemon, "echo"), "--connections=1000"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "netsvc: this process may have 200 descriptors: enough for 136 connections\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["unix-datagram:///tmp/x", "--size=5"],
        ["127.0.0.1:7", "--ca=x"],
        ["127.0.0.1:7", "--rate=0"],
        ["127.0.0.1:7", "--count=0"],
        ["udp://127.0.0.1:7", "--size=5"],
        ["127.0.0.1:7", "--expect=any", "--depth=2"],
        [],
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(arguments: list[str]) -> None:
    status, output, errors = netsvc("bench", *arguments)
    assert (status, output) == (2, b"")
    assert "Error: " in errors


# -- at a terminal ------------------------------------------------------------------------------------------


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(daemon: Daemon) -> None:
    with in_terminal("bench", tcp(daemon, "timestamp"), "--seconds=1") as terminal:
        assert "%" in terminal.wait_for(" answers, ")
        terminal.wait_for("latency    p50 ")
        status, shown = terminal.end()
    assert status == 0
    assert "█" in shown


def test_an_interrupted_run_reports_what_it_has(daemon: Daemon) -> None:
    with in_terminal("bench", tcp(daemon, "timestamp"), "--seconds=1000") as terminal:
        terminal.wait_for(" answers, ")
        interrupt(terminal.process)
        terminal.wait_for("latency    p50 ")
        status, shown = terminal.end()
    assert status == 130
    assert "Traceback" not in shown


def test_an_interrupted_run_at_a_rate_says_what_did_not_leave() -> None:
    asked = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(connection.recv(1024))
        asked.set()
        # A reset is how it leaves.
        with contextlib.suppress(ConnectionError):
            connection.recv(1024)

    options = ("--rate=0.001", "--count=5", "--connections=1", "--json")
    with serving(answer) as address, started("bench", address, *options) as process:
        assert asked.wait(PATIENCE)
        interrupt(process.process)
        status, output, errors = process.end()
    assert (status, errors) == (130, "")
    found = json.loads(output)
    assert (found["sent"], found["unsent"]) == (1, 4)


def test_nobody_reading_its_output_is_no_traceback(daemon: Daemon) -> None:
    with started("bench", tcp(daemon, "timestamp"), "--seconds=0.3") as process:
        assert process.process.stdout is not None
        process.process.stdout.close()
        assert process.process.stderr is not None
        errors = process.process.stderr.read()
        assert process.process.wait(PATIENCE) == 1
    assert errors == b""
