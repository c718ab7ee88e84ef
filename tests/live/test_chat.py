"""chat through real sockets: one room for all transports, and nobody in it suffers from another."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.live.daemon import Daemon, read_all, running
from tests.live.streams import Dial, end_sending, unix_stream

pytestmark = pytest.mark.live


class Talker:
    """Somebody in the room, who leaves it with the end of a with statement."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        """@param sock: connected to chat."""
        self.sock = sock
        self._file = sock.makefile("rb")
        self.says(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._file.closed:
            return
        with self.sock, self._file:
            # To the end: the daemon closes the connection after it has told the others.
            end_sending(self.sock)
            self._file.read()

    def says(self, text: str) -> None:
        """Send a line."""
        self.sock.sendall(text.encode() + b"\n")

    def is_reset(self) -> None:
        """Vanish without a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.sock.close()

    def hears(self) -> str:
        """The next line, ``""`` at the end."""
        return self._file.readline().decode().removesuffix("\n")


class Door:
    """Lets talkers in, one after the other."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial

    def __call__(self, name: str, transport: str = "tcp") -> Talker:
        """Somebody who is in the room."""
        talker = Talker(self._dial("chat", transport), name)
        self._dial.barrier()
        return talker


@pytest.fixture
def enter(dial: Dial) -> Door:
    """Comes into the room that all listeners of the daemon share."""
    return Door(dial)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the listeners with settings are."""
    return tmp_path_factory.mktemp("chat")


@pytest.fixture(scope="module")
def small(directory: Path) -> Iterator[Daemon]:
    """A chat with settings: two members, short lines, and little patience with who does not read."""
    options = [
        f"--chat=unix://{directory}/chat?max-members=2&max-line=20",
        f"--chat=unix://{directory}/impatient?write-budget=50000",
        "--echo=127.0.0.1:0",
    ]
    with running(directory, *options) as daemon:
        yield daemon


def test_everybody_hears_everybody_else_on_every_transport(enter: Door) -> None:
    with enter("anna", "tcp") as anna, enter("bob", "tls") as bob, enter("carla", "unix") as carla:
        assert [anna.hears(), anna.hears()] == ["* bob joined", "* carla joined"]
        assert bob.hears() == "* carla joined"
        carla.says("hello, all")
        assert [anna.hears(), bob.hears()] == ["carla: hello, all"] * 2
        bob.says("grüß dich")
        # Nothing of her own came before it.
        assert carla.hears() == anna.hears() == "bob: grüß dich"
        with enter("dan") as dan:
            assert [anna.hears(), bob.hears(), carla.hears()] == ["* dan joined"] * 3
            anna.says("")
            assert [bob.hears(), carla.hears(), dan.hears()] == ["anna: "] * 3
        assert [anna.hears(), bob.hears(), carla.hears()] == ["* dan left"] * 3


def test_lines_count_however_they_are_cut(enter: Door) -> None:
    with enter("listener") as listener:
        with enter("speaker") as speaker:
            speaker.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"one\r\ntwo\n":
                speaker.sock.send(bytes((byte,)))
            speaker.sock.sendall(b"three\nfour\r\nfive, and no more")
        heard = [listener.hears() for _ in range(7)]
    texts = [f"speaker: {text}" for text in ("one", "two", "three", "four", "five, and no more")]
    assert heard == ["* speaker joined", *texts, "* speaker left"]


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_a_name_in_use_is_told_so_and_closed(dial: Dial, enter: Door, transport: str) -> None:
    with enter("eve") as eve, dial("chat", transport) as sock:
        sock.sendall("Ｅve\r\nhello?\n".encode())
        assert read_all(sock) == b"name taken\n"
        with enter("fred") as fred:
            # Neither has heard of the other eve.
            assert eve.hears() == "* fred joined"
            eve.says("still here")
            assert fred.hears() == "eve: still here"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (b"", b"the name is empty\n"),
        (b"x" * 65, b"the name is longer than 64 bytes\n"),
        (b"\xff", b"the name is not UTF-8\n"),
        (b"a\x1b[31mb", b"the name has a control character in it\n"),
        ("a\u2028b".encode(), b"the name has a control character in it\n"),
        (b"bob: hello", b"the name has a colon in it, or a star before it\n"),
        (b"* bob left", b"the name has a colon in it, or a star before it\n"),
    ],
)
def test_a_name_that_cannot_be_is_told_why(dial: Dial, enter: Door, name: bytes, answer: bytes) -> None:
    with enter("greta") as greta, dial("chat") as sock:
        sock.sendall(name + b"\nhello\n")
        assert read_all(sock) == answer
        with enter("hugo"):
            assert greta.hears() == "* hugo joined"


def test_what_would_act_on_a_terminal_is_shown_instead(enter: Door) -> None:
    with enter("ida") as ida, enter("jan") as jan:
        jan.sock.sendall("a\rb \x1b[2J \0 \x85 \u2028 \u202e {x} %s \t.\n".encode() + b"\xff\n")
        assert ida.hears() == "* jan joined"
        assert ida.hears() == r"jan: a\rb \x1b[2J \x00 \x85 \u2028 \u202e {x} %s " + "\t."
        assert ida.hears() == "jan: \N{REPLACEMENT CHARACTER}"


def test_a_client_that_is_reset_has_left(enter: Door) -> None:
    with enter("karl") as karl, enter("lena") as lena:
        assert karl.hears() == "* lena joined"
        lena.is_reset()
        assert karl.hears() == "* lena left"


def test_a_full_room_and_a_long_line_are_told_so(small: Daemon, directory: Path) -> None:
    path = directory / "chat"
    with ExitStack() as stack:
        first = stack.enter_context(Talker(unix_stream(path), "first"))
        barrier(small)
        second = stack.enter_context(Talker(unix_stream(path), "second"))
        assert first.hears() == "* second joined"
        with unix_stream(path) as third:
            third.sendall(b"third\n")
            assert read_all(third) == b"room full\n"
        second.says("x" * 20)
        second.says("x" * 21)
        assert second.hears() == "line too long"
        assert [first.hears(), first.hears()] == ["second: " + "x" * 20, "* second left"]


def test_who_does_not_read_is_dropped_and_nobody_waits(small: Daemon, directory: Path) -> None:
    path = directory / "impatient"
    text = "x" * 8000
    with unix_stream(path) as deaf, Talker(unix_stream(path), "reader") as reader:
        deaf.sendall(b"deaf\n")
        barrier(small)
        with Talker(unix_stream(path), "speaker") as speaker:
            # Which of the two was in first does not matter.
            heard = [reader.hears()]
            while "* deaf left" not in heard:
                speaker.says(text)
                heard.append(reader.hears())
            assert {*heard} - {"* deaf joined"} == {"* speaker joined", f"speaker: {text}", "* deaf left"}
            speaker.says("finally")
            while (line := reader.hears()) != "speaker: finally":
                assert line == f"speaker: {text}"


def barrier(daemon: Daemon) -> None:
    """See `Dial.barrier`."""
    Dial(daemon, Path()).barrier()
