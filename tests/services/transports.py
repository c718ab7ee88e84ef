"""Transports in memory for tests of services: Twisted's own, with types, and with the writes kept apart."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.testing import FakeDatagramTransport, StringTransport

Address = tuple[str, int] | str


class MemoryTransport(StringTransport):
    """
    A stream transport whose peer is the test.

    @ivar writes: every write by itself, also an empty one.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]
        self.writes.append(data)

    def value(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)


class MemoryDatagrams(FakeDatagramTransport):
    """
    A datagram transport whose peers are the test.

    @ivar written: every datagram sent, with its destination.
    """

    written: list[tuple[bytes, Address]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]


def connect(protocol: IProtocol, transport: MemoryTransport | None = None) -> MemoryTransport:
    """Connect a protocol to a transport, a new one if none is given, and return the transport."""
    transport = transport or MemoryTransport()
    protocol.makeConnection(transport)
    return transport


def bind(protocol: DatagramProtocol, transport: MemoryDatagrams | None = None) -> MemoryDatagrams:
    """The same for datagrams."""
    transport = transport or MemoryDatagrams()
    protocol.makeConnection(transport)
    return transport
