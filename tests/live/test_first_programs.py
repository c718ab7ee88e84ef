"""
First programs: the clients that socket tutorials have their readers write, and the programs that they name.

They send without a newline, take each `recv(1024)` for one message, and know of no framing. Each client here
is a short function on plain sockets, as a beginner has it; netsvc must make all of them work.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, create_connection, socket

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, running

pytestmark = pytest.mark.live

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A receiver that acknowledges, and a client list that nobody else enters."""
    options = ["--receiver=tcp://:0?ack=received", "--receiver=udp://:0?ack=received", "--clients=0"]
    with running(tmp_path_factory.mktemp("own"), *options) as daemon:
        yield daemon


# -- what tutorials have their readers write ----------------------------------------------------------------


def ask_in_a_loop(port: int, lines: Iterable[str]) -> list[str]:
    """A prompt, a send, a recv, until the user enters an empty line."""
    answers = []
    client = socket(AF_INET, SOCK_STREAM)
    client.connect((HOST, port))
    for line in lines:
        if not line:
            break
        client.send(line.encode())
        data = client.recv(1024)
        if not data:
            break
        answers.append(data.decode())
    client.close()
    return answers


def ask_once(port: int, message: bytes) -> bytes:
    """The echo client of every manual: connect, send, receive, close."""
    with socket(AF_INET, SOCK_STREAM) as client:
        client.connect((HOST, port))
        client.sendall(message)
        return client.recv(1024)


def ask_in_small_bites(port: int, message: bytes) -> bytes:
    """One that knows how much to expect and takes it 16 bytes at a time."""
    client = create_connection((HOST, port))
    received = b""
    try:
        client.sendall(message)
        while len(received) < len(message):
            received += client.recv(16)
    finally:
        client.close()
    return received


def be_greeted(port: int) -> tuple[bytes, bytes]:
    """The first client of all: connect, print what comes, close."""
    client = socket()
    client.connect((HOST, port))
    first, second = client.recv(1024), client.recv(1024)
    client.close()
    return first, second


def register(port: int, name: str) -> tuple[str, int]:
    """Say your name, take one recv for the list; gives the list as text and the port that we had."""
    client = socket(AF_INET, SOCK_STREAM)
    client.connect((HOST, port))
    own_port = client.getsockname()[1]
    client.send(bytes(name, "utf-8"))
    data = client.recv(1024)
    client.close()
    return data.decode("utf-8"), own_port


def register_and_read_on(port: int, name: str) -> str:
    """The same, repaired: TCP is a stream, so read to its end."""
    client = create_connection((HOST, port))
    client.send(name.encode())
    text = b""
    while True:
        data = client.recv(1024)
        if not data:
            break
        text += data
    client.close()
    return text.decode()


def send_and_leave(port: int, message: str) -> int:
    """UDP without an answer; gives the port that we had."""
    client = socket(AF_INET, SOCK_DGRAM)
    client.sendto(message.encode(), (HOST, port))
    own_port: int = client.getsockname()[1]
    client.close()
    return own_port


def send_and_wait(port: int, messages: Iterable[str]) -> list[str]:
    """UDP with an answer to each message."""
    answers = []
    client = socket(AF_INET, SOCK_DGRAM)
    client.settimeout(PATIENCE)
    for message in messages:
        client.sendto(message.encode(), (HOST, port))
        data, _server = client.recvfrom(1024)
        answers.append(data.decode())
    client.close()
    return answers


# -- and what they see --------------------------------------------------------------------------------------


def test_each_line_of_a_prompt_is_answered_with_the_time(daemon: Daemon) -> None:
    lines = ["hello python", "x", "  blanks  ", "grüße", "a longer one " * 20, ""]
    answers = ask_in_a_loop(daemon.port("timestamp"), lines)
    assert [answer[26:] for answer in answers] == [f" {line}" for line in lines[:-1]]
    for answer in answers:
        assert answer[0] + answer[25] == "[]"
        assert abs(time.mktime(time.strptime(answer[1:25])) - time.time()) < 60


def test_a_prompt_works_with_echo(daemon: Daemon) -> None:
    lines = [f"message {number}" for number in range(100)]
    assert ask_in_a_loop(daemon.port("echo"), lines) == lines


def test_one_message_is_echoed(daemon: Daemon) -> None:
    assert ask_once(daemon.port("echo"), b"Hello, world") == b"Hello, world"
    message = b"This is the message.  It will be repeated."
    assert ask_in_small_bites(daemon.port("echo"), message) == message


