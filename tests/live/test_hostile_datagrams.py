"""
Datagrams with forged sources, in a network of the test's own where all that leaves is seen: nobody who never
asked gets more than the rule of RFC 9000 section 8 allows, and some get nothing.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.live.daemon import Daemon, eventually, read_all
from tests.live.forged import forge, forge_ipv6
from tests.live.namespace import Network, isolated, network
from tests.live.streams import unix_stream

pytestmark = [pytest.mark.live, isolated]

#: The daemon's addresses, and their network's broadcast address.
_HERE, _THERE, _EVERYBODY = "192.0.2.1", "192.0.2.2", "192.0.2.255"

_HERE_6, _THERE_6 = "2001:db8::1", "2001:db8::2"

#: Somebody elsewhere, who never asked.
_VICTIM = ("198.51.100.7", 4711)

SERVICES = ["echo", "chargen", "daytime", "time", "whoami", "receiver"]

#: A service of somebody's that answers a hundred bytes with ten thousand.
_LOUD = """
from twisted.internet.protocol import DatagramProtocol

class Loud(DatagramProtocol):
    def datagramReceived(self, data, addr):
        for _ in range(10):
            self.transport.write(data * 10, addr)
"""

#: An IPv4 and a UDP header, in bytes, which count like a payload.
_HEADERS = 28

#: Packets of every protocol: of one alone, those that leave are not shown (packet(7)).
_ALL = 0x0003

#: Limits as they come.
_FACTOR, _PER_SECOND = 3, 50


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        for address in (_HERE, _THERE):
            made.ip("address", "add", f"{address}/24", "broadcast", _EVERYBODY, "dev", "lo")
        for address in (_HERE_6, _THERE_6):
            made.ip("address", "add", f"{address}/64", "dev", "lo", "nodad")
        made.ip("-6", "route", "add", "default", "dev", "lo")
        # So that the daemon could answer anybody.
        made.ip("route", "add", "default", "dev", "lo")
        yield made


@pytest.fixture(scope="module")
def daemon(net: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("datagrams")
    options = [f"--{name}=udp://0.0.0.0:0" for name in SERVICES if name != "receiver"]
    options += ["--receiver=udp://0.0.0.0:0?ack=received", f"--web=unix://{directory}/web.sock"]
    (directory / "loud.py").write_text(_LOUD)
    options += ["--set=service.loud.datagram=loud.Loud", "--set=service.loud.listen=udp://0.0.0.0:0"]
    options += ["--set=service.six.datagram=netsvc.services.echo.EchoDatagram"]
    options += ["--set=service.six.listen=udp://[::]:0"]
    path = os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))
    started = net.run(lambda: Daemon(directory, *options, environment={"PYTHONPATH": path}))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def wire(net: Network) -> Iterator[Wire]:
    with net.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as sock:
        yield Wire(sock)


class Wire:
    """Everything that goes over the network's only interface."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.bind(("lo", _ALL))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        sock.settimeout(0)

    def sent_by(self, port: int) -> list[tuple[tuple[str, int], int]]:
        """To whom datagrams have gone from a port since the last look, and the size of each with headers."""
        found: list[tuple[tuple[str, int], int]] = []
        while True:
            try:
                packet, (_, _, kind, *_) = self._sock.recvfrom(65_536)
            except BlockingIOError:
                return found
            at = (packet[0] & 15) * 4
            source, target, _ = struct.unpack_from("!HHH", packet, at)
            if kind == socket.PACKET_OUTGOING and packet[9] == socket.IPPROTO_UDP and source == port:
                found.append(((socket.inet_ntoa(packet[16:20]), target), len(packet)))


def _facts(daemon: Daemon, **columns: object) -> list[dict[str, Any]]:
    query = "&".join(f"{key}={value}" for key, value in columns.items())
    with unix_stream(daemon.path("web")) as sock:
        head = f"GET /api/facts?limit=10000&{query} HTTP/1.0\r\nHost: localhost\r\n"
        sock.sendall(f"{head}Accept: application/x-ndjson\r\n\r\n".encode())
        answer, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert b" 200 " in answer, answer
    return [json.loads(line) for line in body.splitlines()]


def _last(daemon: Daemon) -> int:
    found = _facts(daemon, order="newest")
    return max((int(fact["seq"]) for fact in found), default=0)


def _wait_for(daemon: Daemon, count: int, **columns: object) -> list[dict[str, Any]]:
    eventually(lambda: len(_facts(daemon, **columns)) >= count)
    return _facts(daemon, **columns)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (("192.0.2.255", 4711), "broadcast"),
        (("255.255.255.255", 4711), "broadcast"),
        (("127.255.255.255", 4711), "broadcast"),
        (("224.0.0.251", 5353), "multicast"),
        (("239.255.255.250", 1900), "multicast"),
        (("198.51.100.7", 0), "source_port"),
        (("198.51.100.7", 7), "source_port"),
        (("198.51.100.7", 53), "source_port"),
        (("198.51.100.7", 1023), "source_port"),
    ],
)
def test_nothing_leaves_for_a_source_that_no_client_has(
    net: Network, daemon: Daemon, wire: Wire, service: str, source: tuple[str, int], reason: str
) -> None:
    port, after = daemon.port(service, "udp"), _last(daemon)
    net.run(partial(forge, source, (_HERE, port), b"hello" * 20))
    (refused,) = _wait_for(daemon, 1, after=after, service=service, kind="refused")
    assert (refused["address"], refused["port"], refused["reason"]) == (*source, reason)
    assert wire.sent_by(port) == []


