"""What a server says first."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.commands.breaking import reset
from tests.commands.programs import in_terminal, netsvc, serving
from tests.live.daemon import Daemon, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with two services that speak first."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(directory, "--greeting=127.0.0.1:0", f"--greeting=unix://{directory}/greeting") as started:
        yield started


def test_the_greeting_is_printed_until_the_server_closes(daemon: Daemon) -> None:
    expected = (0, b"Thank you for connecting\r\n", "")
    assert netsvc("greet", f"localhost:{daemon.port('greeting')}") == expected
    assert netsvc("greet", f"unix://{daemon.path('greeting')}") == expected


def test_a_terminal_gets_lines(daemon: Daemon) -> None:
    with in_terminal("greet", f"localhost:{daemon.port('greeting')}") as terminal:
        assert terminal.end() == (0, "Thank you for connecting\n")


def test_a_server_that_does_not_close_is_left_after_the_time() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 ready\r\n")
        connection.recv(1)

    with serving(greet) as place:
        assert netsvc("greet", place, "--timeout", "0.5") == (0, b"220 ready\r\n", "")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda connection: None, "no greeting: closed by the server"),
        (lambda connection: connection.recv(1), "no greeting: silent for 0.3 s"),
    ],
    ids=["closed", "silent"],
)
def test_no_greeting_is_a_failure(answer: object, complaint: str) -> None:
    assert callable(answer)
    with serving(answer) as place:
        expected = (1, b"", f"netsvc: tcp://{place}: {complaint}\n")
        assert netsvc("greet", place, "--timeout", "0.3") == expected


def test_a_reset_is_a_failure() -> None:
    with serving(reset) as place:
        status, _, errors = netsvc("greet", place)
    assert status == 1
    assert errors.startswith(f"netsvc: tcp://{place}: ")
    # The client may have connected by then, or not.
    assert "reset by " in errors


def test_datagrams_have_no_greeting() -> None:
    status, _, errors = netsvc("greet", "udp://localhost:1")
    assert status == 2
    assert "'udp://localhost:1' is no address here; expected HOST:PORT, tcp://HOST:PORT, " in errors
