"""What a peer may cost, with real daemons: every limit refuses at once, says its name, and lets go again."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, read_all
from tests.live.streams import client_context, encrypted, exchange, unix_stream
from tests.live.timeline import WatchedDaemon, watched

#: In a query: nobody on this machine is exempt from the limits for each address.
NOBODY = "trusted=192.0.2.0/24"

#: Seconds, short enough to be waited for: for clients that do nothing in time whatever the machine does.
SOON = 0.3

#: For clients that must do something in that time.
LATER = 1.5

_TCP = "tcp://127.0.0.1:0"
_ECHO = "netsvc.services.echo.EchoFactory"
_GREETING = "netsvc.services.greeting.GreetingFactory"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[WatchedDaemon]:
    """A daemon with an echo service for each limit on who may come in."""
    directory = tmp_path_factory.mktemp("limited")
    echoes = {
        "total": f"{_TCP}?max_connections=2",
        "total-unix": f"unix://{directory}/total.sock?max_connections=2&per_address=1&{NOBODY}",
        "each": f"{_TCP}?per_address=2&{NOBODY}",
        "each-tls": f"tls://127.0.0.1:0?per_address=1&{NOBODY}&certificate={certificates.server_both}",
        "each-trusted": f"{_TCP}?per_address=1&new_per_second=0.01",
        "each-proxied": f"{_TCP}?per_address=1&proxy=required",
        "rate": f"{_TCP}?new_per_second=0.01&{NOBODY}",
        "deny": f"{_TCP}?deny=127.0.0.2,127.0.4.0/24",
        "allow": f"{_TCP}?allow=127.0.0.0/24&deny=127.0.0.9",
        "allow-proxied": f"{_TCP}?allow=192.0.2.0/24&proxy=required",
        "proxies": f"{_TCP}?proxy=required&proxies=127.0.0.2",
    }
    with watched(directory, _services(directory, {name: (_ECHO, echoes[name]) for name in echoes})) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[WatchedDaemon]:
    """A daemon with a service for each limit on how long a client may take."""
    directory = tmp_path_factory.mktemp("hurried")
    services = {
        "idle": (_ECHO, f"{_TCP}?idle_timeout={LATER}"),
        "secret": (
            _ECHO,
            f"tls://127.0.0.1:0?handshake_timeout={SOON}&certificate={certificates.server_both}",
        ),
        "proxied": (_ECHO, f"{_TCP}?handshake_timeout={SOON}&proxy=required"),
        "perhaps-proxied": (_GREETING, f"{_TCP}?handshake_timeout={SOON}&proxy=optional"),
        "closing": (_GREETING, _TCP),
    }
    more = [f"--{name}={_TCP}?first_line_timeout={LATER}" for name in ("chat", "clients")]
    more.append(f"--set=limits.close_timeout={SOON}")
    with watched(directory, _services(directory, services), *more) as daemon:
        yield daemon


def _services(directory: Path, services: Mapping[str, tuple[str, str]]) -> str:
    """The option for a configuration of services, each with its factory and its WHERE."""
    file = directory / "netsvc.toml"
    tables = (
        f'[service.{name}]\nstream = "{factory}"\nlisten = "{where}"\n'
        for name, (factory, where) in services.items()
    )
    file.write_text("".join(tables))
    return f"--config={file}"


def _dial(
    daemon: WatchedDaemon, service: str, source: str = "127.0.0.1", transport: str = "tcp"
) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port(service, transport)), PATIENCE, (source, 0))


def _dial_proxied(daemon: WatchedDaemon, service: str, client: str) -> socket.socket:
    """A connection whose PROXY header names a client."""
    version, local = ("6", "2001:db8::ffff") if ":" in client else ("4", "192.0.2.255")
    sock = _dial(daemon, service)
    sock.sendall(f"PROXY TCP{version} {client} {local} 4711 7\r\n".encode())
    return sock


def _is_served(sock: socket.socket) -> bool:
    return exchange(sock, b"hello", 5) == b"hello"


def _refusal(
    daemon: WatchedDaemon, service: str, source: str = "127.0.0.1", transport: str = "tcp"
) -> dict[str, Any]:
    """Connect, be reset, and get the fact about it."""
    with socket.socket() as sock:
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        # The reset may come so soon that it is what connect tells.
        with pytest.raises(ConnectionResetError):
            _connect_and_wait(sock, daemon.port(service, transport))
        return _refused(daemon, service, sock)


def _connect_and_wait(sock: socket.socket, port: int) -> None:
    sock.connect(("127.0.0.1", port))
    sock.recv(1)


def _refused(daemon: WatchedDaemon, service: str, sock: socket.socket) -> dict[str, Any]:
    """The fact that a client was refused."""
    (fact,) = daemon.facts(1, service=service, kind="refused", port=sock.getsockname()[1])
    return fact


def _reason_of_end(daemon: WatchedDaemon, service: str, sock: socket.socket) -> str:
    """Why a connection ended, once the daemon is done with it; the client's side may still be open."""
    (fact,) = daemon.facts(1, service=service, kind="closed", port=sock.getsockname()[1])
    return str(fact["reason"])


