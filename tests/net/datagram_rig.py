"""A datagram port over a socket made for the test, which can give every error that a system can."""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any, cast

from zope.interface import implementer

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import MemoryReactorClock

from netsvc.facts import REFUSED, Fact, Facts, Row
from netsvc.interfaces import IFactArchive, IFactSink
from netsvc.net.datagram import DatagramPort, OwnAddresses
from netsvc.settings import Limits

HERE = ("192.0.2.1", 6667)
CLIENT = ("198.51.100.7", 40_000)
LISTENER = "udp://192.0.2.1:6667"


class Socket:
    """
    As much of a datagram socket as the port uses, with input and errors by script.

    @ivar arriving: what `recvfrom` gives or raises, one after the other; then nothing is there.
    @ivar failing: what `sendto` raises, one after the other.
    """

    def __init__(self, name: Any = HERE, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.family = family
        self.arriving: Iterator[Any] = iter(())
        self.failing: list[OSError] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.reads = 0
        self.empty = False
        self.drops = 0
        self.waiting_error = 0
        self.closed = False
        self._name = name

    def getsockname(self) -> Any:
        return self._name

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def fileno(self) -> int:
        return -1 if self.closed else 1000

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        self.reads += 1
        found = next(self.arriving, None)
        if found is None:
            self.empty = True
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        if isinstance(found, OSError):
            raise found
        data, source = found
        return data[:size], source

    def sendto(self, data: bytes, address: Any) -> int:
        if self.failing:
            raise self.failing.pop(0)
        self.sent.append((data, address))
        return len(data)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        if level != socket.SOL_SOCKET:
            raise OSError(errno.ENOPROTOOPT, "no such option")
        if option == socket.SO_ERROR:
            waiting, self.waiting_error = self.waiting_error, 0
            return waiting
        assert option == 55
        return struct.pack("=9I", *range(8), self.drops % 2**32)

    def connect(self, address: Any) -> None:
        self.connected_to = address

    def close(self) -> None:
        self.closed = True


class Echo(DatagramProtocol):
    """Answers with what came, and remembers it."""

    noisy = False

    def __init__(self) -> None:
        self.got: list[tuple[bytes, Any]] = []
        self.stopped = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.got.append((datagram, addr))
        assert self.transport is not None
        self.transport.write(datagram, addr)

    def stopProtocol(self) -> None:
        self.stopped += 1


@implementer(IFactSink)
class Rows:
    """A sink that keeps every fact."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def note(self, row: Row) -> None:
        self.facts.append(Fact.of(row))

    def of(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind == kind]

    def reasons(self) -> list[str | None]:
        return [fact.reason for fact in self.of(REFUSED)]


@implementer(IFactArchive)
class Notes:
    """An archive that keeps every note."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def take(self, first: int, notes: tuple[Any, ...]) -> None:
        values = iter(notes)
        self.notes += zip(values, values, values, values, values, strict=True)


class Rig:
    """A port over a socket made for the test, and all that it touches."""

    def __init__(
        self,
        protocol: DatagramProtocol | None = None,
        sock: Socket | None = None,
        own: OwnAddresses | None = None,
        start: bool = True,
        **limits: Any,
    ) -> None:
        self.sock = Socket() if sock is None else sock
        self.echo = Echo() if protocol is None else protocol
        self.reactor = MemoryReactorClock()
        self.rows = Rows()
        self.own = OwnAddresses() if own is None else own
        self.wall_offset = 0.0
        self.facts = facts = Facts()
        facts.subscribe(self.rows)
        self.port = DatagramPort(
            cast(socket.socket, self.sock),
            self.echo,
            self.reactor,
            facts,
            "echo",
            LISTENER,
            "udp",
            dataclasses.replace(Limits(), **limits),
            self.own,
            clock=self.reactor.seconds,
            wall_clock=lambda: int((self.reactor.seconds() + self.wall_offset) * 1e9),
        )
        if start:
            self.port.startListening()

    @property
    def got(self) -> list[tuple[bytes, Any]]:
        assert isinstance(self.echo, Echo)
        return self.echo.got

    @property
    def reading(self) -> bool:
        return self.port in self.reactor.getReaders()

    def arrive(self, *datagrams: Any) -> None:
        """Let datagrams, each (data, source), or errors arrive, and read until there are no more."""
        self.sock.arriving = iter(datagrams)
        self.sock.empty = False
        while self.reading and not self.sock.empty:
            self.port.doRead()
