"""daytime, RFC 867: the time of day for a person to read, in one line."""

from __future__ import annotations

from time import time_ns

from twisted.internet.interfaces import IAddress, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netsvc.services.clock import Now, ctime


def daytime(moment: int) -> bytes:
    """
    The line for a moment: local time in C's form, the one that the most common inetd servers send.

    @param moment: nanoseconds since the epoch.
    @return: 26 bytes, CR LF at the end.
    """
    return ctime(moment).encode("ascii") + b"\r\n"


class Daytime(Protocol):
    """Sends the line and closes once it has left; input is thrown away."""

    transport: ITransport

    def __init__(self, now: Now) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def connectionMade(self) -> None:
        self.transport.write(daytime(self._now()))
        self.transport.loseConnection()


class DaytimeFactory(Factory[Daytime]):
    """Makes the daytime of each connection."""

    noisy = False

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def buildProtocol(self, addr: IAddress | None) -> Daytime:
        protocol = Daytime(self._now)
        protocol.factory = self
        return protocol


class DaytimeDatagram(DatagramProtocol):
    """Answers each datagram, whatever is in it, with the line."""

    noisy = False
    transport: IUDPTransport

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.transport.write(daytime(self._now()), addr)