def _leave(daemon: WatchedDaemon, service: str, sock: socket.socket) -> None:
    """Close a connection, and see the daemon note it."""
    after = daemon.last_fact()
    sock.close()
    daemon.facts(1, after, service=service, kind="closed")


# -- who may come in -------------------------------------------------------------------------------------


def test_one_more_than_the_total_is_refused_until_somebody_leaves(limited: WatchedDaemon) -> None:
    first, second = _dial(limited, "total"), _dial(limited, "total")
    assert _is_served(first)
    assert _is_served(second)
    assert _refusal(limited, "total")["reason"] == "max_connections"
    limited.wait_for_line(r"netsvc\.total.*refused \('127\.0\.0\.1', \d+\): max_connections")
    assert _is_served(first), "those inside notice nothing"
    _leave(limited, "total", first)
    with _dial(limited, "total") as third:
        assert _is_served(third)
    second.close()


def test_unix_sockets_have_a_total_and_no_addresses(limited: WatchedDaemon) -> None:
    path = limited.path("total-unix")
    with unix_stream(path) as first, unix_stream(path) as second:
        assert _is_served(first)
        assert _is_served(second)
        with unix_stream(path) as third:
            assert third.recv(1) == b""
    limited.facts(1, service="total-unix", kind="refused", reason="max_connections")


def test_one_more_from_an_address_is_refused_and_other_addresses_are_not(limited: WatchedDaemon) -> None:
    first, second = (_dial(limited, "each", "127.0.0.2") for _ in range(2))
    assert _is_served(first)
    assert _is_served(second)
    fact = _refusal(limited, "each", "127.0.0.2")
    assert (fact["reason"], fact["address"]) == ("per_address", "127.0.0.2")
    limited.wait_for_line(r"netsvc\.each#.*refused \('127\.0\.0\.2', \d+\): per_address")
    with _dial(limited, "each", "127.0.0.3") as neighbour:
        assert _is_served(neighbour), "IPv4 addresses count one by one"
    _leave(limited, "each", first)
    with _dial(limited, "each", "127.0.0.2") as third:
        assert _is_served(third)
    second.close()


def test_a_refused_client_of_tls_gets_its_reset_without_a_handshake(
    limited: WatchedDaemon, certificates: Certificates
) -> None:
    with encrypted(_dial(limited, "each-tls", transport="tls"), client_context(certificates.ca)) as first:
        assert _is_served(first)
        assert _refusal(limited, "each-tls", transport="tls")["reason"] == "per_address"


def test_behind_a_proxy_each_client_counts_for_itself(limited: WatchedDaemon) -> None:
    clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"]
    inside = [_dial_proxied(limited, "each-proxied", client) for client in clients]
    assert all(map(_is_served, inside))
    for client in ("192.0.2.1", "2001:db8::1"):
        sock = _dial_proxied(limited, "each-proxied", client)
        with sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
        limited.facts(1, service="each-proxied", kind="refused", address=client, reason="per_address")
    for sock in inside:
        sock.close()


def test_ipv6_addresses_count_by_their_network_of_64_bits(limited: WatchedDaemon) -> None:
    with _dial_proxied(limited, "each-proxied", "2001:db8:7::1") as first:
        assert _is_served(first)
        neighbour = _dial_proxied(limited, "each-proxied", "2001:db8:7::ffff:2")
        with neighbour, pytest.raises(ConnectionResetError):
            neighbour.recv(1)
    limited.facts(1, service="each-proxied", address="2001:db8:7::ffff:2", reason="per_address")


def test_connections_come_in_at_a_rate_for_each_address(limited: WatchedDaemon) -> None:
    with _dial(limited, "rate", "127.0.0.2") as first:
        assert _is_served(first)
    fact = _refusal(limited, "rate", "127.0.0.2")
    assert fact["reason"] == "new_per_second"
    with _dial(limited, "rate", "127.0.0.3") as other:
        assert _is_served(other)


def test_trusted_networks_are_exempt_from_what_counts_addresses(limited: WatchedDaemon) -> None:
    clients = [_dial(limited, "each-trusted") for _ in range(20)]
    assert all(map(_is_served, clients))
    for sock in clients:
        sock.close()


@pytest.mark.parametrize(
    ("service", "source", "reason"),
    [
        ("deny", "127.0.0.2", "deny"),
        ("deny", "127.0.4.5", "deny"),
        ("allow", "127.0.1.1", "allow"),
        ("allow", "127.0.0.9", "deny"),
        ("proxies", "127.0.0.3", "proxies"),
    ],
)
def test_who_is_denied_or_not_allowed_is_refused(
    limited: WatchedDaemon, service: str, source: str, reason: str
) -> None:
    fact = _refusal(limited, service, source)
    assert (fact["reason"], fact["address"]) == (reason, source)
    limited.wait_for_line(rf"netsvc\.{service}#.*refused .*: {reason}$")


