"""
Blocks of a pcapng file, the form in which Wireshark and others keep packets.

It is what draft-ietf-opsawg-pcapng describes, as much of it as one section with one interface takes: a
Section Header Block, an Interface Description Block and an Enhanced Packet Block for each packet, all in
network byte order. Whoever puts them one behind the other in this order has a whole file, at any time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

#: Directions of a packet, as the two lowest bits of `epb_flags` have them (section 4.3.1).
INBOUND, OUTBOUND = 1, 2

#: What each packet begins with an IPv4 or IPv6 header by, and nothing of a link before it.
LINKTYPE_RAW = 101

#: Bytes of a text that an option has at most; its length is a field of 16 bits, and so are those of others.
LONGEST_TEXT = 8192

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1

# Options (sections 3.5, 4.1, 4.2, 4.3).
_COMMENT = 1
_APPLICATION = 4
_NAME, _RESOLUTION = 2, 9
_FLAGS = 2

#: A unit of the times: ten to the power of minus this, seconds.
_NANOSECONDS = 9

#: How far times can go: 64 bits of nanoseconds since the epoch.
_LATEST = (1 << 64) - 1


def section(application: str, comment: str) -> bytes:
    """
    What a file begins with.

    @param application: what has written it.
    @param comment: for who reads it.
    """
    fixed = struct.pack(">IHHq", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH)
    return _block(_SECTION, fixed, [(_COMMENT, _text(comment)), (_APPLICATION, _text(application))])


def interface(name: str) -> bytes:
    """What all packets behind it belong to: IP packets of any length, with times in nanoseconds."""
    options = [(_NAME, _text(name)), (_RESOLUTION, bytes([_NANOSECONDS]))]
    return _block(_INTERFACE, struct.pack(">HHI", LINKTYPE_RAW, 0, 0), options)


def packet(time: int, data: bytes, length: int, direction: int, comment: str) -> bytes:
    """
    One packet.

    @param time: nanoseconds since the epoch.
    @param data: its bytes from the IP header on, as many as are known.
    @param length: how many it had.
    @param direction: `INBOUND` or `OUTBOUND`.
    @param comment: for who reads it.
    """
    time = min(max(time, 0), _LATEST)
    fixed = struct.pack(">IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(data), length)
    options = [(_COMMENT, _text(comment)), (_FLAGS, struct.pack(">I", direction))]
    return _block(_PACKET, fixed + _padded(data), options)


def _block(kind: int, body: bytes, options: Iterable[tuple[int, bytes]]) -> bytes:
    """A block: its length stands at both ends, so that files can be read backwards too (section 3.1)."""
    written = b"".join(struct.pack(">HH", code, len(value)) + _padded(value) for code, value in options)
    # Behind the last option stands one without a value.
    content = body + written + bytes(4)
    length = struct.pack(">I", len(content) + 12)
    return struct.pack(">I", kind) + length + content + length


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:LONGEST_TEXT].decode("utf-8", "ignore").encode()
