"""
What peers send is data: none of their bytes reaches the log raw, wherever they put them.

A log is read in terminals and cut into records by programs, so a peer must neither move the cursor, nor begin
a line of its own, nor name a field of an event.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from tests.certificates import Certificates
from tests.issuing import Issuer, name_of, new_key, write
from tests.live.daemon import PATIENCE, Daemon, read_all, running
from tests.live.streams import Dial, encrypted, end_sending
from tests.live.websockets import WebSocketClient
from tests.web.frames import BINARY, TEXT, close, frame, opening

pytestmark = pytest.mark.live

HOSTILE = (
    "{x} {log_source} %s %(peer)s \r\n2026-01-01 [forged#info] \x1b[2J\x1b]0;t\x07 \0 \x85 \u2028 \u202e \x7f"
)
BYTES = HOSTILE.encode() + b"\xff\x9b"

#: What goes where there is room for a few bytes only.
SHORT = "{x}\r\n\x1b[2J\x07\x85\u2028%s"

#: Where a field of HTTP cannot hold what would end its line.
FIELD = BYTES.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")

#: A service that fails with what it was sent in its message, as anybody's may.
_FAILING = """
from twisted.internet.protocol import Factory, Protocol

class Failing(Protocol):
    def dataReceived(self, data):
        raise ValueError(data.decode("utf-8", "replace"))

class FailingFactory(Factory):
    protocol = Failing
"""

#: The beginning of each line that netsvc writes; those of a traceback that follow are set in.
_LINE = re.compile(r"(?:\t)|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[a-z0-9_.]+#[a-z]+\] ", re.IGNORECASE)

#: What no line may have in it: control characters, U+2028 and U+2029, what turns the direction of writing,
#: bytes that are not UTF-8.
_RAW = re.compile("(?!^\t)[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """An authority whose clients are believed."""
    return Issuer("authority of clients")


@pytest.fixture(scope="module")
def hearing(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, issuer: Issuer
) -> Iterator[Daemon]:
    """A daemon whose log has everything that it can have, and that believes PROXY headers."""
    directory = tmp_path_factory.mktemp("hearing")
    (directory / "failing.py").write_text(_FAILING)
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    ca = write(directory / "ca.pem", issuer.certificate)
    options = [
        f"--tls-certificate={certificates.server_both}",
        "--set=service.demanding.stream=netsvc.services.whoami.WhoamiFactory",
        f"--set=service.demanding.listen=tls://127.0.0.1:0?client-ca={ca}",
        "--set=service.failing.stream=failing.FailingFactory",
        "--set=service.failing.listen=tcp://127.0.0.1:0",
        "--set=limits.refusal_log_rate=1e9",
        "--web=127.0.0.1:0",
    ]
    for name in ("receiver", "greeting", "timestamp", "clients", "chat", "whoami", "echo"):
        options += [
            f"--{name}={scheme}://127.0.0.1:0?proxy=optional&log-rate=1e9" for scheme in ("tcp", "tls")
        ]
        options.append(f"--{name}=unix://{directory}/{name}.sock")
    options += ["--receiver=udp://127.0.0.1:0", f"--receiver=unix-datagram://{directory}/receiver.dgram"]
    with running(directory, *options, environment={"PYTHONPATH": path}) as daemon:
        yield daemon


@pytest.fixture
def reach(hearing: Daemon, certificates: Certificates) -> Iterator[Dial]:
    """Connects to it, and in the end looks at the log."""
    dial = Dial(hearing, certificates.ca)
    yield dial
    dial.barrier()
    for line in hearing.lines:
        assert _LINE.match(line), f"no line of netsvc's: {line!r}"
        assert not _RAW.search(line), f"raw: {line!r}"
        assert line.isprintable() or line.removeprefix("\t")[:-1].isprintable()


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
@pytest.mark.parametrize(
    "service", ["receiver", "greeting", "timestamp", "clients", "chat", "whoami", "echo"]
)
def test_in_a_stream(reach: Dial, service: str, transport: str) -> None:
    with reach(service, transport) as sock, suppress(OSError):
        sock.sendall(BYTES + b"\n" + BYTES)
        end_sending(sock)
        read_all(sock)


def test_in_a_message_that_the_log_shows(reach: Dial, hearing: Daemon) -> None:
    with reach("receiver") as sock, hearing.datagrams("receiver") as datagrams:
        sock.sendall(BYTES)
        datagrams.send(BYTES)
        for peer in (sock.getsockname(), datagrams.getsockname()):
            hearing.wait_for_line(re.escape(f"Got message from {peer}: {BYTES!r}") + "$")


@pytest.mark.parametrize("service", ["timestamp", "greeting", "receiver"])
def test_in_the_path_of_a_unix_socket(
    reach: Dial, hearing: Daemon, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bound by its name alone, for a path can only be so long.
    monkeypatch.chdir(tmp_path)
    own = b"{x}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(own)
        sock.connect(hearing.path(service))
        sock.sendall(b"hello")
        end_sending(sock)
        read_all(sock)
    hearing.wait_for_line(re.escape(repr(own.decode("utf-8", "backslashreplace"))))


def test_in_the_path_of_a_unix_datagram_socket(
    reach: Dial, hearing: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = b"{y}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(own)
        sock.connect(hearing.path("receiver", "unix-datagram"))
        sock.send(BYTES)
    shown = f"Got message from {own.decode('utf-8', 'backslashreplace')!r}: {BYTES!r}"
    hearing.wait_for_line(re.escape(shown) + "$")


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_in_a_proxy_header(reach: Dial, hearing: Daemon, transport: str) -> None:
    path = b"{z}\r\n\x1b[2J\x07\xc2\x85\xe2\x80\xa8\xff"
    body = (
        path.ljust(108, b"\0") + bytes(108) + struct.pack("!BH", 2, len(HOSTILE.encode())) + HOSTILE.encode()
    )
    header = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x31, len(body)) + body
    for refused in (b"PROXY " + BYTES + b"\r\n", header[:14] + b"\xff\xff" + header[16:], header + BYTES):
        with reach.raw("greeting", transport) as sock, suppress(OSError):
            sock.sendall(refused)
            read_all(sock)
    if transport == "tcp":
        hearing.wait_for_line(re.escape(f"Got connection from {path.decode('utf-8', 'backslashreplace')!r}"))


def test_in_what_should_have_been_tls(reach: Dial, hearing: Daemon) -> None:
    with reach.raw("greeting", "tls") as sock, suppress(OSError):
        sock.sendall(BYTES)
        read_all(sock)
    hearing.wait_for_line(r"refused .*: tls \(")


@pytest.mark.parametrize("refuses", [False, True])
def test_in_the_names_of_a_tls_client(
    reach: Dial, hearing: Daemon, certificates: Certificates, refuses: bool
) -> None:
    """The server name and the protocols that it offers; and it may like ours, or not."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_alpn_protos([SHORT.encode(), b"\xff\0"])
    if refuses:
        context.set_verify(SSL.VERIFY_PEER, lambda *ignored: False)
    with reach.raw("whoami", "tls") as sock:
        client = SSL.Connection(context, sock)
        client.set_tlsext_host_name(SHORT.encode() + b"\xff")
        client.set_connect_state()
        sock.settimeout(None)
        if refuses:
            with pytest.raises(SSL.Error):
                client.do_handshake()
            hearing.wait_for_line(r"refused .*: tls \(.*alert unknown ca")
        else:
            client.do_handshake()
            assert b"{x}" in client.recv(4096)


