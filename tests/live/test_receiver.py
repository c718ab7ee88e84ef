"""receiver through real sockets: its lines in the log, its acknowledgements, every transport."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, Daemon, read_all, read_exactly, running
from tests.live.streams import HOSTS, Dial, end_sending, exchange

pytestmark = pytest.mark.live

LARGEST_DATAGRAM = 65_507


@pytest.fixture(scope="module")
def acknowledging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Receivers that acknowledge, each in its own words."""
    directory = tmp_path_factory.mktemp("acknowledging")
    options = [
        "--receiver=tcp://:0?ack=received",
        "--receiver=udp://:0?ack=received",
        f"--receiver=unix://{directory}/stream?ack=received&ack-text=Danke%20sch%C3%B6n%0A",
        f"--receiver=unix-datagram://{directory}/datagram?ack=received&ack-text={{x}}",
    ]
    with running(directory, *options) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A receiver whose log shows every message."""
    options = ["--receiver=tcp://:0?log-rate=1e9", "--receiver=udp://:0?log-rate=1e9"]
    with running(tmp_path_factory.mktemp("talkative"), *options) as daemon:
        yield daemon


@contextmanager
def unix_datagrams(daemon: Daemon, own: Path | None = None) -> Iterator[socket.socket]:
    """A datagram socket, at a path if one is given, that talks to the receiver."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        if own is not None:
            sock.bind(str(own))
        sock.connect(daemon.path("receiver", "unix-datagram"))
        yield sock


def wait_for_message(daemon: Daemon, line: str) -> None:
    """Wait for a line of the log that ends so, behind time and service."""
    daemon.wait_for_line(r"^\S+ \[netsvc\.receiver#info\] " + re.escape(line) + "$")


# -- the log ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_the_log_shows_each_datagram(talkative: Daemon, host: str) -> None:
    with talkative.datagrams("receiver", host) as sock:
        peer = (host, sock.getsockname()[1])
        for message in (b"Hello you there!", b"", "grüße".encode(), bytes(range(256))):
            sock.send(message)
            wait_for_message(talkative, f"Got message from {peer}: {message!r}")


@pytest.mark.parametrize(("transport", "host"), [("tcp", "127.0.0.1"), ("tls", "127.0.0.1"), ("tcp", "::1")])
def test_the_log_shows_each_chunk_and_the_end(daemon: Daemon, dial: Dial, transport: str, host: str) -> None:
    with dial("receiver", transport, host) as sock:
        peer = (host, sock.getsockname()[1])
        for message in (b"Hello you there!", b"and again\n"):
            sock.sendall(message)
            wait_for_message(daemon, f"Got message from {peer}: {message!r}")
    wait_for_message(daemon, f"End of the connection from {peer}")


def test_the_log_shows_messages_on_unix_sockets(daemon: Daemon, dial: Dial, tmp_path: Path) -> None:
    with dial("receiver", "unix") as stream:
        stream.sendall(b"through a stream")
        wait_for_message(daemon, "Got message from '': b'through a stream'")
    wait_for_message(daemon, "End of the connection from ''")
    with unix_datagrams(daemon) as sock:
        sock.send(b"from nowhere")
        wait_for_message(daemon, "Got message from '': b'from nowhere'")
    own = tmp_path / "own"
    with unix_datagrams(daemon, own) as sock:
        sock.send(b"from a path")
        wait_for_message(daemon, f"Got message from {str(own)!r}: b'from a path'")


@pytest.mark.parametrize("host", HOSTS)
def test_the_largest_datagram_comes_whole(talkative: Daemon, host: str) -> None:
    with talkative.datagrams("receiver", host) as sock:
        peer = (host, sock.getsockname()[1])
        sock.send(b"z" * LARGEST_DATAGRAM)
        # The log shows as much as is captured, and tells the true length.
        shown = f"{b'z' * 4096!r}... ({LARGEST_DATAGRAM} bytes)"
        wait_for_message(talkative, f"Got message from {peer}: {shown}")


def test_all_of_a_thousand_datagrams_are_shown_in_order(talkative: Daemon) -> None:
    with talkative.datagrams("receiver") as sock:
        port = sock.getsockname()[1]
        for number in range(1000):
            sock.send(b"message %d of a thousand" % number)
        talkative.wait_for_line(rf", {port}\): b'message 999 of a thousand'$")
    shown = re.findall(rf", {port}\): b'message (\d+) of", talkative.log())
    assert shown == [str(number) for number in range(1000)]


def test_the_log_counts_what_is_too_much_for_it(daemon: Daemon) -> None:
    with daemon.datagrams("receiver") as sock:
        for number in range(1000):
            sock.send(b"%d" % number)
    line = daemon.wait_for_line(r"udp://127\.0\.0\.1:\d+: \d+ more in this second, not shown here: messages$")
    assert 0 < int(re.findall(r": (\d+) more", line)[0]) <= 950


# -- acknowledgements -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_nothing_is_acknowledged_unasked_on_a_stream(dial: Dial, transport: str) -> None:
    with dial("receiver", transport) as sock:
        sock.sendall(b"Hello you there!")
        end_sending(sock)
        assert read_all(sock) == b""


@pytest.mark.parametrize("host", HOSTS)
def test_no_datagram_is_acknowledged_unasked(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("receiver", host) as sock:
        sock.send(b"are you there?")
        daemon.wait_for_line(rf"\({host!r}, {sock.getsockname()[1]}\): b'are you there\?'$")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


@pytest.mark.parametrize("host", HOSTS)
def test_each_datagram_is_acknowledged_if_so_set(acknowledging: Daemon, host: str) -> None:
    with acknowledging.datagrams("receiver", host) as sock:
        for message in (b"Hello you there!", b"", bytes(LARGEST_DATAGRAM)):
            sock.send(message)
            assert sock.recv(1024) == b"Got your message!"


@pytest.mark.parametrize("host", HOSTS)
def test_each_chunk_is_acknowledged_if_so_set(acknowledging: Daemon, host: str) -> None:
    with acknowledging.connect("receiver", host) as sock:
        for message in (b"Hello you there!", b"\0"):
            assert exchange(sock, message, 17) == b"Got your message!"
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""


def test_the_acknowledgement_has_the_words_it_was_given(acknowledging: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(acknowledging.path("receiver"))
        stream.sendall(b"x")
        assert read_exactly(stream, 13) == "Danke schön\n".encode()
    with unix_datagrams(acknowledging, tmp_path / "own") as sock:
        sock.send(b"x")
        assert sock.recv(1024) == b"{x}"


def test_a_sender_without_an_address_is_heard_though_it_cannot_be_answered(acknowledging: Daemon) -> None:
    with unix_datagrams(acknowledging) as sock:
        sock.send(b"anonymous")
        wait_for_message(acknowledging, "Got message from '': b'anonymous'")
