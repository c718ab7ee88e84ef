"""Connections to every kind of stream, and what is said of those that cannot be had."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import pytest_twisted  # type: ignore[import-untyped]
from click.testing import CliRunner

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address, AddressType, parse_address
from netsvc.commands.certs import make_authority, make_server, parse_host
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, dial, half_close, reason_of, tls_options
from tests.certificates import Certificates
from tests.commands.breaking import read_and_reset
from tests.commands.programs import serving
from tests.live.conftest import certificates as certificates
from tests.live.daemon import Daemon, running


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Daemon]:
    """Echo on everything; whoami wants client certificates, greeting's own has expired."""
    directory = tmp_path_factory.mktemp("daemon")
    expired = f"certificate={certificates.expired_certificate}"
    with running(
        directory,
        f"--tls-certificate={certificates.server_certificate}",
        f"--tls-key={certificates.server_key}",
        "--echo=127.0.0.1:0",
        "--echo=tls://127.0.0.1:0",
        f"--echo=unix://{directory}/echo",
        f"--whoami=tls://127.0.0.1:0?client-ca={certificates.ca}",
        f"--greeting=tls://127.0.0.1:0?{expired}&key={certificates.server_key}",
    ) as started:
        yield started


class Peer(Protocol):
    """Keeps what arrives, and the reason for which it ended."""

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.ended: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # A Deferred must not take it for its own failure.
        self.ended.callback([reason])  # type: ignore[arg-type]

    async def reason(self) -> str:
        """Wait for the end."""
        return reason_of((await self.ended)[0])  # type: ignore[index]


async def dialled(reactor: Any, url: str, *, timeout: float = 10.0, **tls: Any) -> Peer:
    """Dial a URL with TLS options."""
    given: dict[str, Any] = {name: value if value is True else str(value) for name, value in tls.items()}
    options = TLSOptions(**given)
    peer = await dial(reactor, parse_address(url), Factory.forProtocol(Peer), options, timeout)
    assert isinstance(peer, Peer)
    return peer


async def refusal(reactor: Any, url: str, *, timeout: float = 10.0, **tls: Any) -> str:
    """Why a URL cannot be dialled."""
    with pytest.raises(NotDone) as caught:
        await dialled(reactor, url, timeout=timeout, **tls)
    text = str(caught.value)
    assert "\n" not in text
    return text


def tls_url(daemon: Daemon, service: str = "echo", host: str = "localhost") -> str:
    """Where a service has TLS."""
    return f"tls://{host}:{daemon.port(service, 'tls')}"


# -- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["tcp", "tls", "unix"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_is_sent_before_a_half_close_is_answered_whole(
    started_reactor: Any, daemon: Daemon, certificates: Certificates, scheme: str
) -> None:
    sent = bytes(range(256)) * 4096
    tls: dict[str, Any] = {"ca": certificates.ca} if scheme == "tls" else {}
    where = daemon.path("echo") if scheme == "unix" else f"localhost:{daemon.port('echo', scheme)}"
    peer = await dialled(started_reactor, f"{scheme}://{where}", **tls)
    peer.transport.write(sent)
    half_close(peer.transport)
    assert await peer.reason() == "closed by the server"
    assert peer.received == sent


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_certificate_for_the_name_or_the_address_is_believed(
    started_reactor: Any, daemon: Daemon, certificates: Certificates, host: str
) -> None:
    peer = await dialled(started_reactor, tls_url(daemon, host=host), ca=certificates.ca)
    half_close(peer.transport)
    assert await peer.reason() == "closed by the server"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_that_is_named_itself_is_trusted_without_its_authority(
    started_reactor: Any, daemon: Daemon, certificates: Certificates
) -> None:
    peer = await dialled(started_reactor, tls_url(daemon), ca=certificates.server_certificate)
    half_close(peer.transport)
    assert await peer.reason() == "closed by the server"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_name_with_an_underscore_is_a_name(
    started_reactor: Any, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = daemon.port("echo")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_: found if host == "my_echo" else [])
    peer = await dialled(started_reactor, f"tcp://my_echo:{port}")
    half_close(peer.transport)
    assert await peer.reason() == "closed by the server"


