"""
The first programs of examples/ at work: each client against netsvc, each server against clients on plain
sockets, and each pair of them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.programs import netsvc, started
from tests.live.daemon import PATIENCE, Daemon, read_all, read_exactly, running

pytestmark = pytest.mark.live

TREE = Path(__file__).parent.parent
PROGRAMS = TREE / "examples" / "first_programs"
PAGE = TREE / "docs" / "first-programs.md"

HOST = "127.0.0.1"
STAMP = r"\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] "
STAMP_LENGTH = len("[Thu Sep 15 22:29:12 2016] ")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Every service that a first program is for."""
    services = ["--timestamp=0", "--clients=0", "--greeting=0", "--echo=0", "--receiver=0"]
    with running(tmp_path_factory.mktemp("daemon"), *services) as started:
        yield started


@pytest.fixture(scope="module")
def acknowledging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A receiver that answers."""
    with running(tmp_path_factory.mktemp("acknowledging"), "--receiver=udp://:0?ack=received") as started:
        yield started


def client(program: str, *arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, str(PROGRAMS / f"{program}.py"), *map(str, arguments)],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


class Server:
    """
    A running first program that serves.

    @ivar port: where.
    """

    def __init__(self, program: str) -> None:
        """@param program: without ``.py``; it is given port 0 and tells which it has."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / f"{program}.py"), HOST, "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        found = re.fullmatch(r"waiting for \w+ on \('127\.0\.0\.1', (\d+)\)\n", self.line())
        assert found is not None
        self.port = int(found[1])

    def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Wait until it ends; gives the exit status and standard error."""
        _, errors = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, errors

    def stop(self) -> None:
        """End it; it must still be there, and have complained of nothing."""
        running_still = self._process.poll() is None
        self._process.kill()
        _, errors = self._process.communicate()
        assert (running_still, errors) == (True, "")

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection((HOST, self.port), PATIENCE)


@contextmanager
def serving(program: str) -> Iterator[Server]:
    """A server for the time of a with statement."""
    server = Server(program)
    try:
        yield server
    finally:
        server.stop()


def reset(sock: socket.socket) -> None:
    """Close with a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# -- clients, against netsvc --------------------------------------------------------------------------------


