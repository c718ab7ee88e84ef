"""chargen, RFC 864: characters without end, to see what a path or a client does under a steady stream."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import cast

from zope.interface import implementer

from twisted.internet.interfaces import IConsumer, IHalfCloseableProtocol, IPullProducer, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netsvc.services.budget import reply_budget

_RING = bytes(range(0x20, 0x7F))
_WIDTH = 72

#: RFC 864's pattern once round: 95 lines, each beginning one character further on in the ring of 95.
CYCLE = b"".join((_RING + _RING)[start : start + _WIDTH] + b"\r\n" for start in range(len(_RING)))

#: What one turn writes. Whole cycles need no memory of where the last one ended; two of them (14,060 bytes)
#: fit into one TLS record of 16 KiB.
BLOCK = CYCLE * 2

#: RFC 864: a datagram of the answer has from 0 to 512 characters.
LARGEST_DATAGRAM = 512


@implementer(IPullProducer, IHalfCloseableProtocol)
class Chargen(Protocol):
    """
    Sends the pattern as fast as the client reads it and no faster: each block is written when the one
    before has left. Input is thrown away, and its end ends nothing, for many a client has none to send.
    """

    def connectionMade(self) -> None:
        # Every Twisted stream transport is a consumer as well; ITransport just does not say so.
        cast(IConsumer, self.transport).registerProducer(self, False)

    def resumeProducing(self) -> None:
        cast(IConsumer, self.transport).write(BLOCK)

    def stopProducing(self) -> None:
        """Nothing is held that would have to be let go."""

    def readConnectionLost(self) -> None:
        """The client has ended its sending; it may still read."""

    def writeConnectionLost(self) -> None:
        """The whole connection ends with this, and the transport sees to it."""


class ChargenFactory(Factory[Chargen]):
    """Makes the chargen of each connection."""

    noisy = False
    protocol = Chargen


class ChargenDatagram(DatagramProtocol):
    """
    Answers each datagram with the beginning of the pattern, of a length left to chance: 0 to 512 bytes,
    but never more than the request has earned.
    """

    noisy = False
    transport: IUDPTransport

    def __init__(self, choose: Callable[[int, int], int] = random.randint) -> None:
        """@param choose: gives a number from the first to the second, both included."""
        self._choose = choose

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        most = min(LARGEST_DATAGRAM, reply_budget(len(datagram)))
        self.transport.write(CYCLE[: self._choose(0, most)], addr)
