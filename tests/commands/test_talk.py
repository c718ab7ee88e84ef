"""A conversation at the prompt, and between pipes."""

from __future__ import annotations

import signal
import socket
import ssl
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.certificates import Certificates
from tests.commands.breaking import reset
from tests.commands.programs import in_terminal, interrupt, netsvc, serving, started
from tests.live.conftest import certificates as certificates
from tests.live.daemon import PATIENCE, Daemon, eventually, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon to talk to."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(
        directory,
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--timestamp=127.0.0.1:0",
        "--timestamp=tls://127.0.0.1:0",
        f"--timestamp=unix://{directory}/timestamp",
        "--receiver=udp://127.0.0.1:0?ack=received",
        "--discard=127.0.0.1:0",
        "--daytime=127.0.0.1:0",
        "--echo=127.0.0.1:0",
    ) as started_daemon:
        yield started_daemon


def tcp(daemon: Daemon, service: str = "timestamp") -> str:
    """Where a service is."""
    return f"127.0.0.1:{daemon.port(service)}"


@contextmanager
def peer() -> Iterator[tuple[str, socket.socket]]:
    """A server that the test plays itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        yield f"127.0.0.1:{server.getsockname()[1]}", server


def accepted(server: socket.socket) -> socket.socket:
    """The next connection to a server."""
    connection, _ = server.accept()
    connection.settimeout(PATIENCE)
    return connection


# -- at the prompt ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix"])
def test_each_line_is_answered_until_an_empty_one(
    daemon: Daemon, certificates: Certificates, scheme: str
) -> None:
    where = daemon.path("timestamp") if scheme == "unix" else f"localhost:{daemon.port('timestamp', scheme)}"
    options = ["--ca", str(certificates.ca)] if scheme == "tls" else []
    with in_terminal("talk", f"{scheme}://{where}", *options) as terminal:
        terminal.wait_for(">>> ")
        terminal.type("hello python\r")
        assert terminal.wait_for("] hello python\n").count("\n[") == 1
        terminal.wait_for(">>> ")
        terminal.type("\r")
        status, rest = terminal.end()
    assert status == 0
    assert "Traceback" not in rest


def test_lines_can_be_edited_and_come_back(daemon: Daemon) -> None:
    with in_terminal("talk", tcp(daemon)) as terminal:
        terminal.wait_for(">>> ")
        # Home, and the key that deletes to the right.
        terminal.type("xone\x01\x1b[3~\r")
        terminal.wait_for("] one\n")
        terminal.wait_for(">>> ")
        # Up.
        terminal.type("\x1b[A two\r")
        terminal.wait_for("] one two\n")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0


def test_datagrams_are_answered_at_the_prompt(daemon: Daemon) -> None:
    with in_terminal("talk", f"udp://localhost:{daemon.port('receiver', 'udp')}") as terminal:
        terminal.wait_for(">>> ")
        terminal.type("hello\r")
        terminal.wait_for("Got your message!\n")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0
    daemon.wait_for_line("Got message from .*: b'hello'")


def test_what_comes_unasked_stands_above_the_line_that_is_typed() -> None:
    with peer() as (place, server), in_terminal("talk", place) as terminal, accepted(server) as connection:
        terminal.wait_for(">>> ")
        terminal.type("half a")
        terminal.wait_for("half a")
        connection.sendall(b"\x1b[31mnews")
        assert "\\x1b[31mnews\n" in terminal.wait_for(">>> half a")
        terminal.type(" line\r")
        assert connection.recv(100) == b"half a line\n"


def test_what_is_typed_before_the_next_prompt_is_not_lost() -> None:
    with peer() as (place, server), in_terminal("talk", place) as terminal, accepted(server) as connection:
        terminal.wait_for(">>> ")
        terminal.type("one\r")
        assert connection.recv(100) == b"one\n"
        # The prompt is gone, and comes again when there is an answer, or none for a while.
        terminal.type("two\r")
        terminal.wait_for(">>> two\n")
        assert connection.recv(100) == b"two\n"
        terminal.type("three")
        connection.sendall(b"answer\n")
        terminal.wait_for("answer\n")
        terminal.wait_for(">>> three")
        terminal.type("\r")
        assert connection.recv(100) == b"three\n"
        terminal.type("\x04")
        assert terminal.end()[0] == 0
        assert termios.tcgetattr(terminal._master)[3] & termios.ICANON


def test_the_end_of_input_is_not_lost_before_the_first_prompt(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_certificate, certificates.server_key)
    with (
        peer() as (place, server),
        in_terminal("talk", f"tls://{place}", f"--ca={certificates.ca}") as terminal,
        accepted(server) as connection,
    ):
        eventually(lambda: not termios.tcgetattr(terminal._master)[3] & termios.ICANON)
        terminal.type("\x04")
        # There is no prompt before the handshake is over.
        with context.wrap_socket(connection, server_side=True) as wrapped:
            assert wrapped.recv(100) == b""
        assert terminal.end()[0] == 0


def test_the_end_of_input_is_not_lost_between_two_prompts() -> None:
    with peer() as (place, server), in_terminal("talk", place) as terminal, accepted(server) as connection:
        terminal.wait_for(">>> ")
        terminal.type("one\r")
        assert connection.recv(100) == b"one\n"
        # The prompt is gone, and comes again when there is an answer, or none for a while.
        terminal.type("\x04")
        connection.sendall(b"answer\n")
        terminal.wait_for("answer\n")
        assert connection.recv(100) == b""
        assert terminal.end()[0] == 0


def test_a_server_that_closes_ends_the_prompt() -> None:
    with peer() as (place, server), in_terminal("talk", place) as terminal:
        with accepted(server):
            terminal.wait_for(">>> ")
        status, rest = terminal.end()
    assert status == 0
    assert rest.endswith(f"netsvc: tcp://{place}: closed by the server\n")


def test_a_server_that_breaks_off_is_a_failure() -> None:
    with peer() as (place, server), in_terminal("talk", place) as terminal:
        connection = accepted(server)
        terminal.wait_for(">>> ")
        reset(connection)
        status, rest = terminal.end()
    assert status == 1
    assert f"netsvc: tcp://{place}: the connection broke" in rest


@pytest.mark.parametrize("by_key", [True, False], ids=["key", "signal"])
def test_ctrl_c_leaves_the_terminal_as_it_was(daemon: Daemon, by_key: bool) -> None:
    with in_terminal("talk", tcp(daemon)) as terminal:
        terminal.wait_for(">>> ")
        if by_key:
            terminal.type("\x03")
        else:
            interrupt(terminal.process)
        status, rest = terminal.end()
        assert status == 130
        assert "Traceback" not in rest
        assert b"\x1b[?2004l" in terminal.raw()
        assert termios.tcgetattr(terminal._master)[3] & termios.ICANON


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGQUIT, -signal.SIGQUIT)]
)
def test_signals_leave_the_terminal_as_it_was(daemon: Daemon, number: int, status: int) -> None:
    with in_terminal("talk", tcp(daemon)) as terminal:
        before = termios.tcgetattr(terminal._master)
        terminal.wait_for(">>> ")
        assert termios.tcgetattr(terminal._master) != before
        terminal.process.send_signal(number)
        # setsid(1) is in between.
        assert terminal.end()[0] == status
        assert termios.tcgetattr(terminal._master) == before


def test_ctrl_c_ends_it_while_it_connects_and_between_prompts() -> None:
    for url in ("tls://", ""):
        with (
            peer() as (place, server),
            in_terminal("talk", url + place) as terminal,
            accepted(server) as connection,
        ):
            if url:
                # The handshake never ends.
                assert connection.recv(1)
            else:
                terminal.wait_for(">>> ")
                terminal.type("one\r")
                assert connection.recv(100) == b"one\n"
            terminal.type("\x03")
            status, rest = terminal.end()
            assert status == 130
            assert "Traceback" not in rest
            assert termios.tcgetattr(terminal._master)[3] & termios.ICANON


# -- between pipes ------------------------------------------------------------------------------------------


def test_each_line_of_a_pipe_gets_its_answer(daemon: Daemon) -> None:
    status, output, errors = netsvc("talk", tcp(daemon), given=b"a\r\nb")
    assert (status, errors) == (0, "")
    assert [line[-3:] for line in output.splitlines()] == [b"] a", b"] b"]


def test_lines_wait_for_the_answer_to_the_one_before() -> None:
    def answer(connection: socket.socket) -> None:
        for _ in range(3):
            # Had the next line been sent already, it would be in here too.
            connection.sendall(connection.recv(100).strip() + b"!")

    with serving(answer) as place:
        assert netsvc("talk", place, "--wait", "10", given=b"a\nb\nc\n") == (0, b"a!\nb!\nc!\n", "")


def test_lines_are_sent_to_who_never_answers(daemon: Daemon) -> None:
    assert netsvc("talk", tcp(daemon, "discard"), "--wait", "0.1", given=b"a\nb\n") == (0, b"", "")


@pytest.mark.parametrize(("eol", "end"), [(None, b"\n"), ("none", b""), ("lf", b"\n"), ("crlf", b"\r\n")])
def test_a_line_ends_as_it_was_said(eol: str | None, end: bytes) -> None:
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        got.append(connection.recv(100))

    with serving(answer) as place:
        assert netsvc("talk", place, *(["--eol", eol] if eol else []), given=b"line\n")[0] == 0
    assert got == [b"line" + end]


def test_datagrams_hold_the_line_alone(daemon: Daemon) -> None:
    url = f"udp://localhost:{daemon.port('receiver', 'udp')}"
    expected = (0, b"Got your message!\n" * 2, "")
    assert netsvc("talk", url, "--wait", "10", given=b"piped one\npiped two\n") == expected
    daemon.wait_for_line("Got message from .*: b'piped two'")


def test_an_empty_line_and_no_line_end_it(daemon: Daemon) -> None:
    assert netsvc("talk", tcp(daemon, "echo"), given=b"a\n\nb\n") == (0, b"a\n", "")
    assert netsvc("talk", tcp(daemon, "echo"), given=b"") == (0, b"", "")


def test_lines_that_cannot_be_sent_any_more_are_a_failure() -> None:
    with serving(lambda connection: connection.sendall(connection.recv(100))) as place:
        status, output, errors = netsvc("talk", place, given=b"a\nb\nb\nb\n")
        assert (status, output.splitlines()[0], errors.count("\n")) == (1, b"a", 1)
        assert errors.startswith(f"netsvc: tcp://{place}: ")


def test_a_server_that_goes_is_noticed_while_the_next_line_is_awaited() -> None:
    with serving(lambda connection: connection.sendall(connection.recv(100))) as place:
        with started("talk", place) as command:
            command.type("a\n")
            assert command.process.wait(PATIENCE) == 1
            _, output, errors = command.end()
        text = "closed by the server before the end of what is to be sent"
        assert (output, errors) == (b"a\n", f"netsvc: tcp://{place}: {text}\n")


def test_a_server_that_goes_after_the_last_answer_has_done_what_it_should() -> None:
    with serving(lambda connection: connection.sendall(connection.recv(100))) as place:
        assert netsvc("talk", place, given=b"a\n") == (0, b"a\n", "")


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
    assert netsvc("talk", place, given=b"a\n") == (1, b"", f"netsvc: tcp://{place}: connection refused\n")


def test_ctrl_c_between_pipes_is_quiet(daemon: Daemon) -> None:
    with started("talk", tcp(daemon, "echo")) as command:
        command.type("a\n")
        assert command.line() == "a\n"
        interrupt(command.process)
        assert command.process.wait(PATIENCE) == 130
        assert command.end()[2] == ""
