"""netsvc under a real systemd, as `make install` leaves it: its units with all that they restrict."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.booted import LIBRARIES, CannotBootError, Machine, install
from tests.live.daemon import PATIENCE, eventually, read_exactly
from tests.live.hammering import Client, Connecting, Sending, asking, wait_for_answers
from tests.live.streams import client_context
from tests.live.test_supervised import ODD

pytestmark = [
    pytest.mark.live,
    pytest.mark.program("unshare", "nsenter", "systemctl", "journalctl", "ip"),
]

#: An address of that machine that is not its loopback.
BEYOND = "192.0.2.1"

CONFIGURATION = f"""
[tls]
certificate = "/etc/netsvc/server.pem"
key = "/etc/netsvc/server.key"
[echo]
listen = ["50000", "tls://:50001", "unix:///run/netsvc/echo?mode=666"]
[receiver]
listen = "udp://:6667?ack=recorded"
[journal]
file = "/var/lib/netsvc/journal.db"
[web]
listen = ["8080", "tcp://{BEYOND}:8080"]
token_file = "/run/credentials/netsvc.service/token"
[service.odd]
stream = "odd.Odd"
listen = 7777
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Machine]:
    """One with netsvc on it, which nobody has started."""
    try:
        booted = Machine(tmp_path_factory.mktemp("booted"))
    except CannotBootError as error:
        pytest.skip(f"no systemd can be booted here: {error}")
    try:
        try:
            install(booted, tmp_path_factory.mktemp("installed"))
        except CannotBootError as error:
            pytest.skip(f"netsvc cannot be installed for units: {error}")
        booted.run("ip", "address", "add", f"{BEYOND}/32", "dev", "lo")
        booted.write(f"{LIBRARIES}/odd.py", ODD)
        booted.write("/etc/netsvc/netsvc.toml", CONFIGURATION)
        booted.write("/etc/netsvc/token", "a-token-of-ours\n", 0o600)
        booted.write("/etc/netsvc/server.pem", certificates.server_certificate.read_text())
        booted.write("/etc/netsvc/server.key", certificates.server_key.read_text(), 0o640)
        booted.run("chgrp", "netsvc-keys", "/etc/netsvc/server.key")
        yield booted
    finally:
        booted.end()


@pytest.fixture(scope="module")
def own_ports(machine: Machine) -> Iterator[Machine]:
    """The one whose netsvc.service runs."""
    machine.run("systemctl", "start", "netsvc.service")
    yield machine
    machine.run("systemctl", "stop", "netsvc.service")
    assert machine.show("netsvc.service", "Result") == "success"


def assert_echoes(sock: socket.socket) -> None:
    """Ask, and be answered."""
    sock.settimeout(PATIENCE)
    sock.send(b"hello")
    assert sock.recv(100) == b"hello"


def ask(machine: Machine, url: str, token: str = "") -> bytes:
    """What a page of that machine says."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with machine.network(), urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        content: bytes = answer.read()
        return content


def status(machine: Machine, unit: str) -> dict[str, str]:
    """What the system says of a service's process (proc(5))."""
    text = (machine.root / "proc" / machine.show(unit, "MainPID") / "status").read_text()
    return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.MULTILINE))


def logged(machine: Machine, unit: str) -> list[tuple[int, str]]:
    """What the journal has of a service itself: each line's severity and text."""
    machine.run("journalctl", "--sync")
    text = machine.run("journalctl", "--output=json", "--unit", unit, "_COMM=netsvc")
    entries = [json.loads(line) for line in text.splitlines()]
    return [(int(one["PRIORITY"]), str(one["MESSAGE"])) for one in entries]


def test_a_start_is_over_when_every_listener_is_open(own_ports: Machine) -> None:
    # `systemctl start` has returned.
    assert own_ports.show("netsvc.service", "ActiveState") == "active"
    assert own_ports.show("netsvc.service", "StatusText") == "listeners open: 14"
    with own_ports.network(), socket.create_connection(("127.0.0.1", 50000), PATIENCE) as sock:
        assert_echoes(sock)


