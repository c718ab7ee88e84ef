"""time, RFC 868: the time for a machine to read, four bytes."""

from __future__ import annotations

from time import time_ns

from twisted.internet.interfaces import IAddress, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netsvc.services.clock import SECOND, Now

#: Seconds from the RFC's beginning, 1900-01-01 00:00 UTC, to the epoch: 70 years of which 17 are leap years.
_FROM_1900 = (70 * 365 + 17) * 86_400


def seconds_since_1900(moment: int) -> bytes:
    """
    The four bytes for a moment.

    @param moment: nanoseconds since the epoch.
    @return: seconds since 1900 modulo 2**32, big-endian; the count begins anew on 2036-02-07 at 06:28:16 UTC.
    """
    return ((moment // SECOND + _FROM_1900) % 2**32).to_bytes(4, "big")


class Time(Protocol):
    """Sends the four bytes and closes once they have left; input is thrown away."""

    transport: ITransport

    def __init__(self, now: Now) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def connectionMade(self) -> None:
        self.transport.write(seconds_since_1900(self._now()))
        self.transport.loseConnection()


class TimeFactory(Factory[Time]):
    """Makes the time of each connection."""

    noisy = False

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def buildProtocol(self, addr: IAddress | None) -> Time:
        protocol = Time(self._now)
        protocol.factory = self
        return protocol


class TimeDatagram(DatagramProtocol):
    """Answers each datagram, which the RFC has empty, with the four bytes."""

    noisy = False
    transport: IUDPTransport

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.transport.write(seconds_since_1900(self._now()), addr)
