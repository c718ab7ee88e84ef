"""Everything that stands between socket and protocol applies to anybody's factory, unchanged."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all, running

CONFIGURATION = """
[service.ftp]
stream = "twisted.protocols.ftp.FTPFactory"
listen = ["127.0.0.1:0", "tls://127.0.0.1:0", "tcp://127.0.0.1:0?proxy=required", "unix://{directory}/ftp.sock"]

[service.finger]
stream = "twisted.protocols.finger.Finger"
listen = ["tcp://127.0.0.1:0?max_connections=2", "tcp://127.0.0.1:0?idle_timeout=1"]

[tls]
certificate = {certificate}
key = {key}
"""

SHOUT_PLUGIN = """
from netsvc.service import NetService, Setting
shout = NetService(name="shout", summary="Answers in capitals", port=7001,
                   stream="shout.ShoutFactory", datagram="shout.ShoutDatagram",
                   settings=[Setting("times", int, 1, unit="repeats", reason="how often it shouts")])
"""

SHOUT = """
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

class Shout(Protocol):
    def dataReceived(self, data):
        self.transport.write(data.upper() * self.factory.times)

class ShoutFactory(Factory):
    protocol = Shout
    def __init__(self, times):
        self.times = times

class ShoutDatagram(DatagramProtocol):
    def __init__(self, times):
        self.times = times
    def datagramReceived(self, data, address):
        self.transport.write(data.upper() * self.times, address)
"""


@pytest.fixture(scope="module")
def third_party(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[tuple[Daemon, Path]]:
    directory = tmp_path_factory.mktemp("third-party")
    file = directory / "netsvc.toml"
    file.write_text(
        CONFIGURATION.format(
            directory=directory,
            certificate=json.dumps(str(certificates.server_certificate)),
            key=json.dumps(str(certificates.server_key)),
        )
    )
    with running(directory, "--config", str(file)) as daemon:
        yield daemon, directory


def _ports(daemon: Daemon, service: str, transport: str) -> list[int]:
    return [p["port"] for p in daemon.places if (p["service"], p["transport"]) == (service, transport)]


def _ftp_session(sock: socket.socket) -> list[bytes]:
    """What a client gets that says QUIT, line by line."""
    sock.sendall(b"QUIT\r\n")
    return read_all(sock).splitlines()


def test_an_ftp_factory_serves_on_tcp(third_party: tuple[Daemon, Path]) -> None:
    daemon, _ = third_party
    plain, _ = _ports(daemon, "ftp", "tcp")
    with socket.create_connection(("127.0.0.1", plain), PATIENCE) as sock:
        welcome, bye = _ftp_session(sock)
    assert welcome.startswith(b"220 ")
    assert bye.startswith(b"221 ")


def test_an_ftp_factory_serves_on_tls(third_party: tuple[Daemon, Path], certificates: Certificates) -> None:
    daemon, _ = third_party
    (port,) = _ports(daemon, "ftp", "tls")
    context = ssl.create_default_context(cafile=str(certificates.ca))
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        assert _ftp_session(sock)[1].startswith(b"221 ")


def test_an_ftp_factory_serves_on_a_unix_socket(third_party: tuple[Daemon, Path]) -> None:
    _, directory = third_party
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(directory / "ftp.sock"))
        assert _ftp_session(sock)[1].startswith(b"221 ")


def test_an_ftp_factory_serves_behind_a_proxy_header_and_not_before_it(
    third_party: tuple[Daemon, Path],
) -> None:
    daemon, _ = third_party
    _, proxied = _ports(daemon, "ftp", "tcp")
    with socket.create_connection(("127.0.0.1", proxied), PATIENCE) as sock:
        sock.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 21\r\n")
        assert _ftp_session(sock)[0].startswith(b"220 ")
    with socket.create_connection(("127.0.0.1", proxied), PATIENCE) as sock:
        sock.sendall(b"QUIT\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    daemon.wait_for_line(r"netsvc\.ftp.*refused .*proxy_header")


def test_the_total_and_the_idle_time_hold_for_a_finger_protocol(third_party: tuple[Daemon, Path]) -> None:
    daemon, _ = third_party
    port, patient = _ports(daemon, "finger", "tcp")
    inside = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(2)]
    for sock in inside:
        sock.sendall(b"a")
    # It may be reset before it knows that it was connected.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", port), PATIENCE) as third,
    ):
        third.recv(1)
    daemon.wait_for_line(r"netsvc\.finger.*refused .*max_connections")
    for sock in inside:
        sock.close()
    with socket.create_connection(("127.0.0.1", patient), PATIENCE) as sock:
        assert sock.recv(1) == b"", "an idle client is closed"
    with socket.create_connection(("127.0.0.1", patient), PATIENCE) as sock:
        sock.sendall(b"alice\r\n")
        assert read_all(sock) == b"Login: alice\nNo such user\n"


def test_a_plugin_has_its_option_its_table_and_both_its_sides(tmp_path: Path) -> None:
    plugins = tmp_path / "site" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "netsvc_shout.py").write_text(SHOUT_PLUGIN)
    (tmp_path / "site" / "shout.py").write_text(SHOUT)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH")]))
    with running(
        tmp_path, "--shout", "0", "--set", "shout.times=2", environment={"PYTHONPATH": path}
    ) as daemon:
        with daemon.connect("shout") as sock:
            sock.sendall(b"hey")
            assert sock.recv(100) == b"HEYHEY"
        with daemon.datagrams("shout") as sock:
            sock.send(b"ho")
            assert sock.recv(100) == b"HOHO"
