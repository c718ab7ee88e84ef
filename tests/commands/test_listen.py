"""What arrives, as the command prints it."""

from __future__ import annotations

import io
import json
import signal
import socket
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from twisted.internet.task import Clock

from netsvc.commands.datagrams import DatagramReader
from netsvc.commands.listen import NOTHING_CAME
from netsvc.commands.reception import Reception, Style
from tests.commands.programs import Running, in_terminal, interrupt, netsvc, started, usage
from tests.live.daemon import PATIENCE, eventually, read_all

URL = "udp://127.0.0.1:6667"
PEER = ("127.0.0.1", 54321)


def reception(
    clock: Clock, lines: list[str], count: int | None = None, timeout: float | None = None
) -> tuple[Reception, list[bool]]:
    """A reception with what it prints, and with what it ends."""
    made = Reception(clock, Style(), count, timeout, lines=lines.append)
    ended: list[bool] = []
    made.done.addCallback(ended.append)
    return made, ended


# -- lines --------------------------------------------------------------------------------------------------


def test_a_message_reads_as_in_the_receivers_log() -> None:
    line = Style().message(URL, PEER, b"Hello you there!")
    assert line == "Got message from ('127.0.0.1', 54321): b'Hello you there!'"


def test_bytes_that_act_on_a_terminal_are_escaped_in_message_and_path() -> None:
    line = Style().message("unix-datagram:///s", ("/tmp/\x1b[2J", None), b"\x1b[2J\n\xff")
    assert line.isprintable()
    assert line.endswith(r": b'\x1b[2J\n\xff'")


def test_hexadecimal_digits_are_what_fromhex_reads() -> None:
    line = Style(hex=True).message(URL, PEER, b"\x00\xffab")
    assert line == "Got message from ('127.0.0.1', 54321): 00 ff 61 62"


def test_json_has_the_bytes_and_the_source() -> None:
    row = json.loads(Style(json=True).message(URL, PEER, b"\x00\xff"))
    assert b64decode(row.pop("data")) == b"\x00\xff"
    assert row.pop("time").isdigit()
    assert row == {
        "kind": "received",
        "listener": URL,
        "address": "127.0.0.1",
        "port": 54321,
        "length": 2,
    }
    assert json.loads(Style(json=True).end(URL, PEER))["kind"] == "closed"


# -- how it ends --------------------------------------------------------------------------------------------


def test_silence_from_the_beginning_is_a_failure() -> None:
    clock = Clock()
    _, ended = reception(clock, [], timeout=3)
    clock.advance(2.9)
    assert ended == []
    clock.advance(0.1)
    assert ended == [False]


def test_silence_after_a_message_is_an_end() -> None:
    clock, lines = Clock(), list[str]()
    made, ended = reception(clock, lines, timeout=3)
    clock.advance(2)
    assert made.message(URL, PEER, b"x")
    clock.advance(2.9)
    assert ended == []
    clock.advance(0.1)
    assert (ended, len(lines)) == ([True], 1)


def test_fewer_messages_than_wanted_are_a_failure() -> None:
    clock = Clock()
    made, ended = reception(clock, [], count=2, timeout=3)
    made.message(URL, PEER, b"x")
    clock.advance(3)
    assert ended == [False]


def test_nothing_is_printed_beyond_the_count() -> None:
    clock, lines = Clock(), list[str]()
    made, ended = reception(clock, lines, count=1, timeout=3)
    assert not made.message(URL, PEER, b"x")
    assert not made.message(URL, PEER, b"y")
    made.end(URL, PEER)
    assert (ended, len(lines)) == ([True], 1)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("count", [None, 1])
def test_output_that_fails_ends_it(count: int | None) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    clock = Clock()
    made = Reception(clock, Style(), count, 3, Full(), lambda line: None)
    failures: list[object] = []
    made.done.addErrback(failures.append)
    assert not made.message(URL, PEER, b"x")
    assert len(failures) == 1
    assert clock.getDelayedCalls() == []


# -- datagrams ----------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two UDP sockets; the second may send to the first."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        other.connect(one.getsockname())
        other.settimeout(PATIENCE)
        yield one, other


def reader_of(sock: socket.socket, received: list[bytes], reply: bytes = b"") -> DatagramReader:
    """A reader that collects."""

    def take(data: bytes, host: str, port: int | None) -> bool:
        received.append(data)
        return True

    return DatagramReader(sock, take, reply)


