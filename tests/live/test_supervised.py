"""What a supervisor sees of a daemon: that it is ready, that it lives, that it stops; inherited sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.daemon import PATIENCE, TWISTD, Daemon, read_all, read_exactly, running
from tests.live.supervisor import Supervisor
from tests.ports import free_port

pytestmark = pytest.mark.live

#: Seconds of the watchdog in these tests; half of it is between two signs of life.
WATCHDOG = 0.4

#: A service of somebody else's: it tells what is left of the environment, and holds up the whole event loop
#: until somebody opens a FIFO.
ODD = """
import os
from twisted.internet.protocol import Protocol

class Odd(Protocol):
    def dataReceived(self, data):
        if data == b"environment":
            self.transport.write(",".join(sorted(os.environ)).encode())
            self.transport.loseConnection()
            return
        self.transport.write(b"holding")
        with open(data):
            self.transport.write(b"done")
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One that wants to hear that the daemon lives."""
    with closing(Supervisor(tmp_path, WATCHDOG)) as made:
        yield made


@pytest.fixture
def odd(tmp_path: Path, supervisor: Supervisor) -> Iterator[Daemon]:
    """A supervised daemon with the odd service beside echo."""
    (tmp_path / "odd.py").write_text(ODD)
    work = tmp_path / "work"
    work.mkdir()
    options = ["--echo=tcp://127.0.0.1:0", "--set=service.odd.stream=odd.Odd"]
    options.append("--set=service.odd.listen=tcp://127.0.0.1:0")
    environment = {**supervisor.environment, "PYTHONPATH": str(tmp_path)}
    with running(work, *options, environment=environment) as daemon:
        yield daemon


def test_it_is_ready_once_every_listener_is_open_and_says_when_it_stops(
    odd: Daemon, supervisor: Supervisor
) -> None:
    assert supervisor.wait_for("READY=1") == ["READY=1", "STATUS=listeners open: 2"]
    with odd.connect("echo") as client:
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    odd.signal(signal.SIGTERM)
    message = supervisor.wait_for("STOPPING=1")
    # The grace of connections, the grace of the journal, and a moment.
    assert message == ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=21000000"]
    odd.process.wait(PATIENCE)


def test_a_daemon_that_cannot_start_never_says_that_it_is_ready(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AssertionError, match="is in use"):
        Daemon(
            tmp_path, f"--echo=tcp://127.0.0.1:{taken.getsockname()[1]}", environment=supervisor.environment
        )
    assert supervisor.drain() == []


def test_it_says_again_and_again_that_it_lives_but_not_while_its_loop_is_held_up(
    odd: Daemon, supervisor: Supervisor, tmp_path: Path
) -> None:
    for _ in range(3):
        supervisor.wait_for("WATCHDOG=1")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with odd.connect("odd") as client:
        client.sendall(bytes(fifo))
        assert read_exactly(client, 7) == b"holding"
        # Now that it is held up nothing comes, for more than the watchdog would wait.
        supervisor.drain()
        assert supervisor.next(3 * WATCHDOG) is None
        fifo.write_bytes(b"")
        assert read_exactly(client, 4) == b"done"
    supervisor.wait_for("WATCHDOG=1")


def test_no_child_of_the_daemon_can_speak_for_it(odd: Daemon) -> None:
    with odd.connect("odd") as client:
        client.sendall(b"environment")
        names = set(read_all(client).decode().split(","))
    assert "PYTHONPATH" in names
    assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}


# -- sockets that somebody else opened -----------------------------------------------------------------


def activating(*options: str) -> subprocess.Popen[str]:
    """systemd-socket-activate, which starts the daemon when the first of its sockets is used."""
    twistd = [TWISTD, "-n", "--pidfile=", "netsvc", "--inherited"]
    process = subprocess.Popen(
        ["systemd-socket-activate", *options, *twistd],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for _ in range(sum(option.startswith("--listen") for option in options)):
        assert process.stderr.readline().startswith("Listening on")
    return process


@pytest.mark.program("systemd-socket-activate")
def test_streams_that_systemd_opened_are_answered_each_by_the_service_of_its_name() -> None:
    echo, greeting = free_port(), free_port()
    process = activating(
        f"--listen=127.0.0.1:{echo}", f"--listen=127.0.0.1:{greeting}", "--fdname=echo:greeting"
    )
    with process:
        try:
            with socket.create_connection(("127.0.0.1", echo), PATIENCE) as client:
                client.sendall(b"hello")
                assert read_exactly(client, 5) == b"hello"
            with socket.create_connection(("127.0.0.1", greeting), PATIENCE) as client:
                assert read_all(client) == b"Thank you for connecting\r\n"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == -signal.SIGTERM


@pytest.mark.program("systemd-socket-activate")
def test_datagrams_that_came_before_the_daemon_are_answered() -> None:
    port = free_port()
    process = activating("--datagram", f"--listen=127.0.0.1:{port}", "--fdname=echo")
    with process, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        try:
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", port))
            for number in range(5):
                client.send(b"%d" % number)
            assert [client.recv(100) for _ in range(5)] == [b"%d" % number for number in range(5)]
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == -signal.SIGTERM
