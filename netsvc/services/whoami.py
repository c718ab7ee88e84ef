"""whoami: tells a client how it arrived, so that it can see what NAT, a proxy or TLS made of it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from time import time_ns
from typing import Any

from twisted.internet.interfaces import IAddress, ITransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from netsvc.interfaces import Arrival, IArrivalDatagramTransport, IArrivalTransport
from netsvc.services.budget import reply_budget
from netsvc.services.clock import Now, iso

#: A reply must at least say these; one that says less is worth nothing.
_LEAST = ("address", "port")

#: The beginning of what this service sends, with the blanks that another writer of JSON would put there.
_REPLY = re.compile(rb'\s*\{\s*"address"\s*:\s*"(?:[^"\\]|\\.)*+"\s*,\s*"port"\s*:', re.DOTALL)


def document(arrival: Arrival, moment: int) -> dict[str, Any]:
    """
    What there is to tell, the most useful first.

    @param arrival: how the client arrived.
    @param moment: when, in nanoseconds since the epoch.
    @return: ready for JSON; ``tls`` and ``proxy`` are None where there is none.
    """
    return {
        "address": arrival.address,
        "port": arrival.port,
        "local_address": arrival.local_address,
        "local_port": arrival.local_port,
        "transport": arrival.transport,
        "time": iso(moment),
        "tls": asdict(arrival.tls) if arrival.tls else None,
        "proxy": asdict(arrival.proxy) if arrival.proxy else None,
    }


def fitting(whole: dict[str, Any], most: int) -> bytes | None:
    """
    As much of a document as fits, as one compact line of JSON; keys are left out from the end.

    @param whole: what `document` gave.
    @param most: bytes that the line may have, its newline included.
    @return: the line, or None where not even address and port fit.
    """
    keys = list(whole)
    while len(keys) >= len(_LEAST):
        text = json.dumps({key: whole[key] for key in keys}, separators=(",", ":"))
        # ASCII, for json.dumps escapes all else: characters are bytes.
        if len(text) < most:
            return text.encode("ascii") + b"\n"
        keys.pop()
    return None


def is_reply(datagram: bytes) -> bool:
    """Whether a datagram begins as a reply of this service does: a JSON object with address, then port."""
    return _REPLY.match(datagram) is not None


class Whoami(Protocol):
    """Sends the line and closes once it has left; input is thrown away."""

    transport: ITransport

    def __init__(self, now: Now) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def connectionMade(self) -> None:
        told = document(IArrivalTransport(self.transport).arrival(), self._now())
        self.transport.write(json.dumps(told).encode("ascii") + b"\n")
        self.transport.loseConnection()


class WhoamiFactory(Factory[Whoami]):
    """Makes the whoami of each connection; the transport must be an `IArrivalTransport`."""

    noisy = False

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def buildProtocol(self, addr: IAddress | None) -> Whoami:
        protocol = Whoami(self._now)
        protocol.factory = self
        return protocol


class WhoamiDatagram(DatagramProtocol):
    """
    Answers each datagram with as much as it has earned; the transport must be an
    `IArrivalDatagramTransport`.

    A datagram that is itself such an answer gets none, or two of these services, once made to write to
    each other, would never stop.
    """

    noisy = False
    transport: IUDPTransport

    def __init__(self, now: Now = time_ns) -> None:
        """@param now: gives nanoseconds since the epoch."""
        self._now = now

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if is_reply(datagram):
            return
        arrival = IArrivalDatagramTransport(self.transport).arrival_of(addr)
        line = fitting(document(arrival, self._now()), reply_budget(len(datagram)))
        if line is not None:
            self.transport.write(line, addr)
