"""
Datagrams from everywhere to one service: through the real port, over a socket that can give every error.

What is sent is held against what came: nobody gets more than three times that, and some nothing at all.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

from zope.interface import implementer

from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from netsvc.construct import datagram_protocol
from netsvc.facts import RECEIVED, REFUSED, SENT, Fact, Facts, Row
from netsvc.interfaces import IFactSink
from netsvc.net.datagram import DatagramPort, OwnAddresses
from netsvc.service import NetService
from netsvc.settings import Limits, SettingError, defaults
from netsvc.trafficlog import TrafficLog
from tests.fuzz.disk import Disk
from tests.fuzz.plays import limits_with, registry
from tests.fuzz.wires import Reactor

#: What happens, and with what.
Step = tuple[str, Any]

#: What a datagram costs beside its bytes.
_HEADERS = 28

#: The most that UDP carries: over IPv6, whose header is none of the 65,535 bytes.
_LARGEST = 65_527

#: The option by which the system makes several datagrams of what it is given in one call.
_SEGMENT = (socket.IPPROTO_UDP, 103)

WILD = NetService(name="wild", summary="answers anybody", datagram="tests.fuzz.bursts.WildDatagram")

_LINES = {"received": "Got message from {peer}: {data}"}


class Burst(NamedTuple):
    """
    What happens.

    @ivar service: the service's name.
    @ivar settings: those that are not the default.
    @ivar limits: those that are not the default.
    @ivar bound: what the socket is bound to, as getsockname gives it.
    @ivar steps: what happens.
    """

    service: str
    settings: dict[str, Any]
    limits: dict[str, Any]
    bound: Any
    steps: tuple[Step, ...]


class WildDatagram(DatagramProtocol):
    """A service that answers whom it likes: who asked, who asked before, and who never did."""

    noisy = False

    def __init__(self) -> None:
        self._last: Any = None
        self._answer_last: Callable[[bytes], None] | None = None

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        port: Any = self.transport
        assert port.arrival_of(addr).transport in ("udp", "unix-datagram")
        port.write(datagram[:3], addr)
        port.writeSequence([datagram, b"", datagram], addr)
        port.write(memoryview(datagram), self._last)
        port.write(b"x" * 70_000 if datagram[:1] == b"x" else b"", ("203.0.113.1", 4000))
        if self._answer_last is not None:
            self._answer_last(datagram[:5])
        self._last, self._answer_last = addr, port.answer_to(addr)
        if datagram[:1] == b"q":
            port.stopListening()


class _Socket:
    """
    The socket.

    @ivar arriving: datagrams as recvmsg gives them, and errors, in their order.
    @ivar failing: errors for what is sent next.
    @ivar given: how many datagrams were read.
    """

    def __init__(self, bound: Any) -> None:
        self.family = family_of(bound)
        self.arriving: list[Any] = []
        self.failing: list[int] = []
        self.sent: list[bytes] = []
        self.given = self.cut = 0
        self.drops = self.waiting = 0
        self.closed = False
        self._bound = bound

    @property
    def readable(self) -> bool:
        return bool(self.arriving)

    def recvmsg(self, size: int, ancillary: int = 0) -> tuple[bytes, list[Any], int, Any]:
        if not self.arriving:
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        found = self.arriving.pop(0)
        if isinstance(found, int):
            raise OSError(found, "broken")
        data, source, asked = found
        if self.family != socket.AF_UNIX:
            data = data[:_LARGEST]
        self.given += 1
        flags = socket.MSG_TRUNC if len(data) > size else 0
        self.cut += bool(flags)
        return data[:size], _packet_info(self.family, asked), flags, source

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        data, _, _, source = self.recvmsg(size)
        return data, source

    def sendmsg(self, data: Any, ancillary: Any, flags: int, address: Any) -> None:
        if self.failing:
            raise OSError(self.failing.pop(0), "broken")
        assert address, "sent to nobody"
        together = [value for level, kind, value in ancillary if (level, kind) == _SEGMENT]
        assert all(struct.unpack("=H", value)[0] == len(one) for value in together for one in data)
        self.sent += data if together else [b"".join(data)]

    def sendto(self, data: bytes, address: Any) -> None:
        self.sendmsg((data,), (), 0, address)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        if (level, option) == _SEGMENT:
            return 0
        if option == socket.SO_ERROR:
            waiting, self.waiting = self.waiting, 0
            return waiting
        return struct.pack("=9I", *range(8), self.drops % 2**32)

    def getsockname(self) -> Any:
        return self._bound

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Every option can be set."""

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed = True


def family_of(bound: Any) -> socket.AddressFamily:
    """The family of a socket, by what it is bound to."""
    if not isinstance(bound, tuple):
        return socket.AF_UNIX
    return socket.AF_INET6 if len(bound) == 4 else socket.AF_INET


def _packet_info(family: socket.AddressFamily, asked: str) -> list[Any]:
    """The ancillary messages with the address that was asked; none for ``""``."""
    if not asked or family == socket.AF_UNIX:
        return []
    if family == socket.AF_INET6:
        mapped = asked if ":" in asked else f"::ffff:{asked}"
        info = struct.pack("=16si", socket.inet_pton(socket.AF_INET6, mapped), 2)
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
    packed = socket.inet_aton("192.0.2.1" if ":" in asked else asked)
    return [(socket.IPPROTO_IP, 8, struct.pack("=i4s4s", 2, packed, packed))]


