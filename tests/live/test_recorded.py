"""What was acknowledged as recorded is there, whatever happens to the process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.certificates import Certificates
from tests.live.acknowledged import ACKNOWLEDGEMENT, Load, open_journal
from tests.live.crashes import crash_once
from tests.live.daemon import PATIENCE, Daemon, read_all, refused, running
from tests.live.streams import Dial, end_sending

pytestmark = pytest.mark.live

ROUNDS = 10


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the daemon below."""
    return tmp_path_factory.mktemp("recorded") / "journal.db"


@pytest.fixture(scope="module")
def recording(journal: Path, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon whose receivers acknowledge what is recorded, and which captures little of anything else."""
    settings = "ack=recorded"
    options = [
        f"--journal={journal}",
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--set=timeline.capture=10",
        "--echo=0",
        f"--receiver=tcp://:0?{settings}",
        f"--receiver=udp://:0?{settings}",
        f"--receiver=tls://:0?{settings}",
        f"--receiver=unix://{journal.parent}/stream?{settings}",
        f"--receiver=unix-datagram://{journal.parent}/datagram?{settings}",
    ]
    with running(journal.parent, *options) as daemon:
        yield daemon


def messages(journal: Path, content: bytes) -> list[tuple[str, int]]:
    """Of the messages that are in the journal with exactly this content the transport and the length."""
    with open_journal(journal) as connection:
        rows = connection.execute(
            "SELECT transport, length FROM fact WHERE kind = 'received' AND data = ? ORDER BY seq", (content,)
        )
        return list(rows)


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    seed = Random().randrange(1 << 32)
    load = Load(Random(seed))
    for _ in range(ROUNDS):
        crash_once(tmp_path, load)
        load.assert_recorded(tmp_path / "journal.db")
    assert load.acknowledged > ROUNDS, f"seed {seed}"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [0, 1, 4097, 65_507])
def test_a_datagram_is_on_disk_whole_when_it_is_acknowledged(
    recording: Daemon, journal: Path, host: str, size: int
) -> None:
    content = (host.encode() * size)[:size]
    before = len(messages(journal, content))
    with recording.datagrams("receiver", host) as sock:
        sock.send(content)
        assert sock.recv(100) == ACKNOWLEDGEMENT
        assert messages(journal, content)[before:] == [("udp", size)]


def test_a_datagram_is_acknowledged_from_the_address_that_it_came_to(tmp_path: Path) -> None:
    options = f"--journal={tmp_path}/journal.db", "--receiver=udp://0.0.0.0:0?ack=recorded"
    with running(tmp_path, *options) as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(("127.0.0.1", 0))
        asked = [(f"127.0.0.{number}", daemon.port("receiver", "udp")) for number in (1, 2, 3)]
        for number, address in enumerate(asked):
            sock.sendto(b"asked at number %d" % number, address)
        assert [sock.recvfrom(100) for _ in asked] == [(ACKNOWLEDGEMENT, address) for address in asked]


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_chunk_is_on_disk_whole_when_it_is_acknowledged(
    recording: Daemon, journal: Path, certificates: Certificates, transport: str
) -> None:
    content = f"through {transport}, ".encode() * 500
    with Dial(recording, certificates.ca)("receiver", transport) as sock:
        sock.sendall(content)
        assert sock.recv(100) == ACKNOWLEDGEMENT
        assert messages(journal, content) == [(transport, len(content))]


def test_a_datagram_through_a_path_is_acknowledged_there(
    recording: Daemon, journal: Path, tmp_path: Path
) -> None:
    content = b"from a path" * 100
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(str(tmp_path / "own"))
        sock.connect(recording.path("receiver", "unix-datagram"))
        sock.send(content)
        assert sock.recv(100) == ACKNOWLEDGEMENT
        assert messages(journal, content) == [("unix-datagram", len(content))]


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_client_that_has_finished_sending_gets_its_acknowledgement(
    recording: Daemon, certificates: Certificates, transport: str
) -> None:
    for _ in range(20):
        with Dial(recording, certificates.ca)("receiver", transport) as sock:
            sock.sendall(b"and that is all")
            end_sending(sock)
            assert read_all(sock) == ACKNOWLEDGEMENT


def test_what_is_recorded_is_whole_and_what_is_shown_is_not(recording: Daemon, journal: Path) -> None:
    with recording.datagrams("receiver") as sock:
        sock.send(b"long enough to be cut")
        sock.recv(100)
        recording.wait_for_line(r"b'long enoug'\.\.\. \(21 bytes\)$")
    with recording.connect("echo") as sock:
        sock.sendall(b"nobody promised to keep this")
        sock.recv(100)
    with recording.datagrams("receiver") as sock:
        sock.send(b"last")
        sock.recv(100)
    with open_journal(journal) as connection:
        rows = connection.execute(
            "SELECT data, length FROM fact WHERE service = 'echo' AND kind = 'received'"
        )
        assert rows.fetchall() == [(b"nobody pro", 28)]


def test_many_datagrams_are_acknowledged_each_once(recording: Daemon, journal: Path) -> None:
    contents = [b"one of many: %d" % number for number in range(200)]
    with recording.datagrams("receiver") as sock:
        for content in contents:
            sock.send(content)
        assert [sock.recv(100) for _ in contents] == [ACKNOWLEDGEMENT] * len(contents)
    assert [messages(journal, content) for content in contents] == [[("udp", len(one))] for one in contents]


@pytest.mark.parametrize("url", ["udp://:0", "tcp://:0"])
def test_without_a_journal_it_is_refused_at_start(tmp_path: Path, url: str) -> None:
    status, out, err = refused(tmp_path, f"--receiver={url}?ack=recorded")
    assert (status, out) == (1, "")
    assert err == (
        f"netsvc: --receiver {url}?ack=recorded: service receiver: "
        "`ack = recorded` needs a journal: expected --journal FILE\n"
    )
