"""What an embedded network stack's acceptance suite asks of echo, discard, daytime, chargen and time."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.live.daemon import Daemon, read_all, read_exactly
from tests.live.streams import HOSTS, Dial, end_sending, exchange

pytestmark = [
    pytest.mark.live,
    pytest.mark.parametrize("host", HOSTS),
]

SIZES = (*range(1, 11), *range(100, 1201, 100))
BURST = (100, 200, 300, 120, 500)
STREAMS = pytest.mark.parametrize("transport", ["tcp", "tls"])

#: The most that UDP carries over IPv4.
LARGEST_DATAGRAM = 65_507

#: Seconds from 1900 to the epoch (RFC 868).
FROM_1900 = 2_208_988_800

_DAYTIME = re.compile(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d \d{4}\r\n")

# Linux's number of a socket option that Python's socket module does not name.
_SO_RCVBUFFORCE = 33


def make_room(sock: socket.socket) -> int:
    """Let as much wait for us as the system allows; gives how many bytes that is, by its own measure."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _room_for_a_thousand() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Linux counts up to 2,304 bytes for a datagram of 1,200.
        return make_room(sock) > 1000 * 2304


BY_THE_THOUSAND = pytest.mark.skipif(
    not _room_for_a_thousand(),
    reason="net.core.rmem_max lets too few datagrams wait for a user without privileges",
)


def random_bytes(size: int) -> bytes:
    return Random(size).randbytes(size)


# -- echo ---------------------------------------------------------------------------------------------------


@STREAMS
def test_echo_gives_every_size_back(dial: Dial, transport: str, host: str) -> None:
    with dial("echo", transport, host) as sock:
        for size in SIZES:
            message = random_bytes(size)
            assert exchange(sock, message, size) == message


@STREAMS
def test_echo_gives_a_burst_back_in_order(dial: Dial, transport: str, host: str) -> None:
    with dial("echo", transport, host) as sock:
        for size in BURST:
            sock.sendall(random_bytes(size))
        assert read_exactly(sock, sum(BURST)) == b"".join(map(random_bytes, BURST))


