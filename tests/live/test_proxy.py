"""
PROXY headers before plain streams and before TLS: whoami, clients and the log show the client's own address.

A header from somewhere that is no proxy is not believed: it is what any client could send.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.certificates import CLIENT_SUBJECT, Certificates
from tests.live.daemon import PATIENCE, Daemon, read_all, running
from tests.live.streams import client_context, encrypted, unix_stream

pytestmark = pytest.mark.live

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SERVER_NAME = 2

#: On loopback, and not the address that is believed here.
NO_PROXY = "127.0.0.2"


def v2(command: int, family: int, body: bytes) -> bytes:
    """A version 2 header (proxy-protocol.txt, section 2.2)."""
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family << 4 | 1, len(body)) + body


V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n"
V2 = v2(
    1,
    1,
    socket.inet_aton("203.0.113.7")
    + socket.inet_aton("198.51.100.1")
    + struct.pack("!HH", 40000, 443)
    + struct.pack("!BH", SERVER_NAME, 12)
    + b"shop.example",
)
V2_IPV6 = v2(
    1,
    2,
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + struct.pack("!HH", 40000, 443),
)
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
V2_LOCAL = v2(0, 0, b"")

#: Each header with the addresses that it tells, and the server name.
TELLING = {
    "v1": (V1, "203.0.113.7", "198.51.100.1", None),
    "v1-ipv6": (V1_IPV6, "2001:db8::7", "2001:db8::1", None),
    "v2": (V2, "203.0.113.7", "198.51.100.1", "shop.example"),
    "v2-ipv6": (V2_IPV6, "2001:db8::7", "2001:db8::1", None),
}


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """Listeners behind a balancer: on TCP and TLS they demand its header, on UNIX sockets it may lack."""
    directory = tmp_path_factory.mktemp("balanced")
    required = "127.0.0.1:0?proxy=required&proxies=127.0.0.1"
    options = [f"--tls-certificate={certificates.server_both}"]
    for name in ("whoami", "clients", "greeting"):
        options.append(f"--{name}=tcp://{required}")
        options.append(f"--{name}=tls://{required}&client-ca={certificates.ca}")
        options.append(f"--{name}=unix://{directory}/{name}.sock?proxy=optional&handshake-timeout=0.1")
    # The header may be missing here too, and a stranger's is what the stranger says.
    options.append("--echo=tcp://127.0.0.1:0?proxy=optional&proxies=127.0.0.1")
    with running(directory, *options) as daemon:
        yield daemon


def connect(daemon: Daemon, service: str, transport: str = "tcp", source: str = "") -> socket.socket:
    """A connection, from another address if one is given."""
    where = ("127.0.0.1", daemon.port(service, transport))
    return socket.create_connection(where, PATIENCE, (source, 0) if source else None)


def ask(
    daemon: Daemon,
    certificates: Certificates,
    service: str,
    transport: str,
    header: bytes,
    message: bytes = b"",
) -> Any:
    """Send a header and what follows it, over TLS if asked for; gives the JSON that comes."""
    with connect(daemon, service, transport) as sock:
        if transport == "tls":
            sock.sendall(header)
            own = (certificates.client_certificate, certificates.client_key)
            with encrypted(sock, client_context(certificates.ca, *own)) as sealed:
                sealed.sendall(message)
                return json.loads(read_all(sealed))
        sock.sendall(header + message)
        return json.loads(read_all(sock))


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("kind", TELLING)
def test_whoami_shows_who_the_header_tells_of(
    balanced: Daemon, certificates: Certificates, transport: str, kind: str
) -> None:
    header, source, destination, server_name = TELLING[kind]
    told = ask(balanced, certificates, "whoami", transport, header)
    assert (told["address"], told["port"]) == (source, 40000)
    assert (told["local_address"], told["local_port"]) == (destination, 443)
    assert told["transport"] == transport
    assert told["proxy"] == {
        "version": int(kind[1]),
        "source": source,
        "source_port": 40000,
        "destination": destination,
        "destination_port": 443,
        "via": "127.0.0.1",
        "server_name": server_name,
    }
    assert (told["tls"] and told["tls"]["client_subject"]) == (CLIENT_SUBJECT if transport == "tls" else None)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("header", [V1_UNKNOWN, V2_LOCAL], ids=["v1", "v2"])
def test_a_proxy_that_speaks_for_itself_is_shown_itself(
    balanced: Daemon, certificates: Certificates, transport: str, header: bytes
) -> None:
    told = ask(balanced, certificates, "whoami", transport, header)
    assert told["address"] == "127.0.0.1"
    assert told["local_port"] == balanced.port("whoami", transport)
    assert told["proxy"]["source"] is None


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("kind", TELLING)
def test_the_client_list_has_who_the_header_tells_of(
    balanced: Daemon, certificates: Certificates, transport: str, kind: str
) -> None:
    header, source, _, _ = TELLING[kind]
    name = f"{transport} {kind}"
    listed = ask(balanced, certificates, "clients", transport, header, name.encode())
    assert listed[name] == {"name": name, "address": source, "port": 40000}


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_may_come_in_pieces(balanced: Daemon, header: bytes) -> None:
    with connect(balanced, "whoami") as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(header)):
            sock.send(header[at : at + 1])
        assert json.loads(read_all(sock))["address"] == "203.0.113.7"


def test_the_log_shows_who_the_header_tells_of(balanced: Daemon) -> None:
    with connect(balanced, "greeting") as sock:
        sock.sendall(V1_IPV6)
        assert read_all(sock) == b"Thank you for connecting\r\n"
    balanced.wait_for_line(r"\] Got connection from \('2001:db8::7', 40000\)$")


def test_where_the_header_may_be_missing_both_kinds_of_client_are_served(balanced: Daemon) -> None:
    for header, address in ((V1, "203.0.113.7"), (V2_IPV6, "2001:db8::7"), (b"", "")):
        name = address or "nobody"
        with unix_stream(balanced.path("clients")) as sock:
            sock.sendall(header + name.encode())
            assert json.loads(read_all(sock))[name]["address"] == address


def test_a_client_that_waits_to_be_spoken_to_is_served_without_a_header(balanced: Daemon) -> None:
    with unix_stream(balanced.path("greeting")) as sock:
        assert read_all(sock) == b"Thank you for connecting\r\n"


def test_a_stranger_is_refused_where_a_header_is_demanded(balanced: Daemon) -> None:
    with socket.socket() as sock:
        sock.settimeout(PATIENCE)
        sock.bind((NO_PROXY, 0))
        port = sock.getsockname()[1]
        # The reset may come as early as that.
        with suppress(ConnectionResetError):
            sock.connect(("127.0.0.1", balanced.port("whoami")))
            sock.sendall(V1)
            assert read_all(sock) == b""
    balanced.wait_for_line(rf"refused \('{NO_PROXY}', {port}\): proxies$")


def test_a_strangers_header_is_only_what_the_stranger_says(balanced: Daemon) -> None:
    with connect(balanced, "echo", source=NO_PROXY) as sock:
        sock.sendall(V1)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == V1


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 99999 443\r\n",
        b"PROXY TCP4 \x1b[2J 198.51.100.1 40000 443\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\xff" * 200,
    ],
    ids=["none", "port", "address", "long", "version"],
)
def test_a_proxy_whose_header_is_wrong_is_refused(balanced: Daemon, header: bytes) -> None:
    # Bytes that nobody has read make the system reset the connection.
    with connect(balanced, "whoami") as sock, suppress(ConnectionResetError):
        sock.sendall(header)
        assert read_all(sock) == b""
    balanced.wait_for_line(r"refused \('127.0.0.1', \d+\): proxy_header \(")
