"""The chat room, between pipes and in a terminal."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

import pytest

from netsvc.commands.chat import is_talk
from tests.commands.programs import RESET, answering, in_terminal, interrupt, netsvc, serving, started, usage
from tests.live.daemon import PATIENCE, Daemon, read_all, running

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A chat room."""
    with running(tmp_path_factory.mktemp("daemon"), "--chat=127.0.0.1:0") as started:
        yield started


@pytest.fixture
def at(daemon: Daemon) -> str:
    """Where it is."""
    return f"127.0.0.1:{daemon.port('chat')}"


def joined(daemon: Daemon, name: str) -> socket.socket:
    """A plain connection that is in the room: it is told that somebody comes after it, and goes."""
    sock = daemon.connect("chat")
    sock.sendall(name.encode() + b"\n")
    with daemon.connect("chat") as probe:
        probe.sendall(f"probe of {name}\n".encode())
        told(sock, f"* probe of {name} joined\n")
    told(sock, f"* probe of {name} left\n")
    return sock


def told(sock: socket.socket, line: str) -> None:
    """Wait until somebody in the room is told a line."""
    heard = b""
    while not heard.endswith(line.encode()):
        data = sock.recv(1)
        assert data, heard
        heard += data


@pytest.mark.parametrize(
    ("line", "talk"),
    [(b"ann: hello", True), (b"ann: ", True), (b"* ann joined", True), (b"name taken", False), (b"", False)],
)
def test_talk_is_told_from_a_refusal_by_its_form(line: bytes, talk: bool) -> None:
    assert is_talk(line) is talk


def test_between_pipes_lines_are_said_and_heard(daemon: Daemon, at: str) -> None:
    with joined(daemon, "bob") as bob, started("chat", at, "-n", "ann") as ann:
        told(bob, "* ann joined\n")
        bob.sendall(b"hello \xff\n")
        assert ann.line() == "bob: hello �\n"
        ann.type("one\n\ntwo\r\nthree")
        assert ann.end() == (0, b"", "")
        told(bob, "ann: one\nann: two\nann: three\n* ann left\n")


def test_who_has_nothing_to_say_leaves(at: str) -> None:
    assert netsvc("chat", at, "-n", "silent") == (0, b"", "")


def test_a_name_that_is_taken_is_one_line(daemon: Daemon, at: str) -> None:
    with joined(daemon, "taken"):
        for given in (b"", b"hello\n"):
            status, output, errors = netsvc("chat", at, "-n", "Taken", given=given)
            assert (status, output, errors) == (1, b"", f"netsvc: tcp://{at}: name taken\n")


def test_on_a_terminal_others_are_heard_while_one_types(daemon: Daemon, at: str) -> None:
    with joined(daemon, "eve") as eve, in_terminal("chat", at, "-n", "tom") as tom:
        told(eve, "* tom joined\n")
        tom.wait_for("> ")
        tom.type("half a l")
        tom.wait_for("half a l")
        eve.sendall(b"first\nsecond\n")
        # The prompt may come back between the two.
        tom.wait_for("eve: first\n")
        tom.wait_for("eve: second\n")
        tom.wait_for("> half a l")
        tom.type("ine\r")
        told(eve, "tom: half a line\n")
        tom.wait_for("\n")
        tom.wait_for("> ")
        # Ctrl-D
        tom.type("\x04")
        assert tom.end()[0] == 0
        told(eve, "* tom left\n")


@pytest.mark.parametrize("way", ["key", "signal"])
def test_ctrl_c_leaves_the_room(daemon: Daemon, at: str, way: str) -> None:
    with joined(daemon, f"eve {way}") as eve, in_terminal("chat", at, "-n", "tom") as tom:
        tom.wait_for("> ")
        if way == "key":
            tom.type("\x03")
        else:
            interrupt(tom.process)
        status, shown = tom.end()
        assert status == 128 + signal.SIGINT
        assert "Traceback" not in shown
        told(eve, "* tom left\n")


def test_a_name_that_is_taken_takes_the_prompt_away(daemon: Daemon, at: str) -> None:
    with joined(daemon, "here"), in_terminal("chat", at, "-n", "here") as terminal:
        terminal.wait_for(f"netsvc: tcp://{at}: name taken")
        assert terminal.end()[0] == 1


def test_what_a_server_sends_does_nothing_to_a_terminal() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"ann: \x1b[2J\xff\n")
        read_all(connection)

    with serving(answer) as at, in_terminal("chat", at, "-n", "tom") as terminal:
        terminal.wait_for(r"ann: \x1b[2J\xff")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.end()[0] == 0


@pytest.mark.parametrize(
    ("answer", "output", "text"),
    [
        ([], b"", "closed by the server"),
        ([b"go\x1b away"], b"", r"go\x1b away"),
        ([b"go", b" away\n", RESET], b"", ": go away"),
        ([b"odd\nann: x\nbye\n"], b"odd\nann: x\nbye\n", "closed by the server"),
        ([b"x" * 2_000_000], b"", "a line of more than 1,048,576 bytes"),
        ([RESET], b"", "the connection broke"),
    ],
)
def test_a_server_that_ends_it_is_one_line(answer: list[bytes], output: bytes, text: str) -> None:
    with serving(answering(answer)) as at, started("chat", at, "-n", "tom") as tom:
        tom.process.wait(PATIENCE)
        status, heard, errors = tom.end()
    assert (status, heard) == (1, output)
    assert text in errors
    assert (errors.count("\n"), errors.startswith("netsvc: ")) == (1, True)


def test_a_line_without_a_name_is_shown_at_once_and_is_no_failure_after_our_own_end() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"Welcome\n")
        read_all(connection)
        connection.sendall(b"bye\n")

    with serving(answer) as at:
        with started("chat", at, "-n", "tom") as tom:
            # Nothing follows it.
            assert tom.line() == "Welcome\n"
            assert tom.end() == (0, b"bye\n", "")
        assert netsvc("chat", at, "-n", "tom", given=b"hello\n") == (0, b"Welcome\nbye\n", "")


def test_no_server_is_one_line() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{sock.getsockname()[1]}"
        assert netsvc("chat", at, "-n", "tom") == (1, b"", f"netsvc: tcp://{at}: connection refused\n")


@pytest.mark.parametrize("arguments", [["127.0.0.1:1"], ["127.0.0.1:1", "-n", " "], ["-n", "tom"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert usage("chat", *arguments) == 2
