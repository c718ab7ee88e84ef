"""discard, RFC 863: reads and throws away. A place to send to as fast as a client can."""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol, Factory, Protocol


class Discard(Protocol):
    """
    Reads for ever and says nothing.

    It closes when the client has ended its sending, which is the end that RFC 863 names: nothing can come
    any more, and a connection kept open after that would be held for nobody.
    """

    def dataReceived(self, data: bytes) -> None:
        pass


class DiscardFactory(Factory[Discard]):
    """Makes the discard of each connection."""

    noisy = False
    protocol = Discard


class DiscardDatagram(DatagramProtocol):
    """Reads datagrams and answers none."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        pass
