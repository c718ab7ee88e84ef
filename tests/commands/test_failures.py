"""
What every command that connects does when it cannot, or when what it gets is none of what it should be: one
line (a load has one for each fault), exit status 1, and never a traceback.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from netsvc.commands.certs import make_authority, make_server
from tests.commands.breaking import reset
from tests.commands.programs import RESET, answering, netsvc, serving
from tests.live.daemon import Daemon, running

pytestmark = pytest.mark.live

#: The commands that connect: what stands behind the address, and what standard input has.
COMMANDS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "talk": ((), b"hello\nand more\n"),
    "send": (("hello", "--wait"), b""),
    "greet": ((), b""),
    "clients": (("-n", "me"), b""),
    "chat": (("-n", "me"), b""),
    "bench": (("-c1", "--count=1", "--timeout=1"), b""),
}

#: Bytes of no protocol, with all that acts on a terminal.
GARBAGE = bytes(reversed(range(256))) * 8

every_command = pytest.mark.parametrize("command", COMMANDS)


def run(command: str, address: str, *options: str) -> tuple[int, bytes, str]:
    """Run a command, and see that whatever it complains of is said in lines of its own."""
    arguments, given = COMMANDS[command]
    status, output, errors = netsvc(command, address, *arguments, *options, given=given)
    assert all(line.startswith("netsvc: ") and line.isprintable() for line in errors.splitlines()), errors
    return status, output, errors


def refusal(command: str, address: str, *options: str) -> str:
    """The one line with which a command fails that shows nothing."""
    status, output, errors = run(command, address, *options)
    assert (status, output, errors.count("\n")) == (1, b"", 1), errors
    return errors


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A daemon whose certificate is for another host, and the file of its authority."""
    directory = tmp_path_factory.mktemp("certificates")
    now = datetime.now(UTC)
    authority = make_authority(now - timedelta(days=1), now + timedelta(days=1))
    server = make_server(authority, ["example.test"])
    (directory / "ca.pem").write_bytes(authority.certificate_pem())
    (directory / "server.pem").write_bytes(server.certificate_pem())
    (directory / "server.key").write_bytes(server.key_pem())
    options = [f"--tls-certificate={directory}/server.pem", f"--tls-key={directory}/server.key"]
    with running(tmp_path_factory.mktemp("daemon"), *options, "--echo=tls://127.0.0.1:0") as daemon:
        yield daemon, directory / "ca.pem"


@every_command
def test_a_closed_port_refuses(command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
    assert refusal(command, place) == f"netsvc: tcp://{place}: connection refused\n"


@every_command
def test_what_cannot_be_reached_is_said(command: str) -> None:
    # To everybody there is no TCP, on whatever network (RFC 1122 section 4.2.3.10).
    assert (
        refusal(command, "255.255.255.255:1") == "netsvc: tcp://255.255.255.255:1: network is unreachable\n"
    )
    assert "the name has no address" in refusal(command, "nobody.invalid:1")


@every_command
def test_a_reset_in_the_middle_of_an_answer_is_a_failure(command: str) -> None:
    def speak_first(connection: socket.socket) -> None:
        connection.sendall(b"ha")
        reset(connection)

    answer: Callable[[socket.socket], None] = speak_first if command == "greet" else answering([b"ha", RESET])
    with serving(answer) as place:
        status, _, errors = run(command, place)
    assert status == 1
    assert "reset by " in errors


@every_command
def test_a_certificate_that_is_not_trusted_is_refused(command: str, tls: tuple[Daemon, Path]) -> None:
    place = f"localhost:{tls[0].port('echo', 'tls')}"
    said = refusal(command, f"tls://{place}")
    assert said.startswith(f"netsvc: certificate of {place} is not trusted: ")


@every_command
def test_a_certificate_for_another_host_is_refused(command: str, tls: tuple[Daemon, Path]) -> None:
    daemon, ca = tls
    place = f"localhost:{daemon.port('echo', 'tls')}"
    said = refusal(command, f"tls://{place}", f"--ca={ca}")
    assert said == f"netsvc: certificate of {place} is for example.test, not localhost\n"


# What the chat room does there depends on who closes first: see its own tests.
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"chat"}))
def test_a_server_that_closes_before_an_answer_is_a_failure(command: str) -> None:
    def close(connection: socket.socket) -> None:
        if command != "greet":
            connection.recv(1 << 16)

    with serving(close) as place:
        status, _, errors = run(command, place)
    assert status == 1
    assert "closed " in errors


@every_command
def test_garbage_is_passed_on_or_said(command: str) -> None:
    def speak(connection: socket.socket) -> None:
        if command == "greet":
            connection.sendall(GARBAGE)
            return
        connection.recv(1 << 16)
        connection.sendall(GARBAGE)
        # Until the command has said that it is through.
        with contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):
                continue

    with serving(speak) as place:
        status, output, errors = run(command, place)
    if command in ("send", "greet"):
        assert (status, output, errors) == (0, GARBAGE, "")
    elif command in ("talk", "chat"):
        # The second line begins a new one; and a last line of the room's is whole.
        assert (status, output, errors) == (0, GARBAGE + b"\n", "")
    else:
        assert (status, bool(errors)) == (1, True)


@every_command
def test_a_server_without_tls_is_told_from_a_wrong_certificate(command: str) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(GARBAGE)
        with contextlib.suppress(ConnectionError):
            connection.recv(1 << 16)

    with serving(speak) as place:
        assert "what answers there does not speak TLS" in refusal(command, f"tls://{place}")