def test_the_time_stamp_client_prints_an_answer_for_each_line(daemon: Daemon) -> None:
    done = client(
        "timestamp_client", HOST, daemon.port("timestamp"), typed="hello python\ngrüße\n\nnever sent\n"
    )
    assert re.fullmatch(f">>> {STAMP}hello python\n>>> {STAMP}grüße\n>>> ", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_time_stamp_client_takes_a_long_line_whole(daemon: Daemon) -> None:
    line = "x" * 60_000
    done = client("timestamp_client", HOST, daemon.port("timestamp"), typed=f"{line}\nnext\n")
    # However TCP cut the line, and where there are more stamps, the next answer is the next line's.
    assert re.sub(STAMP, "", done.stdout) == f">>> {line}\n>>> next\n>>> "
    assert done.returncode == 0


def test_the_echo_client_prints_all_of_the_echo(daemon: Daemon) -> None:
    assert client("echo_client", HOST, daemon.port("echo")).stdout == "Received 'Hello, world'\n"
    message = "grüße " * 10_000
    assert client("echo_client", HOST, daemon.port("echo"), message).stdout == f"Received {message!r}\n"


def test_the_greeting_client_prints_the_greeting(daemon: Daemon) -> None:
    assert client("greeting_client", HOST, daemon.port("greeting")).stdout == "Thank you for connecting\n"


def test_the_client_list_client_reads_a_long_list_to_its_end(daemon: Daemon) -> None:
    port = daemon.port("clients")
    for number in range(200):
        with daemon.connect("clients") as sock:
            sock.sendall(b"somebody %d\n" % number)
            read_all(sock)
    lines = client("clientlist_client", HOST, port, "me").stdout.splitlines()
    assert [line.rsplit(" ", 2)[0] for line in lines] == [*(f"somebody {n}" for n in range(200)), "me"]
    assert re.fullmatch(r"me 127\.0\.0\.1 \d+", lines[-1])


def test_the_client_list_client_has_the_name_of_its_host(daemon: Daemon) -> None:
    last = client("clientlist_client", HOST, daemon.port("clients")).stdout.splitlines()
    assert any(line.startswith(f"{socket.gethostname()} ") for line in last)


def test_the_udp_sender_is_heard(daemon: Daemon) -> None:
    done = client("udp_sender", HOST, daemon.port("receiver", "udp"), "over", "UDP")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    daemon.wait_for_line(r"Got message from \('127\.0\.0\.1', \d+\): b'over UDP'")


def test_the_tcp_sender_is_heard(daemon: Daemon) -> None:
    done = client("tcp_sender", HOST, daemon.port("receiver"), "over", "TCP")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    daemon.wait_for_line(r"Got message from \('127\.0\.0\.1', \d+\): b'over TCP'")


def test_the_udp_sender_that_waits_prints_the_reply(acknowledging: Daemon) -> None:
    done = client("udp_sender_with_reply", HOST, acknowledging.port("receiver", "udp"))
    assert (done.returncode, done.stdout) == (0, "Got your message!\n")


def test_the_udp_sender_that_waits_does_not_wait_for_ever() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        done = client("udp_sender_with_reply", *silent.getsockname())
    assert (done.returncode, done.stderr) == (
        1,
        "no answer: lost on the way there or back, or nobody answers\n",
    )


# -- servers, against plain sockets -------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["timestamp_server", "timestamp_server_threaded"])
def test_a_time_stamping_server_answers_each_message(program: str) -> None:
    with serving(program) as server:
        with server.connect() as sock:
            for message in (b"hello python", b"x", b"with a newline\n", bytes(range(1, 256))):
                sock.sendall(message)
                answer = read_exactly(sock, STAMP_LENGTH + len(message))
                assert re.fullmatch(STAMP.encode() + re.escape(message), answer, re.DOTALL)
            own = sock.getsockname()
        assert server.line() == f"...connected from: {own}\n"


def test_the_threaded_server_lets_nobody_wait() -> None:
    with serving("timestamp_server_threaded") as server, server.connect(), server.connect() as second:
        second.sendall(b"hello")
        assert read_exactly(second, STAMP_LENGTH + 5).endswith(b"] hello")


@pytest.mark.parametrize("program", ["echo_server", "select_server"])
def test_an_echo_server_sends_back_everything(program: str) -> None:
    message = os.urandom(200_000)
    with serving(program) as server, server.connect() as sock:
        sent = 0
        received = bytearray()
        while sent < len(message):
            # In pieces, so that neither side waits for the other with full buffers.
            sent += sock.send(message[sent : sent + 4096])
            received += read_exactly(sock, sent - len(received))
        sock.shutdown(socket.SHUT_WR)
        assert received + read_all(sock) == message


@pytest.mark.parametrize("program", ["echo_server", "select_server"])
def test_an_echo_server_answers_who_has_finished_sending(program: str) -> None:
    with serving(program) as server, server.connect() as sock:
        sock.sendall(b"hello" * 1000)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b"hello" * 1000


def test_the_select_server_lets_nobody_wait() -> None:
    with serving("select_server") as server, server.connect() as greedy, server.connect() as other:
        greedy.settimeout(0.5)
        # It sends and never reads: it is not read from, once its echo has filled every buffer between us.
        with pytest.raises(TimeoutError):
            greedy.sendall(bytes(100_000_000))
        other.sendall(b"hello")
        assert read_exactly(other, 5) == b"hello"
        assert server.line().startswith("new connection from (")


@pytest.mark.parametrize(
    "program",
    [
        "timestamp_server",
        "timestamp_server_threaded",
        "echo_server",
        "select_server",
        "greeting_server",
        "clientlist_server",
    ],
)
def test_a_client_that_resets_ends_no_server(program: str) -> None:
    with serving(program) as server:
        for _ in range(3):
            sock = server.connect()
            sock.sendall(bytes(100_000))
            reset(sock)
        with server.connect() as sock:
            # The greeting server reads nothing, and a close with something unread is a reset.
            if program != "greeting_server":
                sock.sendall(b"still there?")
                sock.shutdown(socket.SHUT_WR)
            assert read_all(sock)


def test_the_greeting_server_greets_and_closes() -> None:
    with serving("greeting_server") as server, server.connect() as sock:
        assert read_all(sock) == b"Thank you for connecting\r\n"
        assert server.line() == f"Got connection from {sock.getsockname()}\n"


def test_the_client_list_server_has_everybody() -> None:
    entries = {}
    with serving("clientlist_server") as server:
        for name in ("name1", "name2", "näme3"):
            with server.connect() as sock:
                sock.sendall(name.encode())
                text = read_all(sock)
                entries[name] = {"name": name, "address": HOST, "port": sock.getsockname()[1]}
    assert json.loads(text) == entries
    assert text.endswith(b"}\n")


@pytest.mark.parametrize("program", ["udp_receiver", "udp_receiver_with_reply", "udp_receiver_with_timeout"])
def test_a_udp_receiver_prints_what_comes_whole(program: str) -> None:
    with serving(program) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        for message in (b"Hello you there!", b"", b"x" * 60_000):
            sock.sendto(message, (HOST, server.port))
            assert server.line() == f"Got message from {(HOST, sock.getsockname()[1])} {message!r}\n"
            if program == "udp_receiver_with_reply":
                assert sock.recv(1024) == b"Got your message!"


def test_the_udp_receiver_with_a_time_out_says_that_nobody_came() -> None:
    assert Server("udp_receiver_with_timeout").end() == (1, "No connection between client and server\n")


# -- servers, and the netsvc command ------------------------------------------------------------------------


def shown_by(*arguments: str) -> str:
    """What the netsvc command shows, having done what it should."""
    status, output, errors = netsvc(*arguments)
    assert (status, errors) == (0, ""), output
    return output.decode()


@pytest.mark.parametrize("program", ["timestamp_server", "timestamp_server_threaded"])
def test_netsvc_talks_with_a_time_stamping_server(program: str) -> None:
    with serving(program) as server:
        status, output, errors = netsvc("talk", f"{HOST}:{server.port}", given=b"hello python\nagain\n")
    assert (status, errors) == (0, "")
    assert re.fullmatch(f"{STAMP}hello python\n{STAMP}again\n", output.decode())


@pytest.mark.parametrize("program", ["echo_server", "select_server"])
def test_netsvc_sends_to_an_echo_server(program: str) -> None:
    with serving(program) as server:
        assert (
            shown_by("send", "--wait", "5", f"{HOST}:{server.port}", "Hello, world").rstrip()
            == "Hello, world"
        )
        load = ("bench", f"{HOST}:{server.port}", "--count=200", "--connections=1", "--expect=echo")
        assert "answered   200 of 200" in shown_by(*load)


def test_netsvc_puts_load_on_servers_that_let_nobody_wait() -> None:
    for program in ("timestamp_server_threaded", "select_server"):
        with serving(program) as server:
            assert "answered   500 of 500" in shown_by("bench", f"{HOST}:{server.port}", "--count=500")


def test_netsvc_is_greeted() -> None:
    with serving("greeting_server") as server:
        assert shown_by("greet", f"{HOST}:{server.port}").splitlines() == ["Thank you for connecting"]


def test_netsvc_registers_with_a_client_list_server() -> None:
    with serving("clientlist_server") as server:
        client("clientlist_client", HOST, server.port, "name1")
        shown = json.loads(shown_by("clients", f"{HOST}:{server.port}", "-n", "name2", "--json"))
    assert list(shown) == ["name1", "name2"]


def test_netsvc_sends_to_a_udp_receiver() -> None:
    for program in ("udp_receiver", "udp_receiver_with_timeout"):
        with serving(program) as server:
            shown_by("send", f"udp://{HOST}:{server.port}", "Hello you there!")
            assert server.line().endswith(") b'Hello you there!'\n")
    with serving("udp_receiver_with_reply") as server:
        shown = shown_by("send", "--wait", "5", f"udp://{HOST}:{server.port}", "Hello you there!")
    assert shown.rstrip() == "Got your message!"


def test_netsvc_finds_the_addresses_that_the_program_finds() -> None:
    rows = json.loads(shown_by("resolve", "localhost", "8009", "--json"))["addresses"]
    families = {"IPv4": "AF_INET", "IPv6": "AF_INET6"}
    lines = [f"{families[row['family']]} {row['address']} {row['port']}\n" for row in rows]
    assert client("addresses", "localhost", 8009).stdout == "".join(lines)


@pytest.mark.parametrize(("scheme", "program"), [("udp", "udp_sender"), ("tcp", "tcp_sender")])
def test_netsvc_listens_to_a_sender(scheme: str, program: str) -> None:
    with started("listen", f"{scheme}://{HOST}:0", "--count=1") as listening:
        port = int(re.findall(r"\d+", listening.error_line())[-1])
        client(program, HOST, port, "Hello", "you")
        assert re.match(r"Got message from \('127\.0\.0\.1', \d+\): b'Hello you'", listening.line())


# -- pairs, and what needs no other -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server_program", "client_program", "typed", "shown"),
    [
        ("timestamp_server", "timestamp_client", "hello\n", f">>> {STAMP}hello\n>>> "),
        ("timestamp_server_threaded", "timestamp_client", "hello\n", f">>> {STAMP}hello\n>>> "),
        ("echo_server", "echo_client", "", "Received 'Hello, world'\n"),
        ("select_server", "echo_client", "", "Received 'Hello, world'\n"),
        ("greeting_server", "greeting_client", "", "Thank you for connecting\n"),
        ("clientlist_server", "clientlist_client", "", r".+ 127\.0\.0\.1 \d+\n"),
        ("udp_receiver_with_reply", "udp_sender_with_reply", "", "Got your message!\n"),
    ],
)
def test_a_pair_understands_each_other(
    server_program: str, client_program: str, typed: str, shown: str
) -> None:
    with serving(server_program) as server:
        assert re.fullmatch(shown, client(client_program, HOST, server.port, typed=typed).stdout)


def test_the_addresses_of_a_name_are_printed() -> None:
    assert client("addresses", HOST, 8009).stdout == "AF_INET 127.0.0.1 8009\n"
    done = client("addresses", "nobody.invalid", 8009)
    assert done.returncode == 1
    assert re.fullmatch(r"nobody\.invalid 8009: .+\n", done.stderr)


def test_the_name_of_the_host_is_printed() -> None:
    assert client("hostname").stdout.splitlines()[0] == socket.gethostname()


# -- all of them --------------------------------------------------------------------------------------------


def programs() -> list[str]:
    """Their names, without ``.py``."""
    return sorted(path.stem for path in PROGRAMS.glob("*.py"))


@pytest.mark.parametrize("program", programs())
def test_a_program_needs_the_standard_library_only_and_is_short(program: str) -> None:
    text = (PROGRAMS / f"{program}.py").read_text()
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert imported <= sys.stdlib_module_names
    assert len(text.splitlines()) < 50


def test_the_page_has_the_line_that_starts_each_program() -> None:
    started = re.findall(
        r"^    (?:\$ )?python3 examples/first_programs/(\w+)\.py", PAGE.read_text(), re.MULTILINE
    )
    assert sorted(set(started)) == programs()