@pytest.mark.parametrize(("service", "source"), [("deny", "127.0.0.3"), ("allow", "127.0.0.3")])
def test_everybody_else_is_served(limited: WatchedDaemon, service: str, source: str) -> None:
    with _dial(limited, service, source) as sock:
        assert _is_served(sock)


def test_behind_a_proxy_it_is_the_client_who_must_be_allowed(limited: WatchedDaemon) -> None:
    with _dial_proxied(limited, "allow-proxied", "192.0.2.7") as sock:
        assert _is_served(sock)
    stranger = _dial_proxied(limited, "allow-proxied", "198.51.100.7")
    with stranger, pytest.raises(ConnectionResetError):
        stranger.recv(1)
    limited.facts(1, service="allow-proxied", address="198.51.100.7", kind="refused", reason="allow")


# -- how long a client may take --------------------------------------------------------------------------


def test_an_idle_client_is_closed(hurried: WatchedDaemon) -> None:
    with _dial(hurried, "idle") as sock:
        assert _is_served(sock)
        assert sock.recv(1) == b""
        assert _reason_of_end(hurried, "idle", sock) == "idle"


@pytest.mark.parametrize(("service", "transport"), [("secret", "tls"), ("proxied", "tcp")])
def test_a_client_that_is_silent_before_the_service_is_reset(
    hurried: WatchedDaemon, service: str, transport: str
) -> None:
    fact = _refusal(hurried, service, transport=transport)
    assert fact["reason"] == "handshake_timeout"
    hurried.wait_for_line(rf"netsvc\.{service}#.*refused .*: handshake_timeout")


@pytest.mark.parametrize(
    ("service", "transport", "opening"),
    [
        # The head of a TLS record with a ClientHello of 512 bytes, most of which never comes.
        ("secret", "tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(400)),
        ("proxied", "tcp", b"PROXY TCP6 2001:db8:0000:0000:0000:0000:0000:0001 2001:db8:0000:0000:0000:0000"),
    ],
)
def test_a_client_that_opens_byte_by_byte_has_no_more_time(
    hurried: WatchedDaemon, service: str, transport: str, opening: bytes
) -> None:
    with _dial(hurried, service, transport=transport) as sock:
        with pytest.raises(ConnectionError):
            _dribble(sock, opening)
        assert _refused(hurried, service, sock)["reason"] == "handshake_timeout"


def test_where_the_header_is_optional_a_silent_client_is_served_after_that_time(
    hurried: WatchedDaemon,
) -> None:
    with _dial(hurried, "perhaps-proxied") as sock:
        assert read_all(sock) == b"Thank you for connecting\r\n"


@pytest.mark.parametrize("service", ["chat", "clients"])
def test_a_client_that_owes_its_first_line_is_closed(hurried: WatchedDaemon, service: str) -> None:
    with _dial(hurried, service) as sock:
        assert sock.recv(1) == b""
        assert _reason_of_end(hurried, service, sock) == "first_line_timeout"


def test_a_first_line_that_comes_byte_by_byte_has_no_more_time(hurried: WatchedDaemon) -> None:
    with _dial(hurried, "chat") as sock:
        assert _dribble(sock, b"a" * 600) == b""
        assert _reason_of_end(hurried, "chat", sock) == "first_line_timeout"


def test_who_has_sent_its_first_line_may_be_silent(hurried: WatchedDaemon) -> None:
    with _dial(hurried, "chat") as member, _dial(hurried, "chat") as late:
        member.sendall(b"member\n")
        assert late.recv(1) == b"", "the one that came later and owes its name is closed"
        with _dial(hurried, "chat") as newcomer:
            newcomer.sendall(b"newcomer\n")
            assert exchange(member, b"", 18) == b"* newcomer joined\n"


def test_a_client_that_does_not_close_is_closed(hurried: WatchedDaemon) -> None:
    with _dial(hurried, "closing") as sock:
        assert read_all(sock) == b"Thank you for connecting\r\n"
        # It stays as it is; the daemon is done with it all the same.
        assert _reason_of_end(hurried, "closing", sock) == "service"


def test_no_limit_left_a_traceback(limited: WatchedDaemon, hurried: WatchedDaemon) -> None:
    for daemon in (limited, hurried):
        assert "Traceback" not in daemon.log()


def _dribble(sock: socket.socket, data: bytes) -> bytes:
    """
    Send byte by byte until there is something to read, and read that.

    @raise ConnectionError: the daemon has reset the connection.
    @raise AssertionError: all was sent, and nothing came.
    """
    sock.settimeout(SOON / 6)
    for byte in data:
        sock.sendall(bytes((byte,)))
        try:
            return sock.recv(1)
        except TimeoutError:
            continue
    raise AssertionError(f"the daemon took {len(data)} bytes and all their time")
