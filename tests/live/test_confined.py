"""The daemon under what its units forbid: it serves everything, and can do no more than it needs."""

from __future__ import annotations

import ctypes.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live import handover
from tests.live.daemon import PATIENCE, TWISTD, Daemon, running
from tests.live.streams import Dial

UNITS = Path(__file__).parent.parent.parent / "etc" / "systemd"

_CAN = os.geteuid() == 0 and ctypes.util.find_library("seccomp") is not None

pytestmark = [
    pytest.mark.live,
    pytest.mark.program("systemd-analyze", "setpriv", "unshare"),
    pytest.mark.skipif(not _CAN, reason="only root gives up capabilities; libseccomp makes the filter"),
]

#: No capability, and none to be had: CapabilityBoundingSet=, SecureBits= and NoNewPrivileges= of the units.
_POWERLESS = [
    "setpriv",
    "--securebits=+noroot,+noroot_locked",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--no-new-privs",
]


def under(unit: str) -> list[str]:
    """What stands before a program that is to be under a unit's restrictions."""
    return [*_POWERLESS, sys.executable, "-m", "tests.live.confined", str(UNITS / unit)]


def twistd() -> list[str]:
    """The daemon."""
    return [TWISTD, "-n", "--pidfile=", "netsvc"]


def status(daemon: Daemon) -> dict[str, str]:
    """What the system says of a daemon's process (proc(5))."""
    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.MULTILINE))


def assert_echoes(sock: socket.socket) -> None:
    """Ask, and be answered."""
    sock.settimeout(PATIENCE)
    sock.send(b"hello")
    assert sock.recv(100) == b"hello"


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """One on every kind of socket, with a journal, under netsvc.service."""
    directory = tmp_path_factory.mktemp("confined")
    options = [
        f"--journal={directory}/journal.db",
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--echo=0",
        "--echo=tls://:0",
        f"--echo=unix://{directory}/stream",
        f"--echo=unix-datagram://{directory}/datagram",
        "--receiver=udp://:0?ack=recorded",
        "--web=0",
    ]
    with running(directory, *options, program=[*under("netsvc.service"), *twistd()]) as daemon:
        yield daemon


def test_it_is_held_to_the_filter_and_has_no_capability(confined: Daemon) -> None:
    found = status(confined)
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")
    assert {found[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_streams_are_answered(confined: Daemon, certificates: Certificates, transport: str) -> None:
    dial = Dial(confined, certificates.ca)
    for host in ("127.0.0.1", "::1"):
        with dial("echo", transport, host) as sock:
            assert_echoes(sock)


def test_datagrams_are_answered(confined: Daemon, tmp_path: Path) -> None:
    with confined.datagrams("echo") as sock:
        assert_echoes(sock)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "client"))
        sock.connect(confined.path("echo", "unix-datagram"))
        assert_echoes(sock)


def test_what_is_acknowledged_as_recorded_can_be(confined: Daemon) -> None:
    with confined.datagrams("receiver") as sock:
        sock.send(b"hello")
        assert sock.recv(100) == b"Got your message!"


@pytest.mark.parametrize("path", ["/", "/api/listeners", "/api/facts", "/metrics", "/healthz"])
def test_the_page_the_api_and_the_metrics_are_served(confined: Daemon, path: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{confined.port('web')}{path}", timeout=PATIENCE) as answer:
        assert answer.status == 200
        assert answer.read()


def test_it_stops_as_it_should(tmp_path: Path) -> None:
    with running(tmp_path, "--echo=0", program=[*under("netsvc.service"), *twistd()]) as daemon:
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE) == -signal.SIGTERM
        daemon.wait_for_line("Server Shut Down")


def test_without_a_network_it_answers_on_sockets_that_it_was_given(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as echo,
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        sockets = {"echo": [echo, datagrams], "web": [web]}
        # A network of its own has no address, and the filter lets it make UNIX sockets alone.
        before = ["unshare", "--net", *under("netsvc-activated.service"), *handover.command(sockets)]
        passed = handover.descriptors(sockets)
        with running(tmp_path, program=[*before, *twistd(), "--inherited"], pass_fds=passed) as daemon:
            assert status(daemon)["Seccomp"] == "2"
            with socket.create_connection(echo.getsockname(), PATIENCE) as sock:
                assert_echoes(sock)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(datagrams.getsockname())
                assert_echoes(sock)
            url = f"http://127.0.0.1:{web.getsockname()[1]}/api/listeners"
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert len(json.load(answer)["listeners"]) == 3


def test_without_a_network_it_can_open_no_socket_of_its_own() -> None:
    command = [*under("netsvc-activated.service"), *twistd(), "--echo=tcp://127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert done.stderr == "netsvc: --echo tcp://127.0.0.1:0: this machine has no IPv4\n"


def test_a_call_that_the_unit_does_not_name_is_refused() -> None:
    # Root, with all its capabilities, may change its root directory anywhere else.
    program = "import os\ntry:\n os.chroot('/')\nexcept PermissionError: print('refused')"
    command = [*under("netsvc.service")[len(_POWERLESS) :], sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
