"""Messages that a script sends, and the answers that it gets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.commands.breaking import read_and_reset, reset
from tests.commands.programs import NETSVC, in_terminal, interrupt, netsvc, serving, started
from tests.live.conftest import certificates as certificates
from tests.live.daemon import PATIENCE, Daemon, eventually, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon with what can be sent to."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(
        directory,
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--timestamp=127.0.0.1:0",
        "--receiver=udp://127.0.0.1:0?ack=received",
        "--echo=127.0.0.1:0",
        "--echo=tls://127.0.0.1:0",
        f"--echo=unix://{directory}/echo",
        f"--echo=unix-datagram://{directory}/datagrams",
        f"--whoami=tls://127.0.0.1:0?client-ca={certificates.ca}",
        "--discard=127.0.0.1:0",
    ) as started_daemon:
        yield started_daemon


def tcp(daemon: Daemon, service: str) -> str:
    """Where a service is."""
    return f"127.0.0.1:{daemon.port(service)}"


def refused(*arguments: str) -> str:
    """The line that a command says which did not happen."""
    status, _, errors = netsvc(*arguments)
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("netsvc: ")
    return errors.removeprefix("netsvc: ").strip()


# -- messages and answers -----------------------------------------------------------------------------------


def test_an_answer_is_printed_as_it_came(daemon: Daemon) -> None:
    status, output, errors = netsvc("send", tcp(daemon, "timestamp"), "hello python", "--wait")
    assert (status, errors) == (0, "")
    assert output.startswith(b"[")
    assert output.endswith(b"] hello python")


def test_messages_are_sent_one_after_the_other(daemon: Daemon) -> None:
    _, output, _ = netsvc("send", tcp(daemon, "timestamp"), "a", "b", "--eol", "lf", "--wait")
    assert [line[-3:] for line in output.splitlines()] == [b"] a", b"] b"]


def test_without_wait_it_arrives_and_nothing_is_printed(daemon: Daemon) -> None:
    url = f"udp://localhost:{daemon.port('receiver', 'udp')}"
    assert netsvc("send", url, "Hello you there!") == (0, b"", "")
    daemon.wait_for_line("Got message from .*: b'Hello you there!'")


def test_a_datagram_is_acknowledged(daemon: Daemon) -> None:
    url = f"udp://localhost:{daemon.port('receiver', 'udp')}"
    assert netsvc("send", url, "a", "b", "--wait", "10") == (0, b"Got your message!" * 2, "")


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix", "unix-datagram"])
def test_bytes_go_both_ways_in_hexadecimal(daemon: Daemon, certificates: Certificates, scheme: str) -> None:
    by_path = {"unix": "unix", "unix-datagram": "unix-datagram"}
    where = daemon.path("echo", by_path[scheme]) if scheme in by_path else ""
    where = where or f"localhost:{daemon.port('echo', scheme)}"
    options = ["--ca", str(certificates.ca)] if scheme == "tls" else []
    assert netsvc("send", f"{scheme}://{where}", "--hex", "00ff 0a", "--wait", *options) == (
        0,
        b"00 ff 0a\n",
        "",
    )


def test_a_file_and_standard_input_come_back_whole(daemon: Daemon, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    path = tmp_path / "file"
    path.write_bytes(content)
    address = tcp(daemon, "echo")
    assert netsvc("send", address, "--file", str(path), "--wait") == (0, content, "")
    assert netsvc("send", address, "a", "-", "--wait", given=content) == (0, b"a" + content, "")


def test_an_answer_that_comes_in_pieces_is_whole() -> None:
    def answer(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass
        for _ in range(3):
            connection.sendall(b"x" * 100_000)

    with serving(answer) as place:
        assert netsvc("send", place, "question", "--wait", "0.5") == (0, b"x" * 300_000, "")


def test_a_server_that_hangs_up_at_the_end_of_what_it_reads_is_heard_first() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        # Whoever half-closes now has told it to go.
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            if not connection.recv(100):
                return
        connection.sendall(b"answer")

    with serving(answer) as place:
        assert netsvc("send", place, "question", "--wait", "10") == (0, b"answer", "")


def test_what_a_terminals_encoding_lacks_and_what_a_read_has_cut_are_shown_all_the_same() -> None:
    def answer(connection: socket.socket) -> None:
        for piece in (b"preis 5 \xe2\x82", b"\xac\r", b"\n"):
            connection.sendall(piece)
            connection.recv(100)

    for encoding, shown in (("utf-8", "preis 5 €\n"), ("latin-1", "preis 5 \\u20ac\n")):
        environment = {"PYTHONIOENCODING": encoding}
        with (
            serving(answer) as place,
            in_terminal("send", place, "a", "b", "c", "--wait", environment=environment) as terminal,
        ):
            assert terminal.end() == (0, shown)


def test_a_terminal_is_shown_what_came_and_not_driven(daemon: Daemon) -> None:
    with in_terminal("send", tcp(daemon, "echo"), "--hex", "--", "1b5d") as terminal:
        assert terminal.end() == (0, "")
    with in_terminal("send", tcp(daemon, "echo"), "\x1b[31mred", "--wait") as terminal:
        assert terminal.end() == (0, "\\x1b[31mred\n")


# -- what does not happen -----------------------------------------------------------------------------------


def test_no_answer_is_a_failure(daemon: Daemon) -> None:
    address = tcp(daemon, "discard")
    said = refused("send", address, "x", "--wait", "0.2")
    assert said == f"tcp://{address}: no answer: closed by the server"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{silent.getsockname()[1]}"
        assert refused("send", url, "x", "--wait", "0.1") == f"{url}: no answer: silent for 0.1 s"


def test_a_connection_that_is_reset_before_an_answer_is_said() -> None:
    with serving(read_and_reset) as place:
        assert refused("send", place, "x", "--wait").startswith(f"tcp://{place}: the connection broke")


def test_an_answer_that_is_reset_in_the_middle_is_shown_and_a_failure() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"half an an")
        # Until the client has it, a reset would throw it away.
        connection.recv(100)
        reset(connection)

    with serving(answer) as place:
        status, output, errors = netsvc("send", place, "x", "y", "--wait", "10")
    assert (status, output) == (1, b"half an an")
    assert "the connection broke" in errors


def test_certificates_are_verified_and_wanted(daemon: Daemon, certificates: Certificates) -> None:
    place = f"localhost:{daemon.port('echo', 'tls')}"
    assert refused("send", f"tls://{place}", "x") == (
        f"certificate of {place} is not trusted: its issuer CN=Test authority is not a trusted authority"
    )
    status, output, errors = netsvc("send", f"tls://{place}", "x", "--wait", "--insecure")
    assert (status, output) == (0, b"x")
    assert "NOT VERIFIED" in errors
    url = f"tls://localhost:{daemon.port('whoami', 'tls')}"
    said = refused("send", url, "x", "--wait", "--ca", str(certificates.ca))
    assert said == f"{url}: the server ended TLS: certificate required"


def test_what_cannot_be_sent_is_said(daemon: Daemon, tmp_path: Path) -> None:
    url = f"udp://localhost:{daemon.port('receiver', 'udp')}"
    assert refused("send", url, "--file", "/nonesuch") == "/nonesuch: no such file or directory"
    assert refused("send", url, "--file", "") == "'': no such file or directory"
    assert refused("send", url, "--file", "/\x1b[31m") == r"/\x1b[31m: no such file or directory"
    assert refused("send", url, "--file", "/dev/zero").startswith("/dev/zero: more than 1000000 bytes")
    (tmp_path / "big").write_bytes(bytes(65_508))
    said = refused("send", url, "--file", str(tmp_path / "big"))
    assert said == f"{url}: 65508 bytes are more than a datagram can carry"
    gone = f"unix-datagram://{tmp_path}/none"
    assert refused("send", gone, "x") == f"{gone}: no such file or directory"


@pytest.mark.parametrize(
    "arguments",
    [
        ["localhost:1"],
        ["localhost:1", "0", "--hex"],
        ["localhost", "x"],
        ["udp://127.0.0.1:0", "x"],
        ["localhost:1", "x", "--wait", "0"],
        ["localhost:1", "x", "--wait", "nan"],
    ],
)
def test_wrong_usage_is_said(arguments: list[str]) -> None:
    status, output, errors = netsvc("send", *arguments)
    assert (status, output) == (2, b"")
    assert "Error: " in errors


def test_a_reader_that_goes_away_and_a_full_disk_end_it_quietly(daemon: Daemon) -> None:
    address = tcp(daemon, "echo")
    piped = subprocess.Popen(
        [NETSVC, "send", address, "--file", "/dev/zero", "--wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert piped.stdout is not None
    assert piped.stderr is not None
    assert piped.stdout.read(10) == bytes(10)
    piped.stdout.close()
    assert piped.stderr.read() == b""
    piped.stderr.close()
    assert piped.wait(PATIENCE) == 1
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [NETSVC, "send", address, "x", "--wait"], stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE
        )
    assert done.stderr == b"netsvc: standard output: no space left on device\n"
    assert done.returncode == 1


def test_ctrl_c_ends_it_without_a_word() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        started("send", f"127.0.0.1:{silent.getsockname()[1]}", "x", "--wait", "600") as command,
    ):
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(10) == b"x"
            interrupt(command.process)
            assert command.end() == (130, b"", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_server_that_does_not_read_does_not_keep_who_wants_to_go(number: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        started("send", f"127.0.0.1:{silent.getsockname()[1]}", "--file", "/dev/zero") as command,
    ):
        connection, _ = silent.accept()
        with connection:
            # It sends as long as there is room, and then waits.
            looks = [0]

            def is_stuck() -> bool:
                looks.append(_unread(connection))
                return 0 < looks[-1] == looks[-10:][0]

            eventually(is_stuck)
            command.process.send_signal(number)
            # Half a minute would be what an orderly end may take.
            assert command.process.wait(PATIENCE / 2) == 128 + number
            assert command.end() == (128 + number, b"", "")


def _unread(connection: socket.socket) -> int:
    """How many bytes wait to be read."""
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0])


def test_a_window_that_closes_leaves_no_socket_behind() -> None:
    # Not below what pytest makes, whose paths may be too long for a socket in a directory there.
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as silent,
    ):
        silent.bind(f"{directory}/here")
        silent.settimeout(PATIENCE)
        with started(
            "send",
            f"unix-datagram://{directory}/here",
            "x",
            "--wait=600",
            environment={"TMPDIR": directory},
        ) as command:
            _, source = silent.recvfrom(10)
            assert Path(source).exists()
            command.process.send_signal(signal.SIGHUP)
            assert command.end() == (129, b"", "")
            assert not Path(source).parent.exists()
