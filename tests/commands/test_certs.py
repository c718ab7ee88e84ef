"""Certificates made by the command: what is in them, who believes them, and what is never overwritten."""

from __future__ import annotations

import ipaddress
import json
import shlex
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from netsvc.commands.certs import FILES, lines_to_paste, make_authority, make_server, parse_host, write_new
from tests.live.daemon import PATIENCE, Daemon, running

NETSVC = str(Path(sys.executable).parent / "netsvc")


def certs(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [NETSVC, "certs", str(directory), *arguments], capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates for localhost, 127.0.0.1 and ::1, and nobody else."""
    directory = tmp_path_factory.mktemp("certs") / "new" / "made"
    done = certs(directory, "localhost", "127.0.0.1", "[::1]", "localhost")
    assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture(scope="module")
def daemon(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has the server's certificate, and asks for clients' on echo."""
    options = [f"--tls-certificate={made / 'server.pem'}", f"--tls-key={made / 'server.key'}"]
    echo = f"--echo=tls://:0?client-ca={made / 'ca.pem'}"
    with running(tmp_path_factory.mktemp("daemon"), *options, echo, "--greeting=tls://:0") as daemon:
        yield daemon


def names_of(path: Path) -> x509.SubjectAlternativeName:
    """The names that a certificate is for."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


# -- hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.1", ipaddress.ip_address("192.0.2.1")),
        ("2001:db8::1", ipaddress.ip_address("2001:db8::1")),
        ("[2001:db8::1]", ipaddress.ip_address("2001:db8::1")),
        ("Device.Example", "device.example"),
        ("*.example.test", "*.example.test"),
        ("grüße.example", "xn--gre-6ka8l.example"),
        ("my_service", "my_service"),
        ("10.example", "10.example"),
        ("localhost.", "localhost"),
        ("*.example.test.", "*.example.test"),
    ],
)
def test_names_and_addresses_are_told_apart(text: str, host: object) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.",
        ".",
        "*..",
        "a b",
        "host:8009",
        "http://host",
        "1.2.3.400",
        "a..b",
        "x" * 64,
        "-a",
        "ü_x",
        "a/b",
        "a\n",
    ],
)
def test_what_is_no_host_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parse_host(text)


# -- what is made -------------------------------------------------------------------------------------------


def test_all_files_are_made_for_their_owner_alone(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == set(FILES)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    for path in made.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_server_certificate_is_for_each_name_and_address_once(made: Path) -> None:
    found = list(names_of(made / "server.pem"))
    assert found == [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]


def test_a_name_too_long_for_a_common_name_is_still_a_name() -> None:
    now = datetime.now(UTC)
    host = ".".join(["x" * 60] * 3)
    server = make_server(make_authority(now, now + timedelta(days=1)), [host]).certificate
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host]


def test_days_are_the_days_that_they_are_valid(tmp_path: Path) -> None:
    done = certs(tmp_path / "made", "localhost", "--days", "7", "--json")
    shown = json.loads(done.stdout)
    assert datetime.fromisoformat(shown["expires"]) - datetime.now(UTC) <= timedelta(days=7)
    for name in ("ca", "server", "client"):
        certificate = x509.load_pem_x509_certificate(Path(shown[f"{name}_pem"]).read_bytes())
        assert certificate.not_valid_after_utc == datetime.fromisoformat(shown["expires"])
        assert certificate.not_valid_before_utc < datetime.now(UTC)


@pytest.mark.program("openssl")
def test_openssl_finds_nothing_wrong_with_them(made: Path) -> None:
    def verify(purpose: str, name: str) -> str:
        arguments = ["-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem", name]
        return subprocess.run(
            ["openssl", "verify", *arguments], cwd=made, capture_output=True, text=True, check=False
        ).stdout

    assert verify("sslserver", "server.pem") == "server.pem: OK\n"
    assert verify("sslclient", "client.pem") == "client.pem: OK\n"
    assert "OK" not in verify("sslclient", "server.pem")


# -- who believes them --------------------------------------------------------------------------------------


@pytest.mark.live
def test_a_client_that_trusts_the_authority_reaches_netsvc(made: Path, daemon: Daemon) -> None:
    context = ssl.create_default_context(cafile=str(made / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1"):
        with (
            socket.create_connection(("127.0.0.1", daemon.port("greeting", "tls")), PATIENCE) as sock,
            context.wrap_socket(sock, server_hostname=name) as client,
        ):
            assert client.recv(1024) == b"Thank you for connecting\r\n"


@pytest.mark.live
def test_the_name_is_verified(made: Path, daemon: Daemon) -> None:
    context = ssl.create_default_context(cafile=str(made / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", daemon.port("greeting", "tls")), PATIENCE) as sock,
        pytest.raises(ssl.SSLCertVerificationError, match="mismatch"),
    ):
        context.wrap_socket(sock, server_hostname="other.example")


@pytest.mark.live
def test_the_client_certificate_is_believed(made: Path, daemon: Daemon) -> None:
    context = ssl.create_default_context(cafile=str(made / "ca.pem"))
    context.load_cert_chain(made / "client.pem", made / "client.key")
    with (
        socket.create_connection(("127.0.0.1", daemon.port("echo", "tls")), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as client,
    ):
        client.sendall(b"hello")
        assert client.recv(1024) == b"hello"


# -- what is said -------------------------------------------------------------------------------------------


def test_the_lines_to_paste_name_the_files(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    done = certs(directory, "::1")
    lines = done.stdout.splitlines()
    serve = next(shlex.split(line) for line in lines if line.startswith("  netsvc serve"))
    assert serve[2:6] == [
        "--tls-certificate",
        f"{directory}/server.pem",
        "--tls-key",
        f"{directory}/server.key",
    ]
    assert serve[-1] == "tls://[::1]:2007"
    assert any(shlex.split(line)[:4] == ["netsvc", "talk", "--ca", f"{directory}/ca.pem"] for line in lines)


def test_a_wildcard_is_no_place_to_listen_on() -> None:
    lines = lines_to_paste(Path("/d"), "*.example")
    assert "--echo tls://:2007\n" in lines
    assert "tls://NAME.example:2007" in lines


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    done = certs(tmp_path, "localhost")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"netsvc: {tmp_path / name} is there already, and nothing is overwritten; name another directory\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "server.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_new(tmp_path, {"server.key": b"secret"})
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = certs(tmp_path / "file" / "made", "localhost")
    assert done.returncode == 1
    assert done.stderr == f"netsvc: {tmp_path / 'file' / 'made'}: Not a directory\n"


def test_what_is_no_host_is_wrong_usage(tmp_path: Path) -> None:
    for arguments in (["localhost", "host:8009"], [], ["localhost", "--days", "0"]):
        done = certs(tmp_path / "made", *arguments)
        assert done.returncode == 2
        assert "Error: " in done.stderr
    assert not (tmp_path / "made").exists()
