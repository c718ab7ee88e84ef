"""timestamp through real sockets: its settings, its framings however TCP cuts them, its line in the log."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import Daemon, read_all, read_exactly, running
from tests.live.streams import Dial, end_sending, exchange, unix_stream

pytestmark = pytest.mark.live

#: A listener for each, by the name of its UNIX socket.
QUERIES = {
    "plain": "style=plain",
    "repr": "data=repr",
    "iso": "clock=iso",
    "ns": "clock=ns",
    "short": "framing=line&max-line=10",
    "together": "framing=line&style=plain&data=repr&clock=ns",
}

CTIME = rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d \d{4}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the listeners of `QUERIES` are."""
    return tmp_path_factory.mktemp("timestamp")


@pytest.fixture(scope="module", autouse=True)
def set_otherwise(directory: Path, certificates: Certificates) -> Iterator[Daemon]:
    """Timestamps with settings: line framing on TCP and TLS, everything else on UNIX sockets."""
    options = [
        "--timestamp=tcp://127.0.0.1:0?framing=line",
        f"--timestamp=tls://127.0.0.1:0?framing=line&certificate={certificates.server_both}",
    ]
    options += [f"--timestamp=unix://{directory}/{name}?{query}" for name, query in QUERIES.items()]
    with running(directory, *options) as daemon:
        yield daemon


def ask(path: Path, message: bytes) -> bytes:
    """The whole answer to one message."""
    with unix_stream(path) as sock:
        sock.sendall(message)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_chunk_comes_back_byte_for_byte_behind_the_time(dial: Dial, transport: str) -> None:
    with dial("timestamp", transport) as sock:
        for message in (b"hello python", b"\0", bytes(range(256)), b"two\nlines\r\n", "grüße".encode()):
            answer = exchange(sock, message, 27 + len(message))
            assert re.match(rb"\[%b\] " % CTIME, answer)
            assert answer[27:] == message


def test_the_style_can_be_plain(directory: Path) -> None:
    assert re.fullmatch(CTIME + b" hello python", ask(directory / "plain", b"hello python"))


def test_the_data_can_be_a_python_literal(directory: Path) -> None:
    assert ask(directory / "repr", b"hello python")[26:] == b" b'hello python'"
    assert ask(directory / "repr", b"it's \x1b[31m\r\n\xff")[26:] == b""" b"it's \\x1b[31m\\r\\n\\xff\""""


def test_the_clock_can_be_iso_or_nanoseconds(directory: Path) -> None:
    iso = ask(directory / "iso", b"x")
    assert re.fullmatch(rb"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\] x", iso)
    assert abs(datetime.fromisoformat(iso[1:28].decode()).timestamp() - time.time()) < 60
    before, answer, after = time.time_ns(), ask(directory / "ns", b"x"), time.time_ns()
    assert answer.endswith(b"] x")
    assert before <= int(answer[1:-3]) <= after


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_each_line_has_one_answer_however_it_is_cut(
    set_otherwise: Daemon, certificates: Certificates, transport: str
) -> None:
    text = b"one\r\ntwo\n\nfour, a longer one\n"
    with Dial(set_otherwise, certificates.ca)("timestamp", transport) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(text)):
            sock.send(text[at : at + 1])
        sock.sendall(text * 100)
        size = (27 * 4 + len(text)) * 101
        answers = read_exactly(sock, size).splitlines(keepends=True)
    assert [answer[27:] for answer in answers] == text.splitlines(keepends=True) * 101


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_last_line_without_its_end_is_answered(
    set_otherwise: Daemon, certificates: Certificates, transport: str
) -> None:
    with Dial(set_otherwise, certificates.ca)("timestamp", transport) as sock:
        sock.sendall(b"one\ntwo")
        end_sending(sock)
        assert [line[27:] for line in read_all(sock).splitlines(keepends=True)] == [b"one\n", b"two\n"]


def test_a_line_that_is_too_long_is_told_so_and_ends_the_connection(directory: Path) -> None:
    with unix_stream(directory / "short") as sock:
        sock.sendall(b"0123456789\r\n0123456789A never ends")
        first, second = read_all(sock).splitlines(keepends=True)
    assert first.endswith(b"] 0123456789\r\n")
    assert second == b"line too long\n"


def test_settings_go_together(directory: Path) -> None:
    answer = ask(directory / "together", b"a\x1b\r\nb")
    assert re.fullmatch(rb"\d{19} b'a\\x1b'\r\n\d{19} b'b'\n", answer)


@pytest.mark.parametrize(("transport", "host"), [("tcp", "127.0.0.1"), ("tls", "127.0.0.1"), ("tcp", "::1")])
def test_the_log_tells_of_each_connection(daemon: Daemon, dial: Dial, transport: str, host: str) -> None:
    with dial("timestamp", transport, host) as sock:
        port = sock.getsockname()[1]
        line = daemon.wait_for_line(rf", {port}\)$")
    assert line.endswith(f"] ...connected from: ('{host}', {port})\n")