def test_echo_gives_datagrams_of_every_size_back(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("echo", host) as sock:
        for size in (0, *SIZES):
            sock.send(random_bytes(size))
            assert sock.recv(65_536) == random_bytes(size)


def test_echo_gives_a_burst_of_datagrams_back(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("echo", host) as sock:
        for size in BURST:
            sock.send(random_bytes(size))
        assert [sock.recv(65_536) for _ in BURST] == [random_bytes(size) for size in BURST]


def test_echo_gives_the_largest_datagrams_back_whole(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("echo", host) as sock:
        for size in (8_192, 8_193, LARGEST_DATAGRAM - 1, LARGEST_DATAGRAM):
            sock.send(random_bytes(size))
            assert sock.recv(65_536) == random_bytes(size)


@BY_THE_THOUSAND
def test_echo_loses_none_of_a_thousand_datagrams_sent_at_once(daemon: Daemon, host: str) -> None:
    sent = thousand_datagrams()
    with daemon.datagrams("echo", host) as sock:
        make_room(sock)
        sender = threading.Thread(target=lambda: [sock.send(datagram) for datagram in sent])
        sender.start()
        received = [sock.recv(65_536) for _ in sent]
        sender.join()
    assert received == sent


# -- discard ------------------------------------------------------------------------------------------------


@STREAMS
def test_discard_is_silent_and_stays_open(dial: Dial, transport: str, host: str) -> None:
    with dial("discard", transport, host) as sock:
        for size in (*SIZES, 1 << 20):
            sock.sendall(random_bytes(size))
            dial.barrier()
            assert is_silent(sock)
        end_sending(sock)
        assert read_all(sock) == b""


def test_discard_answers_no_datagram(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("discard", host) as sock, daemon.datagrams("echo", host) as other:
        for size in (0, *SIZES, LARGEST_DATAGRAM):
            sock.send(random_bytes(size))
            other.send(b"?")
            assert other.recv(100) == b"?"
            assert not select.select([sock], [], [], 0)[0]


@BY_THE_THOUSAND
@pytest.mark.parametrize("service", ["discard", "receiver"])
def test_none_of_a_thousand_datagrams_sent_at_once_is_dropped(
    daemon: Daemon, service: str, host: str
) -> None:
    with daemon.datagrams(service, host) as sock:
        for datagram in thousand_datagrams():
            sock.send(datagram)
        wait_until_read(sock)
        assert dropped_by_system(sock) == 0


# -- daytime and time ---------------------------------------------------------------------------------------


@STREAMS
def test_daytime_sends_one_line_and_closes(dial: Dial, transport: str, host: str) -> None:
    with dial("daytime", transport, host) as sock:
        # Over TLS, an end without close_notify would raise here.
        answer = read_all(sock)
    assert_daytime(answer)


def test_daytime_answers_a_datagram_with_one_line(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("daytime", host) as sock:
        for question in (b"", b"\n", random_bytes(1200)):
            sock.send(question)
            assert_daytime(sock.recv(1024))


def assert_daytime(answer: bytes) -> None:
    assert 10 <= len(answer) <= 29
    assert _DAYTIME.fullmatch(answer)
    told = time.mktime(time.strptime(answer.decode("ascii").strip(), "%a %b %d %H:%M:%S %Y"))
    assert abs(told - time.time()) < 60


@STREAMS
def test_time_sends_four_bytes_and_closes(dial: Dial, transport: str, host: str) -> None:
    with dial("time", transport, host) as sock:
        assert_time(read_all(sock))


def test_time_answers_a_datagram_with_four_bytes(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("time", host) as sock:
        for question in (b"", b"\n", random_bytes(1200)):
            sock.send(question)
            assert_time(sock.recv(1024))


def assert_time(answer: bytes) -> None:
    assert len(answer) == 4
    assert abs(int.from_bytes(answer, "big") - FROM_1900 - time.time()) < 60


# -- chargen ------------------------------------------------------------------------------------------------


@STREAMS
def test_chargen_sends_the_pattern_of_the_rfc(dial: Dial, transport: str, host: str) -> None:
    with dial("chargen", transport, host) as sock:
        assert read_exactly(sock, 100 * 1024) == b"".join(pattern())[: 100 * 1024]


def test_chargen_answers_a_datagram_with_a_piece_of_the_pattern(daemon: Daemon, host: str) -> None:
    whole = b"".join(pattern())
    with daemon.datagrams("chargen", host) as sock:
        for _ in range(20):
            sock.send(bytes(200))
            answer = sock.recv(65_536)
            assert len(answer) <= 512
            assert answer == whole[: len(answer)]


def pattern() -> Iterator[bytes]:
    """More than 100 KiB of what RFC 864 shows: each line begins one character further on."""
    for line in range(1400):
        yield bytes(0x20 + (line + column) % 95 for column in range(72)) + b"\r\n"


# -- datagrams by the thousand ------------------------------------------------------------------------------


def thousand_datagrams() -> list[bytes]:
    """Different ones, of 8 to 1,200 bytes."""
    return [number.to_bytes(8, "big") + bytes(number * 37 % 1193) for number in range(1000)]


def wait_until_read(sock: socket.socket) -> None:
    """Wait until the one to whom a socket is connected has taken everything out of its buffer."""
    deadline = time.monotonic() + 30
    while system_row(sock)[4].partition(":")[2] != "00000000":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def dropped_by_system(sock: socket.socket) -> int:
    """How many datagrams the system dropped because the other side's buffer was full."""
    return int(system_row(sock)[12])


def system_row(sock: socket.socket) -> list[str]:
    """What Linux tells of the socket at the other end (proc_net_udp(5))."""
    host, port = sock.getpeername()[:2]
    family = "udp6" if ":" in host else "udp"
    packed = socket.inet_pton(sock.family, host)
    words = (packed[at : at + 4][::-1].hex().upper() for at in range(0, len(packed), 4))
    local = f"{''.join(words)}:{port:04X}"
    rows = map(str.split, Path(f"/proc/net/{family}").read_text().splitlines())
    return next(row for row in rows if row[1] == local)


def is_silent(sock: socket.socket) -> bool:
    """Whether nothing, no end either, has come."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    else:
        return False
    finally:
        sock.setblocking(True)
