"""
What peers send is data: none of their bytes reaches the log raw, wherever they put them.

A log is read in terminals and cut into records by programs, so a peer must neither move the cursor, nor begin
a line of its own, nor name a field of an event.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all, running
from tests.live.streams import Dial, end_sending

pytestmark = pytest.mark.live

HOSTILE = (
    "{x} {log_source} %s %(peer)s \r\n2026-01-01 [forged#info] \x1b[2J\x1b]0;t\x07 \0 \x85 \u2028 \u202e \x7f"
)
BYTES = HOSTILE.encode() + b"\xff\x9b"

#: The beginning of each line that netsvc writes.
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[a-z0-9_.]+#[a-z]+\] ", re.IGNORECASE)

#: What no line may have in it: control characters, U+2028 and U+2029, what turns the direction of writing,
#: bytes that are not UTF-8.
_RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon whose log has everything that it can have, and that believes PROXY headers."""
    directory = tmp_path_factory.mktemp("hearing")
    options = [f"--tls-certificate={certificates.server_both}"]
    for name in ("receiver", "greeting", "timestamp", "clients", "chat", "whoami", "echo"):
        options += [
            f"--{name}={scheme}://127.0.0.1:0?proxy=optional&log-rate=1e9" for scheme in ("tcp", "tls")
        ]
        options.append(f"--{name}=unix://{directory}/{name}.sock")
    options += ["--receiver=udp://127.0.0.1:0", f"--receiver=unix-datagram://{directory}/receiver.dgram"]
    with running(directory, *options) as daemon:
        yield daemon


@pytest.fixture
def reach(hearing: Daemon, certificates: Certificates) -> Iterator[Dial]:
    """Connects to it, and in the end looks at the log."""
    dial = Dial(hearing, certificates.ca)
    yield dial
    dial.barrier()
    for line in hearing.lines:
        assert _LINE.match(line), f"no line of netsvc's: {line!r}"
        assert not _RAW.search(line), f"raw: {line!r}"
        assert line.isprintable() or line[:-1].isprintable()


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
@pytest.mark.parametrize(
    "service", ["receiver", "greeting", "timestamp", "clients", "chat", "whoami", "echo"]
)
def test_in_a_stream(reach: Dial, service: str, transport: str) -> None:
    with reach(service, transport) as sock, suppress(OSError):
        sock.sendall(BYTES + b"\n" + BYTES)
        end_sending(sock)
        read_all(sock)


def test_in_a_message_that_the_log_shows(reach: Dial, hearing: Daemon) -> None:
    with reach("receiver") as sock, hearing.datagrams("receiver") as datagrams:
        sock.sendall(BYTES)
        datagrams.send(BYTES)
        for peer in (sock.getsockname(), datagrams.getsockname()):
            hearing.wait_for_line(re.escape(f"Got message from {peer}: {BYTES!r}") + "$")


@pytest.mark.parametrize("service", ["timestamp", "greeting", "receiver"])
def test_in_the_path_of_a_unix_socket(
    reach: Dial, hearing: Daemon, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bound by its name alone, for a path can only be so long.
    monkeypatch.chdir(tmp_path)
    own = b"{x}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(own)
        sock.connect(hearing.path(service))
        sock.sendall(b"hello")
        end_sending(sock)
        read_all(sock)
    hearing.wait_for_line(re.escape(repr(own.decode("utf-8", "backslashreplace"))))


def test_in_the_path_of_a_unix_datagram_socket(
    reach: Dial, hearing: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = b"{y}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(own)
        sock.connect(hearing.path("receiver", "unix-datagram"))
        sock.send(BYTES)
    shown = f"Got message from {own.decode('utf-8', 'backslashreplace')!r}: {BYTES!r}"
    hearing.wait_for_line(re.escape(shown) + "$")


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_in_a_proxy_header(reach: Dial, hearing: Daemon, transport: str) -> None:
    path = b"{z}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    body = (
        path.ljust(108, b"\0") + bytes(108) + struct.pack("!BH", 2, len(HOSTILE.encode())) + HOSTILE.encode()
    )
    header = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x31, len(body)) + body
    for refused in (b"PROXY " + BYTES + b"\r\n", header[:14] + b"\xff\xff" + header[16:], header + BYTES):
        with reach.raw("greeting", transport) as sock, suppress(OSError):
            sock.sendall(refused)
            read_all(sock)
    if transport == "tcp":
        hearing.wait_for_line(re.escape(f"Got connection from {path.decode('utf-8', 'backslashreplace')!r}"))


def test_in_what_should_have_been_tls(reach: Dial, hearing: Daemon) -> None:
    with reach.raw("greeting", "tls") as sock, suppress(OSError):
        sock.sendall(BYTES)
        read_all(sock)
    hearing.wait_for_line(r"refused .*: tls \(")
