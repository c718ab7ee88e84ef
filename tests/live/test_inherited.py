"""Sockets that somebody else opened, and what a configuration file says of them: above all TLS."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live import handover
from tests.live.daemon import PATIENCE, TWISTD, read_exactly
from tests.live.reloads import Configured, configured
from tests.live.streams import client_context, encrypted

pytestmark = pytest.mark.live

_NETSVC = (TWISTD, "-n", "--pidfile=", "netsvc", "--inherited")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """What the daemon is to inherit."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@contextmanager
def inheriting(directory: Path, text: str, **sockets: socket.socket) -> Iterator[Configured]:
    """A daemon with these sockets, by their names, and a file that says this."""
    several = {name: [one] for name, one in sockets.items()}
    program, passed = [*handover.command(several), *_NETSVC], handover.descriptors(several)
    with configured(directory, text, program=program, pass_fds=passed) as made:
        yield made


def refused(directory: Path, text: str, **sockets: socket.socket) -> str:
    """What such a daemon says that does not start."""
    (directory / "netsvc.toml").write_text(text)
    several = {name: [one] for name, one in sockets.items()}
    done = subprocess.run(
        [*handover.command(several), *_NETSVC, "--config", "netsvc.toml"],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        pass_fds=handover.descriptors(several),
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


def in_clear(listening: socket.socket) -> socket.socket:
    """A connection."""
    return socket.create_connection(listening.getsockname(), PATIENCE)


def assert_tls(listening: socket.socket, certificates: Certificates) -> None:
    """TLS is spoken, and an echo answers in it."""
    with encrypted(in_clear(listening), client_context(certificates.ca)) as sock:
        sock.sendall(b"hello")
        assert read_exactly(sock, 5) == b"hello"


def over_tls(certificates: Certificates) -> str:
    """A file that has TLS on the inherited socket."""
    query = f"certificate={certificates.server_certificate}&key={certificates.server_key}"
    return f"[echo]\nlisten = ['systemd://echo?{query}', 'tls://:50001']\n"


def test_tls_is_spoken_where_the_file_says_so(
    tmp_path: Path, listening: socket.socket, certificates: Certificates
) -> None:
    with inheriting(tmp_path, over_tls(certificates), echo=listening) as inherited:
        port = listening.getsockname()[1]
        assert [(one["transport"], one["port"]) for one in inherited.daemon.places] == [("tls", port)]
        assert_tls(listening, certificates)
        with in_clear(listening) as sock:
            sock.sendall(b"hello, a line that is no handshake\r\n")
            # Nothing of it comes back.
            assert b"hello" not in sock.recv(100)
        inherited.daemon.wait_for_line(r"netsvc\.toml: echo\.listen is opened only where it says systemd://")


def test_a_certificate_of_the_tls_table_is_used_where_the_query_says_nothing_else(
    tmp_path: Path, listening: socket.socket, certificates: Certificates
) -> None:
    table = f"[tls]\ncertificate = '{certificates.server_certificate}'\nkey = '{certificates.server_key}'\n"
    text = table + "[echo]\nlisten = 'systemd://echo?client-ca='\n"
    with inheriting(tmp_path, text, echo=listening):
        assert_tls(listening, certificates)


def test_a_socket_of_a_name_that_is_no_services_is_whose_where_names_it(
    tmp_path: Path, listening: socket.socket, certificates: Certificates
) -> None:
    text = over_tls(certificates).replace("systemd://echo?", "systemd://more?")
    text = text.replace("'tls://:50001'", "'systemd://echo'")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        datagrams.bind(("127.0.0.1", 0))
        with inheriting(tmp_path, text, echo=datagrams, more=listening):
            assert_tls(listening, certificates)
            client.settimeout(PATIENCE)
            client.connect(datagrams.getsockname())
            client.send(b"hello")
            assert client.recv(100) == b"hello"


def test_a_file_with_tls_on_ports_alone_starts_no_daemon_that_would_answer_without(
    tmp_path: Path, listening: socket.socket
) -> None:
    assert refused(tmp_path, "[echo]\nlisten = 'tls://:50001'\n", echo=listening) == (
        "netsvc: netsvc.toml: echo.listen: it has TLS alone, and the inherited socket echo would answer "
        "without; write systemd://echo?certificate=FILE&key=FILE there, or systemd://echo for plaintext\n"
    )


def test_reading_it_again_takes_tls_away_where_the_file_says_so_and_not_by_a_slip(
    tmp_path: Path, listening: socket.socket, certificates: Certificates
) -> None:
    with inheriting(tmp_path, over_tls(certificates), echo=listening) as inherited:
        refusal = inherited.again("[echo]\nlisten = 'tls://:50001'\n")
        assert "netsvc.toml: echo.listen: it has TLS alone, and the inherited socket" in refusal
        assert_tls(listening, certificates)
        assert "0 opened, 0 closed" in inherited.again(over_tls(certificates))
        assert_tls(listening, certificates)
        assert "configuration read again" in inherited.again("[echo]\nlisten = 'systemd://echo'\n")
        with in_clear(listening) as sock:
            sock.sendall(b"hello")
            assert read_exactly(sock, 5) == b"hello"
        assert "configuration read again" in inherited.again(over_tls(certificates))
        assert_tls(listening, certificates)
