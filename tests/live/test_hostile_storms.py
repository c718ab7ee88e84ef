"""
Connections that come by the thousand and go at once: everybody else is served meanwhile, and in the end the
daemon has as many descriptors and as much memory as before.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, eventually, running
from tests.live.streams import exchange, unix_stream
from tests.web.frames import TEXT, frame, opening

pytestmark = pytest.mark.live

#: Connections that are opened and dropped. A run with all of them: NETSVC_STORM=100000.
STORM = int(os.environ.get("NETSVC_STORM", "6000"))

#: Connections that end in a reset, of each kind.
RESETS = 100

#: How many are open at once.
_AT_ONCE = 50

_MIB = 1024 * 1024

#: Bytes by which it may have grown: what the allocator keeps, and not two kilobytes for each connection.
_LEFT = 12 * _MIB

#: So that closing sends a reset and what is buffered is thrown away (socket(7)).
_RESET = struct.pack("ii", 1, 0)

#: A ClientHello's beginning; the rest never comes.
_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)

_HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 7\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("storms")
    tcp = "tcp://127.0.0.1:0"
    options = [
        *(f"--{name}={tcp}" for name in ("echo", "greeting", "chargen", "timestamp", "web")),
        *(f"--{name}={tcp}?linger=true" for name in ("clients",)),
        f"--chat={tcp}",
        f"--receiver={tcp}?log-rate=1",
        f"--whoami={tcp}?proxy=required",
        f"--echo=tls://127.0.0.1:0?certificate={certificates.server_both}",
        "--echo=ws://127.0.0.1:0",
        f"--echo=unix://{directory}/echo.sock",
        f"--set=timeline.timeline_memory={_MIB}",
    ]
    with running(directory, *options) as started:
        yield started


#: What a client has said when it goes: the service, the transport, and its bytes.
_KINDS = [
    ("echo", "tcp", b""),
    ("echo", "tcp", b"hello"),
    ("echo", "tcp", b"x" * 200_000),
    ("greeting", "tcp", b""),
    ("chargen", "tcp", b""),
    ("timestamp", "tcp", b"hello"),
    ("clients", "tcp", b"stormy\n"),
    ("clients", "tcp", b""),
    ("chat", "tcp", b"stormy\nhello\n"),
    ("chat", "tcp", b"half a na"),
    ("receiver", "tcp", b"hello"),
    ("whoami", "tcp", b""),
    ("whoami", "tcp", b"PROXY TC"),
    ("whoami", "tcp", _HEADER),
    ("echo", "tls", b""),
    ("echo", "tls", _HELLO),
    ("echo", "tls", b"no TLS at all"),
    ("echo", "ws", opening("/") + frame(TEXT, b"hello")),
    ("web", "tcp", b"GET / HT"),
    ("web", "tcp", b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50),
    ("web", "tcp", b"GET /api/wait?timeout=60&contains=never HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("web", "tcp", opening("/ws/facts?after=last")),
    ("web", "tcp", opening("/ws/chat") + frame(TEXT, b'{"type":"join","name":"stormy"}')),
    ("web", "tcp", opening("/ws/canvas")),
]


def test_resets_of_every_kind_disturb_nobody_and_leave_nothing(daemon: Daemon) -> None:
    with _at_rest(daemon), _somebody_served(daemon):
        for service, transport, said in _KINDS:
            dial = partial(_dial, daemon.port(service, transport))
            _open_and_drop(dial, RESETS // 2, said, [_reset])
            _open_and_drop(dial, RESETS // 2, said, [_reset, _reset, _reset_once_answered])


def test_those_who_come_and_go_leave_nothing(daemon: Daemon) -> None:
    path = daemon.path("echo")
    ways = [_reset, socket.socket.close, _end_and_close]
    with _at_rest(daemon), _somebody_served(daemon):
        ports = [daemon.port(*kind[:2]) for kind in _KINDS]
        each = STORM // (len(ports) + 1)
        for port in ports:
            _open_and_drop(partial(_dial, port), each, b"", ways)
        _open_and_drop(partial(unix_stream, path), STORM - each * len(ports), b"", ways)


@contextmanager
def _at_rest(daemon: Daemon) -> Iterator[None]:
    """See that a daemon is in the end as it was in the beginning."""
    # Whatever is made at the first of each kind is there.
    for service, transport, said in _KINDS:
        dial = partial(_dial, daemon.port(service, transport))
        _open_and_drop(dial, _AT_ONCE, said, [_reset, _reset, _reset, _reset_once_answered])
    descriptors, memory = _idle_descriptors(daemon), daemon.memory()
    yield
    eventually(lambda: daemon.descriptors() <= descriptors)
    assert daemon.memory() - memory < _LEFT
    assert "Traceback" not in daemon.log()
    assert len(daemon.lines) < 5000, "the log was flooded"


def _idle_descriptors(daemon: Daemon) -> int:
    """How many there are once everybody has gone."""
    seen = deque([-1, 0], maxlen=5)

    def is_steady() -> bool:
        seen.append(daemon.descriptors())
        return len(set(seen)) == 1

    eventually(is_steady)
    return seen[-1]


@contextmanager
def _somebody_served(daemon: Daemon) -> Iterator[None]:
    """Have one client talk to an echo all the time; it must be answered every time."""
    over = threading.Event()
    answers: list[bytes] = []

    def talk() -> None:
        with daemon.connect("timestamp") as sock:
            while not over.wait(0.01):
                answers.append(exchange(sock, b"x", 28)[-3:])

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        yield
    finally:
        over.set()
        talker.join(PATIENCE)
    assert not talker.is_alive()
    assert set(answers) == {b"] x"}


def _open_and_drop(
    dial: Callable[[], socket.socket],
    count: int,
    said: bytes,
    ways: Sequence[Callable[[socket.socket], object]],
) -> None:
    """Connect so often, a few at a time, and go in each of the ways in turn."""
    for begun in range(0, count, _AT_ONCE):
        with ExitStack() as stack:
            inside = [stack.enter_context(dial()) for _ in range(min(_AT_ONCE, count - begun))]
            for number, sock in enumerate(inside):
                with suppress(ConnectionError, BlockingIOError):
                    sock.send(said)
                with suppress(OSError):
                    ways[number % len(ways)](sock)


def _dial(port: int) -> socket.socket:
    # Whoever closes first keeps its port for a minute: one source address has too few of them.
    source = f"127.0.{random.randrange(256)}.{random.randrange(1, 255)}"
    return socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def _reset_once_answered(sock: socket.socket) -> None:
    sock.settimeout(0.002)
    with suppress(TimeoutError):
        sock.recv(1)
    _reset(sock)


def _end_and_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    sock.close()