@implementer(IFactSink)
class _Ledger:
    """What came from each source, and what went to it."""

    def __init__(self, limits: Limits, own: tuple[str, int]) -> None:
        self.problems: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.sent: list[bytes] = []
        self._factor = limits.reply_factor
        self._own = own
        self._credit: dict[tuple[str, int | None], float] = defaultdict(float)
        self._last: dict[str, Row] = {}

    def note(self, row: Row) -> None:
        """See `IFactSink`."""
        _, _, kind, origin, length, data, reason, _ = row
        peer = origin[3], origin[4]
        self._last[kind] = row
        self.kinds[f"{kind} {reason}" if reason else kind] += 1
        if kind == RECEIVED:
            self._credit[peer] += length + _HEADERS
        elif kind == SENT:
            self.sent.append(data)
            self._credit[peer] -= (length + _HEADERS) / self._factor
            if self._credit[peer] < -1e-6:
                self.problems.append(f"more goes to {peer} than it has earned")
            if why := self._must_not(*peer):
                self.problems.append(f"sent to {peer}, {why}")

    def show(self) -> None:
        """Every kind of fact can be shown."""
        for row in self._last.values():
            json.dumps(Fact.of(row).as_json(lambda address: None))

    def _must_not(self, address: str, port: int | None) -> str | None:
        if port is None:
            return None if address else "which is nobody"
        known = ipaddress.ip_address(address)
        if port < 1024:
            return "a port of the system's"
        if known.is_multicast or known.is_unspecified or address == "255.255.255.255":
            return "which is no client's address"
        host, own_port = self._own
        if port == own_port and (address == host or (known.is_loopback and host in ("0.0.0.0", "::"))):
            return "which is this port itself"
        return None


def _is_here(address: str) -> bool:
    """This machine's addresses, whatever machine it is."""
    return address == "192.0.2.1" or address.startswith("127.") or address == "::1"


def simpler(made: Burst) -> Iterator[Burst]:
    """The same without one thing."""
    for at in range(len(made.steps)):
        yield made._replace(steps=made.steps[:at] + made.steps[at + 1 :])
    for key in made.limits:
        yield made._replace(limits={name: one for name, one in made.limits.items() if name != key})


def check(made: Burst) -> None:
    """Let it happen."""
    service = WILD if made.service == WILD.name else registry().services[made.service]
    settings, disk = {**defaults(service.settings), **made.settings}, Disk()
    if "journal" in service.needs:
        settings["journal"] = disk
    try:
        protocol = datagram_protocol(service.name, service.datagram, settings)
    except SettingError:
        if not made.settings:
            raise
        return
    limits = limits_with(made.limits, Limits())
    sock, reactor, own = _Socket(made.bound), Reactor(), OwnAddresses(_is_here)
    host: tuple[str, int] = made.bound[:2] if isinstance(made.bound, tuple) else ("", 0)
    ledger = _Ledger(limits, host)
    log = TrafficLog(reactor, {service.name: service.log or _LINES}, {"x": 3.0})
    facts = Facts(capture=1 << 30)
    facts.subscribe(ledger)
    facts.subscribe(log)
    port = DatagramPort(
        cast(socket.socket, sock),
        protocol,
        reactor,
        facts,
        service.name,
        "x",
        "unix-datagram" if sock.family == socket.AF_UNIX else "udp",
        limits,
        own,
        reactor.seconds,
    )
    port.startListening()
    for what, argument in (*made.steps, ("turn", 3)):
        if what == "commit":
            disk.commit(argument)
        else:
            _STEPS[what](sock, port, reactor, argument)
    _settle(sock, port, reactor, log, ledger)
    if settings.get("ack") == "recorded":
        assert len(sock.sent) <= disk.safe, "acknowledged what is not recorded"
    disk.commit(True)
    assert not facts.missed, facts.missed
    assert not own.covers(*host, "127.0.0.1"), "the port is still taken for our own"


def _settle(sock: _Socket, port: DatagramPort, reactor: Reactor, log: TrafficLog, ledger: _Ledger) -> None:
    port.stopListening()
    reactor.turn()
    log.stop()
    assert sock.closed, "the socket stays open"
    assert not reactor.left(), f"left behind: {reactor.left()}"
    assert not ledger.problems, ledger.problems
    assert ledger.sent == sock.sent, "what is told as sent is not what was sent"
    kinds = ledger.kinds
    screened = kinds[f"{REFUSED} allow"] + kinds[f"{REFUSED} deny"]
    assert kinds[RECEIVED] + screened + sock.cut == sock.given, f"{sock.given} came, told are {kinds}"
    ledger.show()


# -- steps ------------------------------------------------------------------------------------------------


def _come(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: Any) -> None:
    sock.arriving.append(argument)


def _fail(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: int) -> None:
    sock.failing.append(argument)


def _turn(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: int) -> None:
    for _ in range(argument):
        reactor.turn()


def _wait(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: float) -> None:
    reactor.advance(argument)


def _drop(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: int) -> None:
    sock.drops += argument
    port.check_drops()


def _hang_up(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: int) -> None:
    sock.waiting = argument
    if port.connected:
        # What the reactor does where the system reports an error on a socket that it only reads.
        reactor.removeReader(port)
        port.connectionLost(Failure(CONNECTION_DONE))


def _stop(sock: _Socket, port: DatagramPort, reactor: Reactor, argument: object) -> None:
    port.stopListening()


_STEPS = {
    "come": _come,
    "fail": _fail,
    "turn": _turn,
    "wait": _wait,
    "drop": _drop,
    "hang_up": _hang_up,
    "stop": _stop,
}
