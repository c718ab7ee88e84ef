"""The daemon as a process: how it starts, refuses to start, and stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from netsvc import __version__
from tests.live.daemon import PATIENCE, TWISTD, read_all, refused, running

#: The built-in services.
EVERY = {"timestamp", "receiver", "clients", "echo", "greeting", "discard", "daytime", "chargen"}
EVERY |= {"time", "whoami", "chat"}


def test_the_headline_command_line_starts_exactly_those_two_services(tmp_path: Path) -> None:
    with running(tmp_path, "--tcp", "0", "--udp", "0") as daemon:
        assert {(p["service"], p["transport"]) for p in daemon.places} == {
            ("timestamp", "tcp"),
            ("receiver", "udp"),
        }
        with daemon.connect("timestamp") as sock:
            sock.sendall(b"hello python")
            answer = sock.recv(1024)
        assert re.fullmatch(rb"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] hello python", answer)


def test_all_starts_every_built_in_service_and_without_takes_one_away(tmp_path: Path) -> None:
    names = [
        "timestamp",
        "receiver",
        "clients",
        "echo",
        "greeting",
        "discard",
        "daytime",
        "chargen",
        "time",
        "whoami",
        "chat",
        "web",
    ]
    ports = [f"--{name}=0" for name in names if name != "chat"]
    with running(tmp_path, "--all", "--without", "chat", *ports) as daemon:
        assert {p["service"] for p in daemon.places} == set(names) - {"chat"}


def test_port_0_is_one_number_on_every_address_and_transport(tmp_path: Path) -> None:
    with running(tmp_path, "--echo", "0") as daemon:
        assert len({p["port"] for p in daemon.places}) == 1
        assert {p["transport"] for p in daemon.places} == {"tcp", "udp"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tcp", "99999"], "expected 0 to 65535"),
        (["--tcp", "tls://:0"], "--tcp tls://:0: TLS needs a certificate"),
        (["--udp", "tcp://:0"], "--udp is for datagram sockets alone"),
        (
            ["--tcp", "tcp:0:interface=nowhere.invalid"],
            "--tcp tcp:0:interface=nowhere.invalid: cannot listen",
        ),
        (["--bogus"], "--bogus: no such option"),
        (["--config", "/no/such/file"], "/no/such/file: cannot read it"),
        (["--set", "limits.per_address=many"], "expected a whole number of connections"),
        (["--set", "limits.per_adress=1"], "per_address"),
        (["--receiver", "0", "--set", "receiver.ack=recorded"], "needs a journal"),
        (["--tcp", "tls://:0?certificate=/no/such/file"], "/no/such/file"),
        (["--without", "nobody"], "--without: nobody: no such service"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_a_refusal_is_one_line_on_standard_error_and_status_1(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    status, out, err = refused(tmp_path, *arguments)
    assert status == 1
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("form", ["{port}", "127.0.0.1:{port}", "tcp:{port}:interface=127.0.0.1"])
@pytest.mark.parametrize("twistd", [("-n",), ()], ids=["foreground", "daemonizing"])
def test_a_port_in_use_ends_it_with_the_option_to_change(
    tmp_path: Path, form: str, twistd: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = form.format(port=taken.getsockname()[1])
        status, out, err = refused(tmp_path, "--timestamp", where, twistd=twistd)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "--timestamp" in err
    assert "in use" in err


def test_a_ready_file_that_cannot_be_written_ends_a_running_daemon_with_status_1(tmp_path: Path) -> None:
    status, _, err = refused(tmp_path, "--tcp", "0", "--ready", "/no/such/directory/ready.json")
    assert status == 1
    assert "--ready /no/such/directory/ready.json" in err


def test_it_serves_as_a_background_daemon_that_forked(tmp_path: Path) -> None:
    arguments = ["--timestamp", "0", "--timestamp", "tcp:0:interface=127.0.0.1", "--udp", "0"]
    ready, log, pid = (tmp_path / name for name in ("ready.json", "log", "pid"))
    subprocess.run(
        [TWISTD, f"--pidfile={pid}", f"--logfile={log}", "netsvc", *arguments, f"--ready={ready}"],
        cwd=tmp_path,
        check=True,
        timeout=PATIENCE,
    )
    number = int(pid.read_text())
    follow = subprocess.Popen(
        ["tail", "-n+1", "-f", f"--pid={number}", log], stdout=subprocess.PIPE, text=True
    )
    try:
        assert follow.stdout is not None
        for line in follow.stdout:
            if "netsvc is ready" in line:
                break
        for place in json.loads(ready.read_text()):
            if place["service"] == "timestamp" and place["address"] == "127.0.0.1":
                with socket.create_connection(("127.0.0.1", place["port"]), PATIENCE) as sock:
                    sock.sendall(b"x")
                    assert sock.recv(100).endswith(b"] x")
    finally:
        os.kill(number, signal.SIGTERM)
        follow.wait(PATIENCE)
        assert follow.stdout is not None
        follow.stdout.close()
    assert not pid.exists()


def test_twist_runs_it_too(tmp_path: Path) -> None:
    twist = Path(TWISTD).with_name("twist")
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [twist, "netsvc", "--tcp", "0", f"--ready={ready}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any("netsvc is ready" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_version_tells_netsvc_twisted_and_python(tmp_path: Path) -> None:
    done = subprocess.run(
        [TWISTD, "netsvc", "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    python = ".".join(map(str, sys.version_info[:3]))
    assert done.returncode == 0
    assert re.fullmatch(
        rf"netsvc {re.escape(__version__)}, Twisted \d+\.\d+\S*, Python {python}\n", done.stdout
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_twistd_ends(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, "--tcp", "0") as daemon:
        daemon.signal(number)
        assert daemon.wait() == -number
        assert "Traceback" not in daemon.log()


def test_stopping_sends_what_is_buffered_and_closes_idle_connections_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "--echo", "0", "--set", "net.shutdown_grace=30") as daemon:
        with daemon.connect("echo") as idle, daemon.connect("echo") as busy:
            sent = _fill(busy)
            daemon.signal(signal.SIGTERM)
            assert idle.recv(1) == b""
            received = read_all(busy)
        assert daemon.wait() == -signal.SIGTERM
        assert received == sent[: len(received)], "and the stream ends cleanly, without a reset"
        idle.close()
        busy.close()


def _fill(sock: socket.socket) -> bytes:
    """Send to an echo without reading until it reads no more."""
    block = bytes(range(256)) * 256
    sent = bytearray()
    sock.settimeout(0.5)
    try:
        while True:
            sent += block[: sock.send(block[len(sent) % len(block) :])]
    except TimeoutError:
        sock.settimeout(PATIENCE)
    return (block * (len(sent) // len(block) + 1))[: len(sent)]


def test_a_client_that_reads_nothing_is_dropped_after_the_grace(tmp_path: Path) -> None:
    with (
        running(tmp_path, "--echo", "0", "--set", "net.shutdown_grace=0.5") as daemon,
        daemon.connect("echo") as stuck,
    ):
        _fill(stuck)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == -signal.SIGTERM


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "--echo", "0", "--set", "net.shutdown_grace=3000") as daemon:
        with daemon.connect("echo") as stuck:
            _fill(stuck)
            daemon.signal(signal.SIGTERM)
            daemon.wait_for_line("Received SIGTERM")
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == -signal.SIGTERM
        assert "Traceback" not in daemon.log()


def test_two_signals_at_once_leave_no_traceback(tmp_path: Path) -> None:
    with running(tmp_path, "--tcp", "0") as daemon:
        os.kill(daemon.process.pid, signal.SIGSTOP)
        daemon.signal(signal.SIGTERM)
        daemon.signal(signal.SIGINT)
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert daemon.wait() in (-signal.SIGTERM, -signal.SIGINT)
        assert "Traceback" not in daemon.log()


def test_it_says_so_once_per_listener_when_it_listens_beyond_loopback(tmp_path: Path) -> None:
    with running(tmp_path, "--tcp", "tcp://0.0.0.0:0") as daemon:
        assert daemon.log().count("is beyond loopback") == 1
    with running(tmp_path, "--tcp", "tcp:0") as daemon:
        assert daemon.log().count("is beyond loopback") == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can drop privileges")
def test_as_root_it_binds_and_then_drops_to_the_user_that_twistd_is_given(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    above = tmp_path
    while above != above.parent:
        above.chmod(above.stat().st_mode | 0o011)
        above = above.parent
    path = tmp_path / "echo.sock"
    arguments = ["--tcp", "127.0.0.1:0", "--echo", f"unix://{path}"]
    with running(tmp_path, *arguments, twistd=("--uid", "65534", "--gid", "65534")) as daemon:
        assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert re.search(r"Uid:\s+65534\s+65534\s+65534", status)
        assert "runs as root" not in daemon.log()
        with daemon.connect("timestamp") as sock:
            sock.sendall(b"x")
            assert sock.recv(100).endswith(b"] x")


@pytest.mark.skipif(os.getuid() != 0, reason="only root is warned")
def test_as_root_without_a_user_to_become_it_warns(tmp_path: Path) -> None:
    with running(tmp_path, "--tcp", "0") as daemon:
        daemon.wait_for_line("netsvc runs as root and stays root")
