"""The client list through real sockets: whole however long it is, whoever reads it, and up to date."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from tests.certificates import Certificates
from tests.live.daemon import Daemon, read_all, running
from tests.live.streams import HOSTS, Dial, end_sending, unix_stream

pytestmark = pytest.mark.live

ENTRIES = 20_000

#: What the daemon with many entries gets beside netsvc: to come in one by one, each reading the list, 20,000
#: clients would have to be sent 16 GB.
FILL_PLUGIN = """
from netsvc.service import NetService
fill = NetService(name="fill", summary="fills the client list", stream="fill.FillFactory", needs=["clients"])
"""
FILL = """
from twisted.internet.protocol import Factory, Protocol

class Fill(Protocol):
    def dataReceived(self, data):
        for number in range(int(data)):
            self.factory.clients.register(f"device {number}", "192.0.2.1", number % 65536, 0.0, 100_000)
        self.transport.loseConnection()

class FillFactory(Factory):
    protocol = Fill
    def __init__(self, clients):
        self.clients = clients
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A daemon with 20,000 entries in its client list."""
    directory = tmp_path_factory.mktemp("crowded")
    plugins = directory / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "netsvc_fill.py").write_text(FILL_PLUGIN)
    (directory / "site" / "fill.py").write_text(FILL)
    options = [
        f"--tls-certificate={certificates.server_both}",
        "--clients=127.0.0.1:0",
        "--clients=tls://127.0.0.1:0",
        f"--clients=unix://{directory}/clients.sock",
        "--fill=127.0.0.1:0",
    ]
    path = os.pathsep.join(filter(None, [str(directory / "site"), os.environ.get("PYTHONPATH")]))
    with running(directory, *options, environment={"PYTHONPATH": path}) as daemon:
        with daemon.connect("fill") as sock:
            sock.sendall(b"%d" % ENTRIES)
            assert read_all(sock) == b""
        yield daemon


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the listeners with settings are."""
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def set_otherwise(directory: Path, certificates: Certificates) -> Iterator[Daemon]:
    """Client lists with settings."""
    options = [
        f"--tls-certificate={certificates.server_both}",
        "--clients=tcp://127.0.0.1:0?linger=true",
        "--clients=tls://127.0.0.1:0?linger=true",
        f"--clients=unix://{directory}/linger?linger=true",
        f"--clients=unix://{directory}/usual",
        f"--clients=unix://{directory}/brief?ttl=0.05",
    ]
    with running(directory, *options) as daemon:
        yield daemon


def register(sock: socket.socket, name: bytes) -> Any:
    """Say a name, and read what comes to its end: one line of JSON."""
    with sock:
        sock.sendall(name)
        return decoded(read_all(sock))


