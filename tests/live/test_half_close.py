"""
Clients that send all they have, end their sending, and only then read their answer.

Shell pipes and most test scripts do so. 800 tries in each way: nothing may be missing from any of the
answers, and over TLS each ends in a close_notify.
"""

from __future__ import annotations

import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all
from tests.live.streams import Dial

pytestmark = pytest.mark.live

SIZES = (3, 1024, 64 * 1024, 200 * 1024)
TRIES = 800

#: Clients at once: some, so that the daemon has more than one in hand, and no more than cores can drive.
AT_ONCE = 4

#: Each message of a size is a different stretch of this, so that no answer can pass for another's.
_BYTES = Random(862).randbytes(max(SIZES) + TRIES)

_BIG = Random(863).randbytes(8 << 20)


@dataclass
class Question:
    """
    A connection to echo and what is to be sent on it.

    @ivar sock: the connection.
    @ivar wire: the message as the socket carries it, its end too where that is bytes.
    @ivar read_answer: reads to the end.
    @ivar fin: whether TCP's own end follows.
    """

    sock: socket.socket
    wire: bytes
    read_answer: Callable[[], bytes]
    fin: bool = True

    def send(self) -> None:
        """Send everything and end the sending."""
        self.sock.sendall(self.wire)
        if self.fin:
            self.sock.shutdown(socket.SHUT_WR)


@contextmanager
def over_tcp(dial: Dial, message: bytes) -> Iterator[Question]:
    with dial("echo") as sock:
        yield Question(sock, message, lambda: read_all(sock))


@contextmanager
def over_unix(dial: Dial, message: bytes) -> Iterator[Question]:
    with dial("echo", "unix") as sock:
        yield Question(sock, message, lambda: read_all(sock))


@contextmanager
def over_tls_with_fin(dial: Dial, message: bytes) -> Iterator[Question]:
    with dial.tls("echo") as stream:
        yield Question(stream.sock, stream.seal(message), stream.read_all)


@contextmanager
def over_tls_with_close_notify(dial: Dial, message: bytes) -> Iterator[Question]:
    with dial.tls("echo") as stream:
        wire = stream.seal(message) + stream.seal_end()
        yield Question(stream.sock, wire, stream.read_all, fin=False)


WAYS = [over_tcp, over_unix, over_tls_with_fin, over_tls_with_close_notify]
Way = Callable[[Dial, bytes], AbstractContextManager[Question]]


@pytest.mark.parametrize("way", WAYS)
def test_every_answer_is_whole(dial: Dial, way: Way) -> None:
    def is_whole(number: int) -> bool:
        message = _BYTES[number : number + SIZES[number % len(SIZES)]]
        with way(dial, message) as question:
            question.send()
            return question.read_answer() == message

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert sum(threads.map(is_whole, range(TRIES))) == TRIES


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_longer_than_all_buffers_is_whole(dial: Dial, way: Way) -> None:
    with way(dial, _BIG) as question:
        sender = threading.Thread(target=question.send)
        sender.start()
        assert question.read_answer() == _BIG
        sender.join(PATIENCE)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_an_answer_that_was_held_back_before_the_end_came_is_whole(dial: Dial, transport: str) -> None:
    with dial("echo", transport) as sock:
        sent = _send_until_nobody_takes_more(sock)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == sent


def _send_until_nobody_takes_more(sock: socket.socket) -> bytes:
    """Send without reading, until the daemon, which then reads no more either, and all buffers are full."""
    sock.setblocking(False)
    sent = 0
    while select.select([], [sock], [], 0.2)[1]:
        sent += sock.send(memoryview(_BIG)[sent % len(_BIG) :][:65536])
    sock.settimeout(PATIENCE)
    return (_BIG * (sent // len(_BIG) + 1))[:sent]


@pytest.mark.program("socat")
@pytest.mark.parametrize("transport", ["tcp", "unix", "tls"])
def test_socat_gets_whole_answers(daemon: Daemon, certificates: Certificates, transport: str) -> None:
    address = {
        "tcp": lambda: f"TCP:127.0.0.1:{daemon.port('echo')}",
        "unix": lambda: f"UNIX-CONNECT:{daemon.path('echo')}",
        "tls": lambda: f"OPENSSL:127.0.0.1:{daemon.port('echo', 'tls')},cafile={certificates.ca}",
    }[transport]()
    for size in SIZES * 3:
        # -t: without it socat waits half a second for an answer, which a busy machine may need.
        command = ["socat", "-t", str(PATIENCE), "-", address]
        message = _BYTES[:size]
        assert subprocess.run(command, input=message, capture_output=True, timeout=PATIENCE).stdout == message