def read(reader: DatagramReader, received: list[bytes]) -> list[bytes]:
    """What has been received after one more reading."""
    reader.doRead()
    return received


def test_datagrams_are_whole_also_empty_and_largest_ones(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = pair
    received: list[bytes] = []
    reader = reader_of(one, received)
    sent = [b"", b"x" * 65_507, b"last"]
    for data in sent:
        other.send(data)
    eventually(lambda: len(read(reader, received)) == 3)
    assert received == sent


def test_an_error_of_the_system_on_one_datagram_is_not_the_end(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    received: list[bytes] = []
    reader = reader_of(one, received, b"answer")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as third:
        third.connect(one.getsockname())
        # Its answer finds nobody, which the system tells with a later call.
        third.send(b"gone")
    one.connect(other.getsockname())
    other.send(b"there")
    eventually(lambda: b"there" in read(reader, received))
    assert other.recv(100) == b"answer"


# -- the command --------------------------------------------------------------------------------------------


def where(running: Running) -> str:
    """The URL that it tells."""
    line = running.error_line()
    assert line.startswith("netsvc: listening on ")
    return line.split()[-1]


def port(url: str) -> int:
    """The port in a URL."""
    return int(url.rpartition(":")[2])


@pytest.mark.live
def test_datagrams_are_printed_until_the_count() -> None:
    with (
        started("listen", "udp://127.0.0.1:0", "--count", "2", "--reply", "Got your message!") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", port(where(running))))
        own = sock.getsockname()[1]
        sock.send(b"Hello you there!")
        assert sock.recv(100) == b"Got your message!"
        sock.send(b"\x1b")
        assert running.end() == (
            0,
            f"Got message from ('127.0.0.1', {own}): b'Hello you there!'\n"
            f"Got message from ('127.0.0.1', {own}): b'\\x1b'\n".encode(),
            "",
        )


@pytest.mark.live
def test_a_stream_is_printed_in_chunks_with_its_end() -> None:
    with started("listen", "localhost:0", "--timeout", "20", "--reply", "ok") as running:
        number = port(where(running))
        with socket.create_connection(("127.0.0.1", number), PATIENCE) as sock:
            own = sock.getsockname()[1]
            sock.sendall(b"one")
            assert sock.recv(100) == b"ok"
        assert running.line() == f"Got message from ('127.0.0.1', {own}): b'one'\n"
        assert running.line() == f"End of the connection from ('127.0.0.1', {own})\n"
        interrupt(running.process)
        assert running.end()[0] == 130


@pytest.mark.live
def test_who_has_finished_sending_still_gets_its_replies() -> None:
    with started("listen", "127.0.0.1:0", "--reply", "ok") as running:
        number = port(where(running))
        # One that loses the race between reply and end is enough.
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", number), PATIENCE) as sock:
                sock.sendall(b"one")
                sock.shutdown(socket.SHUT_WR)
                assert read_all(sock) == b"ok"


@pytest.mark.live
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_unix_sockets_are_listened_on_and_leave_no_file(tmp_path: Path, kind: socket.SocketKind) -> None:
    path, own = tmp_path / "here", tmp_path / "own"
    scheme = "unix" if kind == socket.SOCK_STREAM else "unix-datagram"
    with (
        started("listen", f"{scheme}://{path}", "--count", "1", "--reply", "ok", "--json") as running,
        socket.socket(socket.AF_UNIX, kind) as sock,
    ):
        where(running)
        sock.settimeout(PATIENCE)
        sock.bind(str(own))
        sock.connect(str(path))
        sock.send(b"hello")
        assert sock.recv(100) == b"ok"
        status, output, errors = running.end()
    assert (status, errors) == (0, "")
    assert json.loads(output)["address"] == str(own)
    assert not path.exists()


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_no_file_and_no_traceback(tmp_path: Path, number: int) -> None:
    path = tmp_path / "here"
    with started("listen", f"unix://{path}") as running:
        where(running)
        running.process.send_signal(number)
        assert running.end() == (128 + number, b"", "")
    assert not path.exists()


@pytest.mark.live
def test_payloads_are_appended_to_a_file_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "payloads"
    file.write_bytes(b"before,")
    payload = bytes(range(256)) * 255
    with (
        started("listen", "udp://127.0.0.1:0", "--count", "1", "--file", str(file), "--hex") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.sendto(payload, ("127.0.0.1", port(where(running))))
        status, output, _ = running.end()
    assert status == 0
    assert bytes.fromhex(output.decode().rpartition(": ")[2]) == payload
    assert file.read_bytes() == b"before," + payload


@pytest.mark.live
def test_payloads_alone_go_to_standard_output() -> None:
    with (
        started("listen", "udp://127.0.0.1:0", "--count", "1", "--file", "-") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.sendto(b"\x00\xff", ("127.0.0.1", port(where(running))))
        assert running.end() == (0, b"\x00\xff", "")


@pytest.mark.live
@pytest.mark.parametrize("scheme", ["udp", "tcp", "unix", "unix-datagram"])
def test_it_hears_and_answers_what_netsvc_sends(tmp_path: Path, scheme: str) -> None:
    place = str(tmp_path / "here") if scheme.startswith("unix") else "127.0.0.1:0"
    with started("listen", f"{scheme}://{place}", "--count", "1", "--reply", "heard", "--hex") as running:
        assert netsvc("send", where(running), "--hex", "00 ff", "--wait", "20") == (
            0,
            b"68 65 61 72 64\n",
            "",
        )
        status, output, errors = running.end()
    assert (status, errors) == (0, "")
    assert output.splitlines()[0].endswith(b": 00 ff")


@pytest.mark.live
def test_nothing_in_time_is_said_in_the_words_of_first_programs() -> None:
    status, output, errors = netsvc("listen", "udp://127.0.0.1:0", "--timeout", "0.2")
    assert (status, output) == (1, b"No connection between client and server\n")
    assert errors.startswith("netsvc: listening on udp://127.0.0.1:")
    status, output, errors = netsvc("listen", "udp://127.0.0.1:0", "--timeout", "0.2", "--json")
    assert (status, output) == (1, b"")
    assert errors.endswith(f"\n{NOTHING_CAME}\n")


@pytest.mark.live
def test_fewer_messages_than_asked_for_are_counted() -> None:
    with (
        started("listen", "udp://127.0.0.1:0", "--count", "2", "--timeout", "0.5") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.sendto(b"x", ("127.0.0.1", port(where(running))))
        status, output, errors = running.end()
    assert (status, output.count(b"\n"), errors) == (1, 1, "netsvc: 1 of 2 messages came\n")


@pytest.mark.live
def test_an_address_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        status, output, errors = netsvc("listen", f"127.0.0.1:{number}")
    assert (status, output) == (1, b"")
    assert errors == (
        f"netsvc: tcp://127.0.0.1:{number}: port {number} of 127.0.0.1 is in use; choose another\n"
    )


@pytest.mark.live
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere.invalid:0"], "nowhere.invalid: the name has no address"),
        (["192.0.2.1:0"], "192.0.2.1 is no address of this machine"),
        (["127.0.0.1:0", "--file", "/no/such/file"], "cannot write to it: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], text: str) -> None:
    status, output, errors = netsvc("listen", *arguments)
    assert (status, output) == (1, b"")
    assert errors.startswith("netsvc: ")
    assert text in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [[], ["tls://127.0.0.1:0"], ["127.0.0.1:0", "--count", "0"], ["127.0.0.1:0", "--hex", "--json"]],
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert usage("listen", *arguments) == 2


@pytest.mark.live
def test_raw_bytes_do_not_go_to_a_terminal() -> None:
    with in_terminal("listen", "127.0.0.1:0", "--file", "-") as terminal:
        terminal.wait_for("could act on a terminal")
        assert terminal.end()[0] == 2


@pytest.mark.live
def test_a_last_message_that_cannot_be_written_is_a_failure_and_one_line() -> None:
    with (
        started("listen", "udp://127.0.0.1:0", "--count", "1", "--file", "/dev/full") as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.sendto(b"x", ("127.0.0.1", port(where(running))))
        assert running.end() == (1, b"", "netsvc: cannot write what arrived: No space left on device\n")


@pytest.mark.live
@pytest.mark.parametrize("more", [[], ["--count", "1"]])
def test_closed_output_ends_it_without_a_word(more: list[str]) -> None:
    with (
        started("listen", "udp://127.0.0.1:0", *more) as running,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.connect(("127.0.0.1", port(where(running))))
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.stdout = None
        sock.send(b"x")
        status, _, errors = running.end()
    assert (status, errors) == (1, "")
