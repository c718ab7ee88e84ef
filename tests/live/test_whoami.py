"""whoami through real sockets and TLS: what a client is told is how it really came."""

from __future__ import annotations

import json
import os
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import CLIENT_SUBJECT, Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all, running
from tests.live.streams import HOSTS, Dial, client_context, encrypted

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def demanding(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """A whoami that demands a client's certificate."""
    options = [
        f"--tls-certificate={certificates.server_both}",
        f"--whoami=tls://:0?client-ca={certificates.ca}",
    ]
    with running(tmp_path_factory.mktemp("demanding"), *options) as daemon:
        yield daemon


def read_document(sock: socket.socket) -> dict[str, Any]:
    """The one line of JSON, up to the end of the stream."""
    answer = read_all(sock)
    assert answer.endswith(b"\n")
    document: dict[str, Any] = json.loads(answer)
    moment = datetime.fromisoformat(document.pop("time"))
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    return document


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_is_told_its_own_address_and_the_one_it_reached(
    daemon: Daemon, dial: Dial, host: str
) -> None:
    with dial("whoami", "tcp", host) as sock:
        assert read_document(sock) == {
            "address": host,
            "port": sock.getsockname()[1],
            "local_address": host,
            "local_port": daemon.port("whoami"),
            "transport": "tcp",
            "tls": None,
            "proxy": None,
        }


def test_a_client_of_tls_is_told_what_was_agreed(dial: Dial) -> None:
    sock = dial("whoami", "tls")
    assert isinstance(sock, ssl.SSLSocket)
    with sock:
        document = read_document(sock)
        cipher = sock.cipher()
        assert cipher is not None
        assert document["transport"] == "tls"
        assert document["port"] == sock.getsockname()[1]
        assert document["tls"] == {
            "version": sock.version(),
            "cipher": cipher[0],
            "server_name": "localhost",
            "client_subject": None,
        }


def test_a_client_that_gives_no_server_name_is_served(dial: Dial, certificates: Certificates) -> None:
    context = client_context(certificates.ca)
    # An address is never sent as a server name (RFC 6066 section 3).
    with encrypted(dial.raw("whoami", "tls"), context, "127.0.0.1") as sock:
        assert read_document(sock)["tls"]["server_name"] is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_with_a_certificate_is_told_its_subject(
    demanding: Daemon, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.client_certificate, certificates.client_key)
    context.maximum_version = version
    with encrypted(Dial(demanding, certificates.ca).raw("whoami", "tls"), context) as sock:
        told = read_document(sock)["tls"]
        assert told["client_subject"] == CLIENT_SUBJECT
        assert told["version"] == sock.version() == version.name.replace("_", ".")


def test_a_client_without_a_certificate_or_with_a_strange_one_is_refused(
    demanding: Daemon, certificates: Certificates
) -> None:
    strange = (certificates.other_client_certificate, certificates.other_client_key)
    for own in ((), strange):
        raw = Dial(demanding, certificates.ca).raw("whoami", "tls")
        context = client_context(certificates.ca, *own)
        # In TLS 1.3 the client is through before the server has seen its certificate: reading tells it.
        with pytest.raises(ssl.SSLError, match="alert"), encrypted(raw, context) as sock:
            read_all(sock)
    demanding.wait_for_line(r"refused \('127.0.0.1', \d+\): tls \(")


def test_no_tls_older_than_1_2_is_spoken(dial: Dial, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with dial.raw("whoami", "tls") as raw, pytest.raises(ssl.SSLError, match="alert protocol version"):
        encrypted(raw, context)


def test_a_client_of_a_unix_socket_is_told_the_paths(daemon: Daemon, dial: Dial) -> None:
    with dial("whoami", "unix") as sock:
        document = read_document(sock)
    assert (document["address"], document["port"]) == ("", None)
    assert (document["local_address"], document["local_port"]) == (daemon.path("whoami"), None)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (b"client", "client"),
        ("Jürgen €".encode(), "Jürgen €"),
        # JSON is text, and this is none; a surrogate in its place is more than many readers of JSON can take.
        (b"caf\xe9", "caf\\xe9"),
        # Linux's names without a file, as ss(8) shows them.
        (b"\0netsvc test %d" % os.getpid(), f"@netsvc test {os.getpid()}"),
    ],
    ids=["path", "utf-8", "no text", "abstract"],
)
def test_a_client_with_a_path_is_told_the_same_on_streams_and_datagrams(
    daemon: Daemon, own: bytes, told: str, tmp_path: Path
) -> None:
    if not own.startswith(b"\0"):
        own, told = os.path.join(os.fsencode(tmp_path), own), f"{tmp_path}/{told}"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(own)
        sock.connect(daemon.path("whoami"))
        assert read_document(sock)["address"] == told
    if not own.startswith(b"\0"):
        os.unlink(own)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(own)
        sock.connect(daemon.path("whoami", "unix-datagram"))
        sock.send(bytes(1000))
        assert json.loads(sock.recv(4096))["address"] == told


@pytest.mark.parametrize("host", HOSTS)
def test_a_datagram_is_told_as_much_as_it_has_earned(daemon: Daemon, host: str) -> None:
    with daemon.datagrams("whoami", host) as sock:
        sock.send(b"")
        least = sock.recv(2048)
        sock.send(bytes(200))
        whole = sock.recv(2048)
        own_port = sock.getsockname()[1]
    assert len(least) <= 3 * 28 - 28
    assert json.loads(least).items() >= {"address": host, "port": own_port}.items()
    assert (
        json.loads(whole).items()
        >= {
            "address": host,
            "port": own_port,
            "local_address": host,
            "transport": "udp",
            "proxy": None,
        }.items()
    )