def test_many_first_programs_at_once_are_each_answered(daemon: Daemon) -> None:
    clients = [create_connection((HOST, daemon.port("timestamp"))) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(b"client %d" % number)
    # The last first: none waits for another.
    for number, client in reversed(list(enumerate(clients))):
        assert client.recv(1024).endswith(b"] client %d" % number)
        client.close()


def test_a_greeting_comes_and_the_connection_ends(daemon: Daemon) -> None:
    assert be_greeted(daemon.port("greeting")) == (b"Thank you for connecting\r\n", b"")


def test_a_name_without_a_newline_gives_the_client_list(own: Daemon) -> None:
    port = own.port("clients")
    first, first_port = register(port, "name1")
    second, second_port = register(port, "name2")
    name1 = {"name": "name1", "address": HOST, "port": first_port}
    name2 = {"name": "name2", "address": HOST, "port": second_port}
    assert json.loads(first) == {"name1": name1}
    assert json.loads(second) == {"name1": name1, "name2": name2}
    assert first == json.dumps({"name1": name1}) + "\n"


def test_a_list_beyond_1024_bytes_is_there_for_who_reads_on(daemon: Daemon) -> None:
    port = daemon.port("clients")
    names = [f"reader {number}" for number in range(200)]
    for name in names:
        last = register_and_read_on(port, name)
    assert len(last) > 10_000
    assert set(json.loads(last)) >= set(names)


def test_a_datagram_is_shown(daemon: Daemon) -> None:
    port = send_and_leave(daemon.port("receiver", "udp"), "Hello you there!")
    daemon.wait_for_line(re.escape(f"Got message from ('127.0.0.1', {port}): b'Hello you there!'") + "$")


def test_each_datagram_is_acknowledged_to_who_waits(own: Daemon) -> None:
    answers = send_and_wait(own.port("receiver", "udp"), ["Hello you there!", "", "and again"])
    assert answers == ["Got your message!"] * 3


def test_a_prompt_works_with_an_acknowledging_receiver(own: Daemon) -> None:
    answers = ask_in_a_loop(own.port("receiver"), ["one", "two", "three"])
    assert answers == ["Got your message!"] * 3


# -- programs -----------------------------------------------------------------------------------------------


@contextmanager
def at_terminal(*command: str) -> Iterator[Callable[[bytes], bytes]]:
    """A program with somebody who types and waits for an answer of one write, which the terminal shows."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    assert process.stdout is not None
    typed, shown = process.stdin, process.stdout

    def ask(line: bytes) -> bytes:
        typed.write(line)
        return shown.read(1024)

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()


def through(*command: str, message: bytes) -> bytes:
    """A program at the end of a shell's pipe."""
    return subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE, check=True).stdout


@pytest.mark.program("nc")
def test_nc_talks_over_every_transport(daemon: Daemon) -> None:
    tcp, udp = str(daemon.port("echo")), str(daemon.port("echo", "udp"))
    for options in (
        (HOST, tcp),
        ("-6", "::1", tcp),
        ("-U", daemon.path("echo")),
        ("-u", HOST, udp),
        ("-u", "-6", "::1", udp),
    ):
        with at_terminal("nc", *options) as ask:
            assert ask(b"hello\n") == b"hello\n"
            assert ask(b"again\n") == b"again\n"


@pytest.mark.program("nc")
def test_nc_in_a_pipe_gets_whole_answers(daemon: Daemon) -> None:
    def nc(service: str, message: bytes) -> bytes:
        # -N: its end of input ends its sending.
        return through("nc", "-N", HOST, str(daemon.port(service)), message=message)

    assert nc("timestamp", b"hello python").endswith(b"] hello python")
    assert nc("greeting", b"") == b"Thank you for connecting\r\n"
    assert json.loads(nc("clients", b"nc\n"))["nc"]["address"] == HOST
    assert json.loads(nc("whoami", b""))["address"] == HOST
    assert len(nc("daytime", b"")) == 26
    assert nc("discard", b"anything") == b""


@pytest.mark.program("socat")
def test_socat_talks_over_every_transport(daemon: Daemon, certificates: Certificates, tmp_path: Path) -> None:
    authority = f"cafile={certificates.ca}"
    for address in (
        f"TCP4:{HOST}:{daemon.port('echo')}",
        f"TCP6:[::1]:{daemon.port('echo')}",
        f"UDP4:{HOST}:{daemon.port('echo', 'udp')}",
        f"UDP6:[::1]:{daemon.port('echo', 'udp')}",
        f"UNIX-CONNECT:{daemon.path('echo')}",
        f"UNIX-SENDTO:{daemon.path('echo', 'unix-datagram')},bind={tmp_path / 'socat'}",
        f"OPENSSL:{HOST}:{daemon.port('echo', 'tls')},{authority}",
        f"OPENSSL:localhost:{daemon.port('echo', 'tls')},{authority},pf=ip4",
    ):
        with at_terminal("socat", "-", address) as ask:
            assert ask(b"hello\n") == b"hello\n", address
            assert ask(b"again\n") == b"again\n", address


@pytest.mark.program("socat")
def test_socat_in_a_pipe_gets_whole_answers(daemon: Daemon, certificates: Certificates) -> None:
    def socat(service: str, message: bytes) -> bytes:
        address = f"OPENSSL:{HOST}:{daemon.port(service, 'tls')},cafile={certificates.ca}"
        # Without -t it gives an answer half a second, which a busy machine may need.
        return through("socat", "-t", str(PATIENCE), "-", address, message=message)

    assert socat("timestamp", b"hello python").endswith(b"] hello python")
    assert socat("greeting", b"") == b"Thank you for connecting\r\n"
    assert json.loads(socat("clients", b"socat"))["socat"]["address"] == HOST


@pytest.mark.program("openssl")
def test_openssl_s_client_gets_its_answer(daemon: Daemon, certificates: Certificates) -> None:
    where = ("-connect", f"{HOST}:{daemon.port('greeting', 'tls')}", "-CAfile", str(certificates.ca))
    shown = through("openssl", "s_client", "-quiet", "-verify_return_error", *where, message=b"")
    assert shown == b"Thank you for connecting\r\n"