@pytest.mark.parametrize("address", [_HERE, _THERE, "127.0.0.1", "127.0.0.9"])
@pytest.mark.parametrize(("one", "other"), [("echo", "chargen"), ("echo", "echo"), ("daytime", "time")])
def test_its_services_cannot_be_set_on_each_other(
    net: Network, daemon: Daemon, wire: Wire, one: str, other: str, address: str
) -> None:
    here, there, after = daemon.port(one, "udp"), daemon.port(other, "udp"), _last(daemon)
    net.run(partial(forge, (address, there), (_HERE, here), b"hello" * 20))
    refused = _wait_for(daemon, 1, after=after, service=one, kind="refused")
    assert {fact["reason"] for fact in refused} == {"own_listener"}
    # What was forged seems to come from there itself, where there is only one port.
    assert len(wire.sent_by(here)) == (1 if one == other else 0)


@pytest.mark.parametrize("service", [*SERVICES, "loud"])
@pytest.mark.parametrize("size", [0, 1, 4, 100, 1400, 9000])
def test_a_victim_gets_no_more_than_three_times_what_was_sent_in_its_name(
    net: Network, daemon: Daemon, wire: Wire, service: str, size: int
) -> None:
    # Each has an account of its own.
    victim, port, after = (
        (_VICTIM[0], random.randrange(1024, 65_536)),
        daemon.port(service, "udp"),
        _last(daemon),
    )
    count = 20
    net.run(partial(forge, victim, (_HERE, port), bytes(size), count))
    _wait_for(daemon, count, after=after, service=service, kind="received")
    eventually(lambda: _is_done(daemon, service, after, count))
    answers = wire.sent_by(port)
    assert {to for to, _ in answers} <= {victim}
    assert sum(length for _, length in answers) <= _FACTOR * count * (_HEADERS + size)
    # What is within the budget does leave; whoami may have nothing that short to say.
    assert answers or service == "whoami" or (service == "loud" and size > 4)


def _is_done(daemon: Daemon, service: str, after: int, count: int) -> bool:
    """Whether as many datagrams were answered, or not, as came."""
    facts = _facts(daemon, after=after, service=service)
    return sum(1 for fact in facts if fact["kind"] != "received") >= count


def test_a_network_of_victims_gets_no_more_than_its_rate(net: Network, daemon: Daemon, wire: Wire) -> None:
    port, after, count = daemon.port("echo", "udp"), _last(daemon), 2000
    begun = time.monotonic()

    def send() -> None:
        for number in range(count):
            forge((f"203.0.113.{number % 250 + 1}", 2000 + number), (_HERE, port), b"hello")

    net.run(send)
    eventually(lambda: _is_done(daemon, "echo", after, count))
    took = time.monotonic() - begun
    assert 0 < len(wire.sent_by(port)) <= _PER_SECOND * (took + 1)
    reasons = {fact["reason"] for fact in _facts(daemon, after=after, service="echo", kind="refused")}
    assert reasons == {"replies_per_second"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ((_HERE_6, 0), "source_port"),
        (("2001:db8:9::7", 1023), "source_port"),
        (("::1", None), "own_listener"),
        ((_HERE_6, None), "own_listener"),
        ((_THERE_6, None), "own_listener"),
    ],
)
def test_nothing_leaves_over_ipv6_either(
    net: Network, daemon: Daemon, source: tuple[str, int | None], reason: str
) -> None:
    """A source without a port has the service's own."""
    port, after = daemon.port("six", "udp"), _last(daemon)
    seeming = (source[0], port if source[1] is None else source[1])
    net.run(partial(forge_ipv6, seeming, (_HERE_6, port), b"hello"))
    (refused,) = _wait_for(daemon, 1, after=after, service="six", kind="refused")
    assert (refused["address"], refused["port"], refused["reason"]) == (*seeming, reason)
    assert _facts(daemon, after=after, service="six", kind="sent") == []


def test_a_network_of_ipv6_is_a_64(net: Network, daemon: Daemon) -> None:
    port, after, count = daemon.port("six", "udp"), _last(daemon), 500
    begun = time.monotonic()

    def send() -> None:
        for number in range(count):
            forge_ipv6((f"2001:db8:9:9::{number + 1:x}", 2000 + number), (_HERE_6, port), b"hello")

    net.run(send)
    eventually(lambda: _is_done(daemon, "six", after, count))
    took = time.monotonic() - begun
    assert 0 < len(_facts(daemon, after=after, service="six", kind="sent")) <= _PER_SECOND * (took + 1)


def test_whoever_really_asks_is_still_answered_from_where_it_asked(net: Network, daemon: Daemon) -> None:
    for address in (_HERE, _THERE, "127.0.0.1"):
        with net.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
            client.settimeout(10)
            client.sendto(b"hello", (address, daemon.port("echo", "udp")))
            assert client.recvfrom(100) == (b"hello", (address, daemon.port("echo", "udp")))
    assert "Traceback" not in daemon.log()
