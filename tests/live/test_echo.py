"""echo through real sockets, beyond what is asked of all small services: UNIX sockets and `disconnect`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all, running
from tests.live.streams import Dial, end_sending, exchange

pytestmark = pytest.mark.live

TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])


@pytest.fixture(scope="module")
def disconnecting(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[tuple[Daemon, Dial]]:
    """An echo that resets who asks for it."""
    directory = tmp_path_factory.mktemp("disconnecting")
    query = "disconnect=go%20away"
    options = [
        f"--tls-certificate={certificates.server_both}",
        f"--echo=tcp://127.0.0.1:0?{query}",
        f"--echo=tls://127.0.0.1:0?{query}",
        f"--echo=udp://127.0.0.1:0?{query}",
        f"--echo=unix://{directory}/echo.sock?{query}",
    ]
    with running(directory, *options) as daemon:
        yield daemon, Dial(daemon, certificates.ca)


def test_a_first_message_that_asks_for_it_is_answered_with_a_reset(
    disconnecting: tuple[Daemon, Dial],
) -> None:
    _, dial = disconnecting
    with dial("echo") as sock:
        sock.sendall(b"please go away now")
        with pytest.raises(ConnectionResetError):
            read_all(sock)
    # `ssl` calls a reset an early end.
    with dial.tls("echo") as stream:
        stream.sock.sendall(stream.seal(b"please go away now"))
        with pytest.raises(ConnectionResetError):
            stream.read_all()
    # A UNIX socket knows no reset as long as everything was read.
    with dial("echo", "unix") as sock:
        sock.sendall(b"please go away now")
        assert read_all(sock) == b""


@TRANSPORTS
def test_later_messages_may_quote_it(disconnecting: tuple[Daemon, Dial], transport: str) -> None:
    _, dial = disconnecting
    with dial("echo", transport) as sock:
        for message in (b"go", b"go away", b"go away!"):
            assert exchange(sock, message, len(message)) == message


def test_a_datagram_has_no_connection_to_reset(disconnecting: tuple[Daemon, Dial]) -> None:
    daemon, _ = disconnecting
    with daemon.datagrams("echo") as sock:
        sock.send(b"go away")
        assert sock.recv(100) == b"go away"


@TRANSPORTS
def test_without_the_setting_nothing_has_a_connection_reset(dial: Dial, transport: str) -> None:
    with dial("echo", transport) as sock:
        sock.sendall(b"disconnect")
        end_sending(sock)
        assert read_all(sock) == b"disconnect"


def test_datagrams_on_unix_sockets_come_back_whole(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(str(tmp_path / "own"))
        sock.connect(daemon.path("echo", "unix-datagram"))
        for size in (0, 1, 1200, 65_507):
            message = Random(size).randbytes(size)
            sock.send(message)
            assert sock.recv(1 << 17) == message
