"""
Memory is bounded whatever peers do: a daemon that the system gives only so much lives through clients of
every kind that take as much of it as they can, all at once, and serves everybody else meanwhile.
"""

from __future__ import annotations

import re
import resource
import selectors
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, eventually, read_all, running
from tests.live.streams import client_context, encrypted, end_sending, exchange, unix_stream
from tests.live.websockets import WebSocketClient
from tests.web.frames import BINARY, TEXT, frame, opening

pytestmark = pytest.mark.live

_MIB = 1024 * 1024

#: Clients of each kind.
CLIENTS = 5

#: What the daemon may take for its data (getrlimit(2)): what it takes at rest, and this.
ROOM = 112 * _MIB

#: Bytes that one client would send, if it were let.
_MOST = 40 * 1000 * 1000

#: Seconds in which nobody was let send more, and all are taken to be stuck.
_STUCK = 0.5

#: Sources of datagrams, more than accounts are kept of.
_SOURCES = 17_000

#: Bytes that somebody says in the chat room: more than may wait for one member.
_TALK = 8 * _MIB


class Kind(NamedTuple):
    """
    What one kind of client does.

    @ivar service: whose client it is.
    @ivar transport: how it comes.
    @ivar first: what it sends at first.
    @ivar then: what it sends after that, over and over; nothing, and it just stays.
    """

    service: str
    transport: str
    first: bytes
    then: bytes = b""

    @property
    def is_echoed(self) -> bool:
        """Whether it may send only as fast as it reads."""
        return self.service == "echo" and bool(self.then)


_HEAD = b"POST /readyz HTTP/1.1\r\nHost: localhost\r\n"