def decoded(line: bytes) -> Any:
    """What a line of JSON says; an object has each of its keys once."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return json.loads(line, object_pairs_hook=unique)


# -- entries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("host", HOSTS)
def test_a_client_is_listed_with_its_address_and_port(dial: Dial, transport: str, host: str) -> None:
    sock = dial("clients", transport, host)
    port = sock.getsockname()[1]
    assert register(sock, b"me")["me"] == {"name": "me", "address": host, "port": port}


def test_a_client_of_a_unix_socket_is_listed_with_its_path(
    daemon: Daemon, dial: Dial, tmp_path: Path
) -> None:
    assert register(dial("clients", "unix"), b"u")["u"] == {"name": "u", "address": "", "port": None}
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "own"))
    sock.connect(daemon.path("clients"))
    assert register(sock, b"v")["v"] == {"name": "v", "address": str(tmp_path / "own"), "port": None}


def test_the_same_name_again_replaces_its_entry(dial: Dial) -> None:
    register(dial("clients"), b"twice")
    sock = dial("clients")
    port = sock.getsockname()[1]
    assert register(sock, b"twice")["twice"]["port"] == port


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"plain", "plain"),
        (b"line\n", "line"),
        (b"crlf\r\nand what else\n", "crlf"),
        ("Jürgen €".encode(), "Jürgen €"),
        (b"x" * 255 + b"\n" + b"y" * 1000, "x" * 255),
        (b"{x} %s \" ' \\", "{x} %s \" ' \\"),
    ],
)
def test_a_name_goes_up_to_its_first_newline(dial: Dial, sent: bytes, name: str) -> None:
    assert register(dial("clients"), sent)[name]["name"] == name


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\n", "the name is empty"),
        (b"x" * 256, "the name is longer than 255 bytes"),
        (b"caf\xe9", "the name is not UTF-8"),
        (b"a\x1b[31mb", "the name has a control character in it"),
        (b"a\0b", "the name has a control character in it"),
        ("a\u2028b".encode(), "the name has a control character in it"),
    ],
)
def test_a_bad_name_is_told_why(dial: Dial, transport: str, sent: bytes, reason: str) -> None:
    assert register(dial("clients", transport), sent) == {"error": reason}


def test_a_client_that_says_nothing_and_ends_is_told_so(dial: Dial) -> None:
    with dial("clients") as sock:
        end_sending(sock)
        assert read_all(sock) == b'{"error": "the name is empty"}\n'


def test_entries_leave_after_their_time(set_otherwise: Daemon, directory: Path) -> None:
    with Lingering(unix_stream(directory / "linger"), "watch 1") as watch:
        assert "brief" in register(unix_stream(directory / "brief"), b"brief")
        assert watch.changes(2) == [("joined", "brief"), ("left", "brief")]
        assert "brief" not in register(unix_stream(directory / "usual"), b"usual")


def test_beyond_the_most_the_oldest_leaves_first(tmp_path: Path) -> None:
    with running(tmp_path, "--clients=127.0.0.1:0", "--set", "clients.max_clients=3") as daemon:
        for name in (b"1", b"2", b"3", b"4", b"2", b"5"):
            listed = register(daemon.connect("clients"), name)
    assert set(listed) == {"4", "2", "5"}


# -- who lingers ------------------------------------------------------------------------------------------


class Lingering:
    """A client that stays."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        """
        @ivar listed: the list that it got.
        """
        self.sock = sock
        self._file = sock.makefile("rb")
        sock.sendall(name.encode())
        self.listed = decoded(self._file.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        with self.sock, self._file:
            # To the end: the daemon closes the connection after the entry has left.
            end_sending(self.sock)
            self._file.read()

    def changes(self, count: int) -> list[tuple[str, str]]:
        """So many changes: what happened, and to whom."""
        found = []
        for _ in range(count):
            ((kind, entry),) = decoded(self._file.readline()).items()
            found.append((kind, entry["name"]))
        return found


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_who_lingers_is_told_of_every_change(
    set_otherwise: Daemon, certificates: Certificates, directory: Path, transport: str
) -> None:
    dial = Dial(set_otherwise, certificates.ca)
    one, two, three = (f"{number} over {transport}" for number in ("one", "two", "three"))
    with Lingering(dial("clients", transport), one) as first:
        assert one in first.listed
        with Lingering(dial("clients", transport), two) as second:
            assert {one, two} <= set(second.listed)
            register(unix_stream(directory / "usual"), three.encode())
            assert second.changes(1) == [("joined", three)]
        assert first.changes(3) == [("joined", two), ("joined", three), ("left", two)]
    listed = register(unix_stream(directory / "usual"), b"usual")
    assert three in listed
    assert not {one, two} & set(listed)


def test_an_entry_that_was_replaced_outlives_who_had_it(set_otherwise: Daemon, directory: Path) -> None:
    with Lingering(set_otherwise.connect("clients"), "ours") as first:
        register(unix_stream(directory / "usual"), b"ours")
        assert first.changes(2) == [("left", "ours"), ("joined", "ours")]
    listed = register(unix_stream(directory / "usual"), b"usual")
    assert listed["ours"] == {"name": "ours", "address": "", "port": None}


# -- many -------------------------------------------------------------------------------------------------


def is_whole(listed: dict[str, Any], own: str) -> bool:
    """Whether a list has every device, each with what belongs to it, and its reader."""
    return own in listed and all(
        listed[name] == {"name": name, "address": "192.0.2.1", "port": number}
        for number, name in enumerate(map("device {}".format, range(ENTRIES)))
    )


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_list_of_20000_entries_arrives_whole(
    crowded: Daemon, certificates: Certificates, transport: str
) -> None:
    assert is_whole(register(Dial(crowded, certificates.ca)("clients", transport), b"me"), "me")


def test_it_does_for_many_at_once_who_read_slowly_and_have_ended_their_sending(crowded: Daemon) -> None:
    def ask(number: int) -> bool:
        with unix_stream(crowded.path("clients")) as sock:
            sock.sendall(b"reader %d" % number)
            end_sending(sock)
            pieces = []
            while piece := sock.recv(4096):
                pieces.append(piece)
        return is_whole(decoded(b"".join(pieces)), f"reader {number}")

    # Each of them changes the list, too, while it is being sent to the others.
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(16)))


def test_others_are_served_while_nobody_reads_the_long_list(crowded: Daemon) -> None:
    with ExitStack() as stack:
        for number in range(20):
            deaf = stack.enter_context(unix_stream(crowded.path("clients")))
            deaf.sendall(b"deaf %d" % number)
        assert is_whole(register(crowded.connect("clients"), b"me"), "me")