@pytest.mark.parametrize("known", [False, True])
def test_in_the_subject_of_a_clients_certificate(
    reach: Dial, hearing: Daemon, certificates: Certificates, issuer: Issuer, tmp_path: Path, known: bool
) -> None:
    key = new_key()
    above = issuer if known else Issuer(SHORT)
    chain = [above.issue(key, name_of(SHORT)), above.certificate]
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(write(tmp_path / "client.pem", *chain, key))
    with suppress(ssl.SSLError, ConnectionError), encrypted(reach.raw("demanding", "tls"), context) as client:
        assert (b"{x}" in client.recv(4096)) == known
    if not known:
        hearing.wait_for_line(r"refused .*: tls \(certificate verify failed")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + FIELD + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%7bx%7d%0d%0a%1b%5b2J%00%c2%85%e2%80%a8 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/facts?" + FIELD.replace(b" ", b"+") + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + FIELD + b"\r\n\r\n",
        b"GET / " + FIELD + b"\r\nHost: localhost\r\n\r\n",
        FIELD + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        FIELD.replace(b" ", b"") + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        BYTES,
        *(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + name + b": " + FIELD + b"\r\n\r\n"
            for name in (
                b"User-Agent",
                b"Origin",
                b"Referer",
                b"Cookie",
                b"Authorization",
                b"X-Forwarded-For",
                b"Accept",
                b"Upgrade",
                b"X-{x}",
            )
        ),
        opening("/ws/echo", Origin="{x}\x1b[2J"),
        opening("/ws/echo", Sec_WebSocket_Protocol="{x}%s"),
        opening("/ws/echo", Sec_WebSocket_Protocol="{x}\x1b[2J\x85"),
        opening("/ws/echo", Sec_WebSocket_Extensions="{x}\x1b[2J\x85; a=\x1b"),
        opening("/ws/{x}%0d%0a\x1b[2J"),
    ],
)
def test_in_a_request_of_http(reach: Dial, request_: bytes) -> None:
    with reach.raw("web") as sock, suppress(ConnectionError):
        sock.sendall(request_)
        end_sending(sock)
        assert not read_all(sock).startswith(b"HTTP/1.1 5")


@pytest.mark.parametrize("service", ["receiver", "chat", "clients", "whoami", "canvas", "facts"])
def test_in_what_a_websocket_says(reach: Dial, hearing: Daemon, service: str) -> None:
    for said in (frame(TEXT, HOSTILE.encode()), frame(BINARY, BYTES), frame(TEXT, BYTES)):
        for goodbye in (close(4000, SHORT.encode()), close(1000, b"\xff"), close(999, SHORT.encode())):
            with WebSocketClient.to(hearing, service) as client, suppress(ConnectionError):
                client.send(said + goodbye)
                client.rest()


def test_in_the_exception_of_a_service_that_quotes_it(reach: Dial, hearing: Daemon) -> None:
    with reach("failing") as sock, suppress(ConnectionError):
        sock.sendall(BYTES)
        read_all(sock)
    hearing.wait_for_line(r"ValueError: \{x\} \{log_source\} %s")
