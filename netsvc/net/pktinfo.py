"""
Where a datagram arrived, and how an answer leaves from there.

A socket that is bound to one address needs none of this. One that is bound to all of them learns the address
that was asked from IP_PKTINFO or IPV6_PKTINFO (RFC 3542 section 6.2, ip(7)), and gives it back with the
answer; otherwise the system chooses a source, and a client that asked another address drops the answer.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from netsvc.net.addresses import fold, host_and_port, parse
from netsvc.net.source import path_of

#: A socket's own address, as Twisted has it.
HostAddress = IPv4Address | IPv6Address | UNIXAddress

#: One ancillary message: level, type, bytes.
Ancillary = tuple[int, int, bytes]

#: ip(7), Linux; the socket module has no name for it.
_IP_PKTINFO = 8

#: struct in_pktinfo: interface, the address to answer from, the address in the header.
_IN_PKTINFO = struct.Struct("=i4s4s")

#: struct in6_pktinfo: address, interface.
_IN6_PKTINFO = struct.Struct("=16si")

#: Room for the ancillary message of either kind.
ANCILLARY_SIZE = socket.CMSG_SPACE(max(_IN_PKTINFO.size, _IN6_PKTINFO.size))


@dataclass(frozen=True, eq=False)
class Place:
    """
    Where datagrams arrive.

    @ivar address: the address that was asked, folded; a path.
    @ivar port: None on UNIX sockets.
    @ivar text: both as one text, as facts have it.
    @ivar ancillary: what an answer must carry in order to leave from there; empty where the system does it.
    """

    address: str
    port: int | None
    text: str
    ancillary: tuple[Ancillary, ...] = ()

    @classmethod
    def of(cls, address: str, port: int | None, ancillary: tuple[Ancillary, ...] = ()) -> Place:
        """Put the text together."""
        return cls(address, port, host_and_port(address, port), ancillary)

    def host(self, family: int) -> HostAddress:
        """The same as Twisted has it, of a socket of that family."""
        if self.port is None:
            return UNIXAddress(self.address or None)
        if family == socket.AF_INET6:
            return IPv6Address("UDP", self.address, self.port)
        return IPv4Address("UDP", self.address, self.port)


def sole_place(sock: socket.socket) -> Place:
    """The only place at which a socket is asked that is bound to one address, or to a path."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Place.of(path_of(name), None)
    return Place.of(fold(name[0]), name[1])


class AskedAddresses:
    """
    The addresses at which a socket bound to all of them was asked.

    @ivar bound: the socket's own place, for datagrams that do not tell theirs.
    """

    def __init__(self, sock: socket.socket, most: int) -> None:
        """
        Have the socket tell the address with each datagram.

        @param sock: bound to ``0.0.0.0`` or ``::``.
        @param most: how many places are remembered; when there are more, all are learned anew.
        @raise OSError: the system cannot tell.
        """
        host, self._port = sock.getsockname()[:2]
        self.bound = Place.of(host, self._port)
        self._most = most
        self._places: dict[bytes, Place] = {}
        self._level: int
        self._type: int
        self._read: Callable[[bytes], Place]
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._level, self._type, self._read = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, self._place6
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._level, self._type, self._read = socket.IPPROTO_IP, _IP_PKTINFO, self._place4

    def place_of(self, ancillary: list[Any]) -> Place:
        """
        Where a datagram arrived.

        @param ancillary: what `socket.recvmsg` gave with it.
        """
        for level, kind, value in ancillary:
            if kind == self._type and level == self._level:
                return self._places.get(value) or self._learn(value)
        return self.bound

    def _learn(self, value: bytes) -> Place:
        if len(self._places) >= self._most:
            self._places.clear()
        place = self._places[value] = self._read(value)
        return place

    def _place4(self, value: bytes) -> Place:
        # The system says from where to answer; it differs from the address in the header for broadcasts.
        _, source, asked = _IN_PKTINFO.unpack(value)
        info = _IN_PKTINFO.pack(0, source, bytes(4))
        return Place.of(
            socket.inet_ntop(socket.AF_INET, asked), self._port, ((self._level, self._type, info),)
        )

    def _place6(self, value: bytes) -> Place:
        packed, interface = _IN6_PKTINFO.unpack(value)
        text = fold(socket.inet_ntop(socket.AF_INET6, packed))
        address = parse(text)
        if address is None or address.is_multicast or text == "255.255.255.255":
            # Nothing can be sent from such an address: the system chooses.
            return Place.of(text, self._port)
        # A link-local address is one only together with its interface; any other leaves by the route.
        scoped = isinstance(address, ipaddress.IPv6Address) and address.is_link_local
        info = _IN6_PKTINFO.pack(packed, interface if scoped else 0)
        return Place.of(text, self._port, ((self._level, self._type, info),))


def asked_addresses(sock: socket.socket, most: int) -> AskedAddresses | None:
    """
    Find out whether a socket must be told the address of each datagram.

    @param sock: a bound datagram socket.
    @param most: see `AskedAddresses`.
    @return: None for a UNIX socket, for one bound to a single address, and where the system cannot tell.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sys.platform != "linux":
        return None
    if sock.getsockname()[0] not in ("0.0.0.0", "::"):
        return None
    return AskedAddresses(sock, most)
