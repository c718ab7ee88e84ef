"""
What is promised of a daemon that is left running and no other test shows with a real one: its limits as they
come, who is never idle, how many may come at once.
"""

from __future__ import annotations

import resource
import selectors
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from netsvc.settings import Limits, Networks
from tests.live.daemon import Daemon, read_all, running
from tests.live.streams import exchange
from tests.live.timeline import watched
from tests.live.websockets import WebSocketClient
from tests.web.frames import PING, PONG, frame, opening

pytestmark = pytest.mark.live

#: Seconds, for clients that do nothing in time whatever the machine does.
SOON = 0.5

#: How many connect in the same moment; where the system allows only a shorter queue, as many as that.
AT_ONCE = min(3000, int(Path("/proc/sys/net/core/somaxconn").read_text()))


def test_the_limits_are_as_promised() -> None:
    limits = Limits()
    loopback = Networks.of("127.0.0.0/8", "::1/128")
    assert (limits.max_connections, limits.per_address, limits.new_per_second) == (10_000, 256, 50)
    assert (limits.idle_timeout, limits.handshake_timeout, limits.first_line_timeout) == (15 * 60, 10, 60)
    assert (limits.write_timeout, limits.reply_factor, limits.replies_per_second) == (30, 3, 50)
    assert (limits.trusted, limits.proxies) == (loopback, loopback)
    assert not limits.allow
    assert not limits.deny


@pytest.mark.program("ss")
def test_discard_chat_and_who_lingers_are_never_idle_and_have_keep_alive(tmp_path: Path) -> None:
    options = ["--echo", "--discard", "--chat", "--clients"]
    where = {"--clients": "tcp://127.0.0.1:0?linger=true"}
    given = [f"{option}={where.get(option, 'tcp://127.0.0.1:0')}" for option in options]
    with watched(tmp_path, *given, f"--set=limits.idle_timeout={SOON}") as daemon, ExitStack() as stack:
        inside = {name: stack.enter_context(daemon.connect(name)) for name in ("discard", "chat", "clients")}
        for sock in inside.values():
            sock.sendall(b"name\n")
        for _ in range(2):
            # By the time that a second one has been closed, twice the idle time is over.
            with daemon.connect("echo") as idle:
                assert idle.recv(1) == b""
        for name, sock in inside.items():
            assert daemon.facts(0, service=name, kind="closed") == []
            shown = subprocess.run(
                ["ss", "-Htno", f"dport = :{sock.getsockname()[1]}"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "timer:(keepalive" in shown.stdout, name


def test_a_limit_that_does_not_fit_the_descriptors_is_lowered_and_told(tmp_path: Path) -> None:
    most = 600

    def few_and_fewer() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))

    with running(tmp_path, "--echo=127.0.0.1:0", preexec_fn=few_and_fewer) as daemon:
        line = daemon.wait_for_line(r"max_connections is 10000, but this process may have 600 descriptors")
        assert "127.0.0.1" in line
        limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        (files,) = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
        assert files[3:5] == [str(most), str(most)]


def test_three_thousand_who_connect_at_once_are_all_let_in_and_served(tmp_path: Path) -> None:
    """Nobody has to knock again, which would take a second: the queue is as deep as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with running(tmp_path, "--echo=127.0.0.1:0") as daemon, ExitStack() as stack:
            # While it does not even run.
            daemon.signal(signal.SIGSTOP)
            try:
                inside = [stack.enter_context(socket.socket()) for _ in range(AT_ONCE)]
                for sock in inside:
                    sock.setblocking(False)
                    with suppress(BlockingIOError):
                        sock.connect(("127.0.0.1", daemon.port("echo")))
                refused_or_waiting = [sock for sock in inside if not _is_connected(sock)]
            finally:
                daemon.signal(signal.SIGCONT)
            assert refused_or_waiting == []
            for sock in inside:
                sock.setblocking(True)
                assert exchange(sock, b"hello", 5) == b"hello"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _is_connected(sock: socket.socket) -> bool:
    """Whether the system has let it in already; on this machine that takes no time."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        return bool(selector.select(0)) and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def test_a_websocket_that_does_not_open_has_no_more_time(tmp_path: Path) -> None:
    where = f"ws://127.0.0.1:0?handshake_timeout={SOON}"
    with running(tmp_path, f"--echo={where}") as daemon, ExitStack() as stack:
        slow = [stack.enter_context(_dial(daemon, "ws")) for _ in range(3)]
        for sock, said in zip(slow, (b"", opening("/")[:40], b"GET / HTTP/1.1\r\n"), strict=True):
            sock.sendall(said)
        for sock in slow:
            assert read_all(sock).startswith(b"HTTP/1.1 408 ")
        with WebSocketClient(_dial(daemon, "ws"), "/") as client:
            client.send(frame(PING))
            found = client.next()
            assert found is not None
            assert found.opcode == PONG


def _dial(daemon: Daemon, transport: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port("echo", transport)))


def test_who_is_denied_is_denied_by_all_listeners(tmp_path: Path) -> None:
    options = ["--echo=127.0.0.1:0", "--web=tcp://127.0.0.1:0", "--timestamp=ws://127.0.0.1:0"]
    with watched(tmp_path, *options, "--set=limits.deny=127.0.0.2") as daemon:
        for service, transport in (("echo", "tcp"), ("web", "tcp"), ("timestamp", "ws")):
            target = ("127.0.0.1", daemon.port(service, transport))
            with pytest.raises(ConnectionResetError):
                _connect_from("127.0.0.2", target)
            daemon.facts(1, service=service, kind="refused", reason="deny", address="127.0.0.2")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.2", 0))
            datagrams.sendto(b"hello", ("127.0.0.1", daemon.port("echo", "udp")))
            daemon.facts(1, service="echo", kind="refused", reason="deny", transport="udp")
        assert daemon.facts(0, service="echo", kind="received", transport="udp") == []


def _connect_from(source: str, target: tuple[str, int]) -> None:
    with socket.create_connection(target, 10, (source, 0)) as sock:
        sock.recv(1)


def test_nobody_beyond_the_proxies_is_believed_where_the_client_is(tmp_path: Path) -> None:
    """Who may claim to come from loopback needs no token; from elsewhere it takes one."""
    options = ["--web=tcp://127.0.0.1:0", "--set=web.proxies=127.0.0.3"]
    with running(tmp_path, *options) as daemon:
        assert _status(daemon, "127.0.0.3", b"198.51.100.7") == 403
        assert _status(daemon, "127.0.0.3", b"127.0.0.1") == 200
        assert _status(daemon, "127.0.0.2", b"198.51.100.7") == 200
        assert _status(daemon, "127.0.0.3", b"127.0.0.1, 198.51.100.7") == 403
        assert _status(daemon, "127.0.0.3", b"198.51.100.7, 127.0.0.3") == 403


def _status(daemon: Daemon, source: str, forwarded: bytes) -> int:
    with socket.create_connection(("127.0.0.1", daemon.port("web")), 10, (source, 0)) as sock:
        sock.sendall(
            b"GET /api/listeners HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"X-Forwarded-For: %b\r\n\r\n" % forwarded
        )
        return int(read_all(sock).split(b" ", 2)[1])