def test_it_answers_on_every_kind_of_socket(
    own_ports: Machine, certificates: Certificates, tmp_path: Path
) -> None:
    context: ssl.SSLContext = client_context(certificates.ca)
    with own_ports.network():
        with (
            socket.create_connection(("::1", 50001), PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            assert_echoes(sock)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.connect(("::1", 50000))
            assert_echoes(sock)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"{own_ports.root}/run/netsvc/echo")
        assert_echoes(sock)
    assert b"echo" in ask(own_ports, "http://127.0.0.1:8080/api/listeners")
    assert b"netsvc" in ask(own_ports, "http://127.0.0.1:8080/")


#: What prometheus_client tells of the process, where /proc has all that it needs.
OF_THE_PROCESS = {
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
}


def of_the_process(machine: Machine) -> dict[str, float]:
    """What the daemon's metrics tell of its process."""
    text = ask(machine, "http://127.0.0.1:8080/metrics").decode()
    return {name: float(value) for name, value in re.findall(r"^(process_\w+) (\S+)$", text, re.MULTILINE)}


def test_its_metrics_tell_of_memory_and_descriptors(own_ports: Machine) -> None:
    found = of_the_process(own_ports)
    assert found.keys() == OF_THE_PROCESS
    assert 2**20 < found["process_resident_memory_bytes"] < 2**30
    assert 14 <= found["process_open_fds"] < found["process_max_fds"]


def test_what_is_recorded_is_in_its_state_directory(own_ports: Machine) -> None:
    with own_ports.network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", 6667))
        sock.send(b"hello")
        assert sock.recv(100) == b"Got your message!"
    assert own_ports.run("stat", "-L", "-c", "%U %a", "/var/lib/netsvc/journal.db") == "netsvc 600\n"


def test_the_token_is_a_credential(own_ports: Machine) -> None:
    url = f"http://{BEYOND}:8080/api/listeners"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(own_ports, url)
    assert b"echo" in ask(own_ports, url, "a-token-of-ours")


def test_it_has_no_right_that_it_does_not_need(own_ports: Machine) -> None:
    found = status(own_ports, "netsvc.service")
    assert {found[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert "0" not in found["Uid"].split()
    # A user that there is only now.
    assert "netsvc:" not in (own_ports.root / "etc" / "passwd").read_text()


def test_its_log_has_severities_in_the_journal(own_ports: Machine) -> None:
    lines = logged(own_ports, "netsvc.service")
    assert (6, "[netsvc.daemon] netsvc is ready; listeners open: 14") in lines
    warnings = [text for severity, text in lines if severity == 4]
    assert warnings
    assert [text for text in warnings if BEYOND not in text] == []


def test_a_reload_keeps_the_process_and_its_connections(own_ports: Machine) -> None:
    before = own_ports.show("netsvc.service", "MainPID")
    with own_ports.network(), socket.create_connection(("127.0.0.1", 50000), PATIENCE) as sock:
        assert_echoes(sock)
        more = CONFIGURATION.replace('listen = ["50000",', 'listen = ["50000", "50002",')
        own_ports.write("/etc/netsvc/netsvc.toml", more)
        own_ports.run("systemctl", "reload", "netsvc.service")
        eventually(lambda: own_ports.show("netsvc.service", "StatusText") == "listeners open: 18")
        assert_echoes(sock)
        with socket.create_connection(("127.0.0.1", 50002), PATIENCE) as another:
            assert_echoes(another)
        own_ports.write("/etc/netsvc/netsvc.toml", CONFIGURATION)
        own_ports.run("systemctl", "reload", "netsvc.service")
        eventually(lambda: own_ports.show("netsvc.service", "StatusText") == "listeners open: 14")
    assert own_ports.show("netsvc.service", "MainPID") == before


def test_a_loop_that_is_held_up_ends_in_a_new_process(own_ports: Machine, tmp_path: Path) -> None:
    own_ports.write("/run/systemd/system/netsvc.service.d/watchdog.conf", "[Service]\nWatchdogSec=1\n")
    own_ports.run("systemctl", "daemon-reload")
    own_ports.run("systemctl", "restart", "netsvc.service")
    before = own_ports.show("netsvc.service", "MainPID")
    fifo = "/run/netsvc/fifo"
    own_ports.run("mkfifo", "--mode=666", fifo)
    with own_ports.network(), socket.create_connection(("127.0.0.1", 7777), PATIENCE) as sock:
        sock.sendall(fifo.encode())
        assert read_exactly(sock, 7) == b"holding"
    eventually(lambda: own_ports.show("netsvc.service", "NRestarts") == "1")
    eventually(lambda: own_ports.show("netsvc.service", "ActiveState") == "active")
    assert own_ports.show("netsvc.service", "MainPID") != before
    with own_ports.network(), socket.create_connection(("127.0.0.1", 50000), PATIENCE) as sock:
        assert_echoes(sock)
    text = own_ports.run("journalctl", "--output=cat", "--unit=netsvc.service")
    assert "Watchdog timeout" in text
    # And where it hung.
    assert re.search(r'File ".*/odd\.py", line \d+ in dataReceived', text)
    os.unlink(f"{own_ports.root}/run/systemd/system/netsvc.service.d/watchdog.conf")
    own_ports.run("systemctl", "daemon-reload")


def test_why_it_does_not_start_is_an_error_in_the_journal(own_ports: Machine) -> None:
    own_ports.write("/etc/netsvc/netsvc.toml", "[echo]\nlisten = 7\n")
    assert own_ports.try_to_run("systemctl", "restart", "netsvc.service").returncode != 0
    own_ports.run("systemctl", "stop", "netsvc.service")
    lines = logged(own_ports, "netsvc.service")
    why = "netsvc: /etc/netsvc/netsvc.toml: echo.listen 7: port 7 of 127.0.0.1 needs more rights"
    assert {severity for severity, text in lines if text.startswith(why)} == {3}
    own_ports.write("/etc/netsvc/netsvc.toml", CONFIGURATION)
    own_ports.run("systemctl", "start", "netsvc.service")


# -- with sockets of systemd's ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def activated(machine: Machine) -> Iterator[Machine]:
    """The one whose sockets systemd listens on; the service is not yet started."""
    machine.run("systemctl", "stop", "netsvc.service")
    machine.write("/etc/netsvc/netsvc.toml", "")
    sockets = [f"netsvc-{name}.socket" for name in ("echo", "whoami", "web")]
    machine.run("systemctl", "start", *sockets)
    yield machine
    machine.run("systemctl", "stop", *sockets, "netsvc-activated.service")
    assert machine.show("netsvc-activated.service", "Result") == "success"


def test_the_first_who_comes_starts_it(activated: Machine) -> None:
    assert activated.show("netsvc-activated.service", "ActiveState") == "inactive"
    with activated.network(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 50000))
        assert_echoes(sock)
    assert activated.show("netsvc-activated.service", "ActiveState") == "active"
    assert activated.show("netsvc-activated.service", "StatusText") == "listeners open: 10"
    assert json.loads(ask(activated, "http://127.0.0.1:8080/healthz"))["ok"] is True


def test_it_has_no_network_of_its_own(activated: Machine) -> None:
    process = activated.show("netsvc-activated.service", "MainPID")
    inside = activated.run("nsenter", "--target", process, "--net", "ip", "-brief", "link").split()
    assert inside[0] == "lo"
    assert inside.count("lo") == 1
    assert BEYOND not in activated.run("nsenter", "--target", process, "--net", "ip", "-brief", "address")


def test_its_metrics_tell_of_the_process_too(activated: Machine) -> None:
    assert of_the_process(activated).keys() == OF_THE_PROCESS


def test_tls_is_spoken_on_its_sockets_where_the_file_says_so(
    activated: Machine, certificates: Certificates
) -> None:
    query = "certificate=/etc/netsvc/server.pem&key=/etc/netsvc/server.key"
    activated.write("/etc/netsvc/netsvc.toml", f'[web]\nlisten = "systemd://web?{query}"\n')
    activated.run("systemctl", "restart", "netsvc-activated.service")
    context: ssl.SSLContext = client_context(certificates.ca)
    with activated.network():
        url = "https://localhost:8080/healthz"
        with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:
            assert json.load(answer)["ok"] is True
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(activated, "http://127.0.0.1:8080/healthz")
    activated.write("/etc/netsvc/netsvc.toml", "")
    activated.run("systemctl", "restart", "netsvc-activated.service")
    assert json.loads(ask(activated, "http://127.0.0.1:8080/healthz"))["ok"] is True


def test_a_restart_turns_nobody_away_and_loses_nothing(activated: Machine) -> None:
    place = ("127.0.0.1", 50000)
    clients: list[Client] = [Connecting(place, activated.enter_network) for _ in range(4)]
    clients += [Sending(place, activated.enter_network) for _ in range(4)]
    with asking(clients):
        for _ in range(8):
            # So many in a row would be too many for systemd.
            activated.run("systemctl", "reset-failed", "netsvc-activated.service")
            activated.run("systemctl", "restart", "netsvc-activated.service")
            wait_for_answers(clients)
    assert [one.failures for one in clients] == [[]] * len(clients)
