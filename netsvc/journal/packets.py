"""
IP packets made up around bytes that netsvc has received or sent.

netsvc sees what a packet brought, who sent it and when, and not the packet. So addresses, ports, lengths and
payload are what they were, checksums are right, and everything else that a header has (time to live,
identification, windows) stands for nothing.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from netsvc.facts import OriginRow

#: Bytes of payload that fit into a UDP datagram over either version of IP.
LARGEST_DATAGRAM = {4: 65_507, 6: 65_527}

#: And as many that a segment here has at most, over either.
LARGEST_SEGMENT = 65_495

#: Flags of TCP (RFC 9293 section 3.1).
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

_TCP, _UDP = 6, 17
_TIME_TO_LIVE = 64
_DO_NOT_FRAGMENT = 0x4000
_WINDOW = 0xFFFF

# Maximum segment size, and the largest window scale (RFC 7323): nobody here is ever too slow for the other.
_SYN_OPTIONS = struct.pack(">BBHBBBB", 2, 4, LARGEST_SEGMENT, 1, 3, 3, 14)

#: Places that are remembered, read: those of the clients of the last while.
_REMEMBERED = 4096

Address = IPv4Address | IPv6Address


class End(NamedTuple):
    """
    One end of a conversation.

    @ivar address: its IP address.
    @ivar port: its port.
    """

    address: Address
    port: int


class Ends(NamedTuple):
    """
    Both ends, with addresses of one version.

    @ivar client: the client's.
    @ivar local: netsvc's.
    """

    client: End
    local: End


class Packet(NamedTuple):
    """
    A packet.

    @ivar data: its bytes from the IP header on; the last are missing where the payload was not kept whole.
    @ivar length: how many it had.
    """

    data: bytes
    length: int


def ends_of(origin: OriginRow) -> Ends | None:
    """
    The ends of what a fact is about.

    Where the system did not tell to which of its addresses something came, netsvc's is the unspecified one
    (``0.0.0.0`` or ``::``).

    @return: None where they are not IP addresses with ports, as with UNIX sockets.
    """
    return _ends(origin[3], origin[4], origin[5])


def udp(source: End, target: End, payload: bytes, length: int) -> Packet | None:
    """
    A datagram (RFC 768).

    @param source: one of `Ends`.
    @param target: the other one.
    @param payload: as much of it as is known. Of one that is not known whole the checksum is as if the rest
        were zeros.
    @param length: how much it was.
    @return: None where no datagram can be so long.
    """
    if not len(payload) <= length <= LARGEST_DATAGRAM[source.address.version]:
        return None
    size = 8 + length
    ports = struct.pack(">HHH", source.port, target.port, size)
    checksum = _checksum(_pseudo_header(source, target, _UDP, size), ports, payload) or 0xFFFF
    return _packet(source, target, _UDP, ports + struct.pack(">H", checksum), payload, length)


def tcp(
    source: End,
    target: End,
    flags: int,
    sequence: int,
    acknowledged: int,
    payload: bytes = b"",
    length: int = 0,
) -> Packet:
    """
    A segment (RFC 9293 section 3.1).

    @param flags: `SYN`, `ACK` …
    @param sequence: its sequence number, of any size.
    @param acknowledged: its acknowledgement number, likewise.
    @param payload: as with `udp`.
    @param length: at most `LARGEST_SEGMENT`.
    """
    options = _SYN_OPTIONS if flags & SYN else b""
    fields = (source.port, target.port, sequence % (1 << 32), acknowledged % (1 << 32))
    offset = (20 + len(options)) // 4 << 4
    begin = struct.pack(">HHIIBBH", *fields, offset, flags, _WINDOW)
    # The urgent pointer is behind the checksum.
    end = bytes(2) + options
    pseudo = _pseudo_header(source, target, _TCP, 20 + len(options) + length)
    checksum = struct.pack(">H", _checksum(pseudo, begin, bytes(2) + end, payload))
    return _packet(source, target, _TCP, begin + checksum + end, payload, length)


def _packet(source: End, target: End, protocol: int, header: bytes, payload: bytes, length: int) -> Packet:
    size = len(header) + length
    addresses = source.address.packed + target.address.packed
    if source.address.version == 4:
        # RFC 791 section 3.1.
        begin = struct.pack(">BBHHHBB", 0x45, 0, 20 + size, 0, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, protocol)
        ip = begin + struct.pack(">H", _checksum(begin, bytes(2), addresses)) + addresses
    else:
        # RFC 8200 section 3.
        ip = struct.pack(">IHBB", 6 << 28, size, protocol, _TIME_TO_LIVE) + addresses
    return Packet(ip + header + payload, len(ip) + size)


def _pseudo_header(source: End, target: End, protocol: int, size: int) -> bytes:
    """What a checksum is over too; its forms (RFC 9293 section 3.1, RFC 8200 section 8.1) sum up alike."""
    return source.address.packed + target.address.packed + struct.pack(">HH", protocol, size)


def _checksum(*parts: bytes) -> int:
    """
    The Internet checksum (RFC 1071).

    @param parts: each but the last of an even length.
    """
    # Adding words with the carry brought round is arithmetic modulo 65,535, in which 65,536 is 1.
    data = b"".join(parts)
    return -(int.from_bytes(data, "big") << (len(data) % 2 * 8)) % 0xFFFF


@lru_cache(_REMEMBERED)
def _ends(address: str, port: int | None, local: str) -> Ends | None:
    host, _, digits = local.rpartition(":")
    client = _end(address, port)
    here = _end(host.removeprefix("[").removesuffix("]"), int(digits) if _is_port(digits) else None)
    if client is None or here is None:
        return None
    if client.address.version != here.address.version:
        if here.address.is_unspecified:
            here = here._replace(address=type(client.address)(0))
        else:
            client, here = _as_version_6(client), _as_version_6(here)
    return Ends(client, here)


def _end(address: str, port: int | None) -> End | None:
    if port is None or not 0 <= port <= 0xFFFF:
        return None
    try:
        return End(ip_address(address), port)
    except ValueError:
        return None


def _as_version_6(end: End) -> End:
    if isinstance(end.address, IPv6Address):
        return end
    return end._replace(address=IPv6Address(b"\0" * 10 + b"\xff\xff" + end.address.packed))


def _is_port(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 5