#: Nobody of these ever reads.
KINDS = {
    "an echo's": Kind("echo", "tcp", b"", bytes(65_536)),
    "an echo's over TLS": Kind("echo", "tls", b"", bytes(65_536)),
    "an echo's over a UNIX socket": Kind("echo", "unix", b"", bytes(65_536)),
    "an echo's over WebSocket": Kind("echo", "ws", opening("/"), frame(BINARY, bytes(60_000))),
    "a line that never ends": Kind("timestamp", "tcp", b"x" * 65_000),
    "chargen's": Kind("chargen", "tcp", b""),
    "chargen's over TLS": Kind("chargen", "tls", b""),
    "chargen's over WebSocket": Kind("chargen", "ws", opening("/")),
    "half a name": Kind("chat", "tcp", b"x" * 8000),
    "a member who hears and never reads": Kind("chat", "tcp", b"%(number)d\n"),
    "one who lingers in the list": Kind("clients", "tcp", b"%(number)d\n"),
    "half a record of TLS": Kind("echo", "tls", b"", b""),
    "half a ClientHello": Kind("echo", "tls-raw", b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + bytes(16_000)),
    "half a head": Kind("web", "tcp", _HEAD + b"X: " + b"x" * 16_000),
    "half a body": Kind("web", "tcp", _HEAD + b"Content-Length: 65536\r\n\r\n" + bytes(65_000)),
    "half a chunk": Kind("web", "tcp", _HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + bytes(65_000)),
    "who asks without end": Kind(
        "web", "tcp", b"", b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500
    ),
    "who asks for all facts": Kind(
        "web", "tcp", b"GET /api/facts?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "a watcher": Kind("web", "tcp", opening("/ws/facts?rate=all&after=last")),
    "half a frame": Kind("web", "tcp", opening("/ws/echo") + frame(BINARY, bytes(900_000), length=_MIB)),
    "half a message": Kind("web", "tcp", opening("/ws/echo") + frame(BINARY, bytes(900_000), fin=False)),
    "ever more messages": Kind("web", "tcp", opening("/ws/echo"), frame(BINARY, bytes(900_000))),
    "pings without end": Kind("web", "tcp", opening("/ws/echo"), frame(9, bytes(125)) * 100),
}


@pytest.fixture
def daemon(tmp_path: Path, certificates: Certificates) -> Iterator[Daemon]:
    tcp = "tcp://127.0.0.1:0"
    options = [
        *(f"--{name}={tcp}" for name in ("echo", "chargen", "chat", "web")),
        f"--timestamp={tcp}?framing=line",
        f"--clients={tcp}?linger=true",
        *(
            f"--{name}=tls://127.0.0.1:0?certificate={certificates.server_both}"
            for name in ("echo", "chargen")
        ),
        *(f"--{name}=ws://127.0.0.1:0" for name in ("echo", "chargen")),
        f"--echo=unix://{tmp_path}/echo.sock",
        "--receiver=udp://127.0.0.1:0?log-rate=10&ack=received",
        f"--set=timeline.timeline_memory={8 * _MIB}",
    ]
    with running(tmp_path, *options) as started:
        yield started


def test_with_little_memory_it_serves_whoever_comes_while_many_take_what_they_can(
    daemon: Daemon, certificates: Certificates
) -> None:
    _is_well(daemon, certificates)
    descriptors = daemon.descriptors()
    _give_no_more_than(daemon, ROOM)
    with ExitStack() as stack:
        clients = {}
        for kind in KINDS.values():
            for number in range(CLIENTS):
                sock = stack.enter_context(_dial(daemon, kind, certificates))
                clients[sock] = kind
                sock.settimeout(_STUCK)
                with suppress(TimeoutError):
                    sock.sendall(kind.first.replace(b"%(number)d", b"%d" % number))
        sent, dropped = _pump(clients)
        echoed = {sock for sock, kind in clients.items() if kind.is_echoed}
        assert all(sent[sock] < _MOST for sock in echoed)
        assert not echoed & dropped, "they are not read from, and so need not be dropped yet"
        _talk_without_end(daemon)
        _come_from_everywhere(daemon)
        _is_well(daemon, certificates)
        assert daemon.process.poll() is None
    eventually(lambda: daemon.descriptors() <= descriptors)
    _is_well(daemon, certificates)
    assert "MemoryError" not in daemon.log()
    assert "Traceback" not in daemon.log()


def _give_no_more_than(daemon: Daemon, room: int) -> None:
    """Let the system refuse the daemon whatever it takes beyond what it has and some room."""
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    found = re.search(r"VmData:\s+(\d+) kB", status)
    assert found is not None
    most = int(found[1]) * 1024 + room
    resource.prlimit(daemon.process.pid, resource.RLIMIT_DATA, (most, most))


def _is_well(daemon: Daemon, certificates: Certificates) -> None:
    """Every transport serves a client like any other."""
    for transport in ("tcp", "tls", "unix"):
        with _dial(daemon, Kind("echo", transport, b""), certificates) as sock:
            assert exchange(sock, b"hello" * 1000, 5000) == b"hello" * 1000
    with daemon.datagrams("receiver") as datagrams:
        datagrams.send(b"hello, are you there?")
        assert datagrams.recv(100) == b"Got your message!"
    with WebSocketClient.to(daemon, "echo") as client:
        client.send(frame(TEXT, b"hello"))
        found = client.next()
        assert found is not None
        assert found.payload == b"hello"
    with daemon.connect("web") as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def _talk_without_end(daemon: Daemon) -> None:
    """Say more in the chat room than those who never read may have waiting, and read it too."""
    line = b"x" * 8000 + b"\n"
    with daemon.connect("chat") as speaker:
        speaker.sendall(b"speaker\n")
        for _ in range(_TALK // len(line)):
            speaker.sendall(line)
        end_sending(speaker)
        left = {line for line in read_all(speaker).splitlines() if line.endswith(b" left")}
    assert len(left) == CLIENTS, "who heard and never read is out"


def _come_from_everywhere(daemon: Daemon) -> None:
    """Send datagrams from more sources than accounts are kept of."""
    target = ("127.0.0.1", daemon.port("receiver", "udp"))
    for number in range(_SOURCES):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.1.{number >> 8}.{number & 255}", 0))
            sock.sendto(b"hello", target)


def _dial(daemon: Daemon, kind: Kind, certificates: Certificates) -> socket.socket:
    if kind.transport == "unix":
        return unix_stream(daemon.path(kind.service))
    port = daemon.port(kind.service, kind.transport.removesuffix("-raw"))
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    return encrypted(sock, client_context(certificates.ca)) if kind.transport == "tls" else sock


def _pump(clients: dict[socket.socket, Kind]) -> tuple[dict[socket.socket, int], set[socket.socket]]:
    """Have all of them send until nobody is let send more; what each has sent, and who was dropped."""
    sent = dict.fromkeys(clients, 0)
    dropped: set[socket.socket] = set()
    with selectors.DefaultSelector() as selector:
        for sock, kind in clients.items():
            sock.setblocking(False)
            if kind.then:
                selector.register(sock, selectors.EVENT_WRITE, kind.then)
        while ready := selector.select(_STUCK):
            for key, _ in ready:
                found = key.fileobj
                assert isinstance(found, socket.socket)
                sock = found
                try:
                    sent[sock] += sock.send(key.data)
                except (BlockingIOError, ssl.SSLWantWriteError):
                    continue
                except OSError:
                    dropped.add(sock)
                    selector.unregister(sock)
                else:
                    if sent[sock] > _MOST:
                        selector.unregister(sock)
    return sent, dropped