@pytest.mark.parametrize("service", ["echo", "greeting"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_insecure_connects_to_anybody(started_reactor: Any, daemon: Daemon, service: str) -> None:
    peer = await dialled(started_reactor, tls_url(daemon, service), insecure=True)
    half_close(peer.transport)
    assert await peer.reason() == "closed by the server"


@pytest.mark.parametrize("in_one_file", [False, True])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_client_certificate_is_shown(
    started_reactor: Any, daemon: Daemon, certificates: Certificates, tmp_path: Path, in_one_file: bool
) -> None:
    tls: dict[str, Any] = {"certificate": certificates.client_certificate, "key": certificates.client_key}
    if in_one_file:
        both = tmp_path / "both.pem"
        both.write_bytes(b"".join(path.read_bytes() for path in tls.values()))
        tls = {"certificate": both}
    peer = await dialled(started_reactor, tls_url(daemon, "whoami"), ca=certificates.ca, **tls)
    await peer.ended
    assert b"device" in peer.received


# -- certificates that are refused --------------------------------------------------------------------------


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_unknown_authority_is_named(
    started_reactor: Any, daemon: Daemon, certificates: Certificates
) -> None:
    place = f"localhost:{daemon.port('echo', 'tls')}"
    expected = (
        f"certificate of {place} is not trusted: its issuer CN=Test authority is not a trusted authority"
    )
    assert await refusal(started_reactor, tls_url(daemon)) == expected
    assert await refusal(started_reactor, tls_url(daemon), ca=certificates.other_ca) == expected


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_expired_certificate_is_refused_with_its_time(
    started_reactor: Any, daemon: Daemon, certificates: Certificates
) -> None:
    text = await refusal(started_reactor, tls_url(daemon, "greeting"), ca=certificates.ca)
    assert "is not trusted: CN=localhost expired on " in text
    assert text.endswith(" UTC")


@contextmanager
def _serving_tls(directory: Path, *hosts: str) -> Iterator[tuple[str, Path]]:
    """A TLS server for these names, which sends its authority too: where it is, and the authority's file."""
    now = datetime.now(UTC)
    authority = make_authority(now - timedelta(days=1), now + timedelta(days=1))
    server = make_server(authority, [parse_host(host) for host in hosts])
    ca, both = directory / "ca.pem", directory / "server.pem"
    ca.write_bytes(authority.certificate_pem())
    both.write_bytes(server.key_pem() + server.certificate_pem() + authority.certificate_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)

    def shake_hands(connection: socket.socket) -> None:
        with suppress(ssl.SSLError, OSError), context.wrap_socket(connection, server_side=True):
            pass

    with serving(shake_hands) as place:
        yield place.replace("127.0.0.1", "localhost"), ca


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_certificate_for_somebody_else_tells_for_whom(started_reactor: Any, tmp_path: Path) -> None:
    with _serving_tls(tmp_path, "example.org", "192.0.2.1") as (place, ca):
        text = await refusal(started_reactor, f"tls://{place}", ca=ca)
    assert text == f"certificate of {place} is for example.org, 192.0.2.1, not localhost"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_an_authority_that_only_signed_itself_is_named(started_reactor: Any, tmp_path: Path) -> None:
    with _serving_tls(tmp_path, "localhost") as (place, _):
        text = await refusal(started_reactor, f"tls://{place}")
    expected = f"certificate of {place} is not trusted: self-signed certificate in chain: CN=netsvc private"
    assert text.startswith(expected)


# -- a server that refuses the client's ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "alert"), [(False, "certificate required"), (True, "unknown ca")], ids=["none", "other"]
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_refused_client_learns_it_from_the_end_of_the_connection(
    started_reactor: Any, daemon: Daemon, certificates: Certificates, other: bool, alert: str
) -> None:
    tls: dict[str, Any] = {}
    if other:
        tls = {"certificate": certificates.other_client_certificate, "key": certificates.other_client_key}
    peer = await dialled(started_reactor, tls_url(daemon, "whoami"), ca=certificates.ca, **tls)
    assert await peer.reason() == f"the server ended TLS: {alert}"


# -- files that cannot be used ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({"ca": "/nonesuch"}, "--ca '/nonesuch': No such file or directory"),
        ({"ca": "server_key"}, "there is no certificate in it that can be read; expected PEM"),
        ({"certificate": "/"}, "--cert '/': Is a directory"),
        ({"certificate": "client_certificate"}, "there is no private key in it that can be read"),
        ({"certificate": "client_certificate", "key": "server_key"}, "the private key is not that of the"),
        ({"certificate": "server_certificate", "key": "encrypted_key"}, "the private key is encrypted"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_file_that_cannot_be_used_is_named(
    started_reactor: Any, certificates: Certificates, tls: dict[str, str], expected: str
) -> None:
    paths: dict[str, Any] = {key: getattr(certificates, name, name) for key, name in tls.items()}
    assert expected in await refusal(started_reactor, "tls://localhost:1", **paths)


@click.command()
@click.argument("address", type=AddressType())
@tls_options
def told(address: Address, tls: TLSOptions) -> None:
    """Tell what it was told."""
    click.echo(f"{address} {tls}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["tls://localhost:1", "--key", "k"],
        ["tls://localhost:1", "--ca", "c", "--insecure"],
        ["tcp://localhost:1", "--ca", "c"],
        ["udp://localhost:1", "--insecure"],
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(told, arguments).exit_code == 2


def test_options_are_passed_on_and_insecure_is_said_loudly() -> None:
    files = ["--ca", "ca.pem", "--cert", "c.pem", "--key", "c.key"]
    done = CliRunner().invoke(told, ["tls://localhost:1", *files])
    assert done.output == f"tls://localhost:1 {TLSOptions('ca.pem', 'c.pem', 'c.key')}\n"
    done = CliRunner().invoke(told, ["tls://localhost:1", "--insecure"])
    assert done.stdout == f"tls://localhost:1 {TLSOptions(insecure=True)}\n"
    assert done.stderr.startswith("netsvc: WARNING: the certificate of tls://localhost:1 is NOT VERIFIED ")
    assert done.stderr.count("\n") == 1


# -- connections that cannot be had -------------------------------------------------------------------------


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_closed_port_refuses(started_reactor: Any, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{_closed_port()}"
    assert await refusal(started_reactor, url) == f"{url}: connection refused"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///nonesuch", "no such file or directory"),
        (f"unix:///{'a' * 107}", "a path of a socket has at most 107 bytes"),
        ("tcp://nonesuch.invalid:1", "the name has no address"),
        ("tls://nonesuch.invalid:1", "the name has no address"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_is_not_there_is_said(started_reactor: Any, url: str, expected: str) -> None:
    assert await refusal(started_reactor, url) == f"{url}: {expected}"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_that_does_not_shake_hands_is_given_up(started_reactor: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tls://127.0.0.1:{server.getsockname()[1]}"
        assert await refusal(started_reactor, url, timeout=0.1) == f"{url}: no answer in time"


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_a_server_without_tls_is_told_from_one_that_breaks_off(started_reactor: Any) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 no TLS here\r\n")
        connection.recv(1 << 16)

    with serving(greet) as place:
        assert "what answers there does not speak TLS" in await refusal(started_reactor, f"tls://{place}")
    with serving(read_and_reset) as place:
        assert "the connection broke" in await refusal(started_reactor, f"tls://{place}")


# -- reasons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionDone(), "closed by the server"),
        (ConnectionLost(), "the connection broke: reset by the server, or lost on the way"),
        (ConnectError(13), "permission denied"),
        (OSError(101, "Network is unreachable"), "network is unreachable"),
        (ValueError("invalid\nhostname"), "invalid hostname"),
    ],
)
def test_a_reason_is_one_line(error: Exception, text: str) -> None:
    assert reason_of(Failure(error)) == text
