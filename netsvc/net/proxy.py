"""
The PROXY header with which a load balancer says, before anything else, who the client is.

Both versions of HAProxy's specification (proxy-protocol.txt) are read, from bytes that may be cut anywhere:
version 1 is a line of text (section 2.1), version 2 a block of binary (section 2.2). The bytes decide by
themselves, as early as they can, which of the two they begin, or that they begin neither.

Rules here: a header is believed whole or refused; what a peer sent stands in an error only as a short `repr`;
nothing is kept beyond the longest header allowed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from netsvc.interfaces import ProxyArrival
from netsvc.net.source import path_of

#: A version 1 line with its CR LF, in bytes; section 2.1 has no longer one.
MAX_V1_LINE = 107

#: Bytes of a version 2 header behind its first 16. The field could say 65,535, but a header is meant to be
#: smaller than one segment (section 2.2); this leaves room for a proxy that adds much about its client.
MAX_V2_LENGTH = 4096

_V1_START = b"PROXY "
_V2_START = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16

_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")

_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_ADDRESS_SIZE = {_INET: 4, _INET6: 16, _UNIX: 108}
_STREAM, _DGRAM = 1, 2

_AUTHORITY, _CRC32C = 0x02, 0x03
_MAX_AUTHORITY = 255


class ProxyError(Exception):
    """The bytes are no PROXY header that can be believed; the text is one line that says why."""


class NotAHeader(ProxyError):  # noqa: N818 - says what the bytes are, which need be no error
    """
    The bytes do not even begin like a PROXY header: a client that speaks for itself sent them.

    @ivar data: every byte so far.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(f"no PROXY header begins with {_shown(data)}")
        self.data = data


class ProxyHeaderParser:
    """
    Reads the one header at the start of a connection.

    @ivar pending: the bytes fed so far, while neither a header nor an error has come of them.
    """

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = b""

    def feed(self, data: bytes) -> tuple[ProxyArrival, bytes] | None:
        """
        Take the next bytes of the connection, cut anywhere.

        @return: None while more bytes are needed; then, once, the header (its `via` is ``""``, for the caller
            to fill in) and the bytes behind it.
        @raise NotAHeader: the bytes begin no header.
        @raise ProxyError: they begin one, but it is malformed, too long or fails its checksum.
        """
        data = self.pending = self.pending + data
        if data.startswith(_V1_START):
            return self._answer(_v1_end(data), _read_v1)
        if data.startswith(_V2_START):
            return self._answer(_v2_end(data), _read_v2)
        if _V1_START.startswith(data) or _V2_START.startswith(data):
            return None
        self.pending = b""
        raise NotAHeader(data)

    def _answer(
        self, end: int | None, read: Callable[[bytes], ProxyArrival]
    ) -> tuple[ProxyArrival, bytes] | None:
        if end is None:
            return None
        data, self.pending = self.pending, b""
        return read(data[:end]), data[end:]


# -- version 1 ------------------------------------------------------------------------------------------


def _v1_end(data: bytes) -> int | None:
    """Where the line ends, its CR LF included; None where that has not come."""
    end = data.find(b"\n", 0, MAX_V1_LINE) + 1
    if not end and len(data) < MAX_V1_LINE:
        return None
    if not end:
        raise ProxyError(f"PROXY v1 line without an end within {MAX_V1_LINE} bytes: {_shown(data)}")
    if data[end - 2 : end] != b"\r\n":
        raise ProxyError(f"PROXY v1 line that ends in LF alone: {_shown(data[:end])}")
    return end


def _read_v1(line: bytes) -> ProxyArrival:
    _, family, *rest = line[:-2].split(b" ")
    if family == b"UNKNOWN":
        # Whatever else stands in the line must be ignored.
        return _untold(1)
    if family not in (b"TCP4", b"TCP6"):
        raise ProxyError(f"PROXY v1 line with family {_shown(family)}; expected TCP4, TCP6 or UNKNOWN")
    if len(rest) != 4:
        raise ProxyError(f"PROXY v1 line with {len(rest)} fields behind {family.decode()}; expected 4")
    source, destination = (_text_address(family, field) for field in rest[:2])
    source_port, destination_port = (_text_port(field) for field in rest[2:])
    return ProxyArrival(1, source, source_port, destination, destination_port, via="")


def _text_address(family: bytes, field: bytes) -> str:
    try:
        text = field.decode("ascii")
        if family == b"TCP4":
            return str(ipaddress.IPv4Address(text))
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ProxyError(
            f"PROXY v1 line with {_shown(field)}; expected an address of {family.decode()}"
        ) from None
    if address.scope_id is not None:
        raise ProxyError(f"PROXY v1 line with {_shown(field)}; expected an address without a zone")
    return _folded(address)


def _text_port(field: bytes) -> int:
    if not _PORT.fullmatch(field) or int(field) > 65535:
        raise ProxyError(f"PROXY v1 line with {_shown(field)}; expected a port from 0 to 65535")
    return int(field)


# -- version 2 ------------------------------------------------------------------------------------------


def _v2_end(data: bytes) -> int | None:
    """Where the header ends; None where that has not come. What can be refused early is."""
    if len(data) > 12 and data[12] >> 4 != 2:
        raise ProxyError(f"PROXY header of version {data[12] >> 4}; expected 2")
    if len(data) < _V2_FIXED:
        return None
    length = int.from_bytes(data[14:16], "big")
    if length > MAX_V2_LENGTH:
        raise ProxyError(f"PROXY v2 header that announces {length} bytes; expected at most {MAX_V2_LENGTH}")
    end = _V2_FIXED + length
    return end if len(data) >= end else None


def _read_v2(header: bytes) -> ProxyArrival:
    command, family, protocol = header[12] & 15, header[13] >> 4, header[13] & 15
    if command == _LOCAL:
        # The proxy speaks for itself (a health check); the rest must be skipped, its family too.
        return _untold(2)
    if command != _PROXY:
        raise ProxyError(f"PROXY v2 header with command {command}; expected LOCAL (0) or PROXY (1)")
    if family > _UNIX or protocol > _DGRAM:
        raise ProxyError(f"PROXY v2 header with family and protocol {header[13]:#04x}, which are unassigned")
    if family == _UNSPEC or protocol == _UNSPEC:
        # What follows has no known form, so nothing in it can be read.
        return _untold(2)
    size = _ADDRESS_SIZE[family]
    ports = 2 * size + _V2_FIXED
    rest = ports if family == _UNIX else ports + 4
    if len(header) < rest:
        raise ProxyError(
            f"PROXY v2 header with {len(header) - _V2_FIXED} bytes of addresses; expected {rest - _V2_FIXED}"
        )
    source, destination = (
        _packed_address(family, header[start : start + size]) for start in (_V2_FIXED, _V2_FIXED + size)
    )
    source_port = destination_port = None
    if family != _UNIX:
        source_port, destination_port = (
            int.from_bytes(header[start : start + 2], "big") for start in (ports, ports + 2)
        )
    name = _read_extensions(header, rest)
    return ProxyArrival(2, source, source_port, destination, destination_port, via="", server_name=name)


def _packed_address(family: int, packed: bytes) -> str:
    if family == _INET:
        return str(ipaddress.IPv4Address(packed))
    if family == _INET6:
        return _folded(ipaddress.IPv6Address(packed))
    if packed[0] == 0 and packed.strip(b"\0"):
        # Linux's abstract names.
        return path_of(b"\0" + packed.strip(b"\0"))
    return path_of(packed.partition(b"\0")[0])


def _read_extensions(header: bytes, start: int) -> str | None:
    """
    Read the type-length-values from an offset on: verify the checksum, find the server name.

    Others (section 2.2.1 onwards: ALPN, unique id, the client's TLS, padding …) are skipped.
    """
    found: dict[int, bytes] = {}
    for kind, offset, value in _extensions(header, start):
        if kind == _CRC32C:
            _verify(header, offset, value)
        if kind in (_AUTHORITY, _CRC32C):
            if kind in found:
                raise ProxyError(f"PROXY v2 header with extension {kind:#04x} twice")
            found[kind] = value
    name = found.get(_AUTHORITY, b"")
    if len(name) > _MAX_AUTHORITY:
        raise ProxyError(f"PROXY v2 header with a server name of {len(name)} bytes; expected at most 255")
    try:
        return name.decode("utf-8") or None
    except UnicodeDecodeError:
        raise ProxyError(f"PROXY v2 header with server name {_shown(name)}; expected UTF-8") from None


def _extensions(header: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Type, offset of the value, value."""
    while start < len(header):
        value = start + 3
        end = value + int.from_bytes(header[start + 1 : value], "big")
        if end > len(header):
            raise ProxyError("PROXY v2 header with an extension that reaches beyond its end")
        yield header[start], value, header[value:end]
        start = end


def _verify(header: bytes, offset: int, value: bytes) -> None:
    """Section 2.2.3: the checksum is over the header with the checksum's own bytes zero."""
    if len(value) != 4:
        raise ProxyError(f"PROXY v2 header with a checksum of {len(value)} bytes; expected 4")
    blanked = header[:offset] + bytes(4) + header[offset + 4 :]
    if crc32c(blanked) != int.from_bytes(value, "big"):
        raise ProxyError("PROXY v2 header whose CRC32c checksum is wrong")


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC32c (Castagnoli) checksum, RFC 4960 appendix B."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# -- both -----------------------------------------------------------------------------------------------


def _untold(version: int) -> ProxyArrival:
    """A header that names no client: the connection's own addresses count."""
    return ProxyArrival(version, None, None, None, None, via="")


def _folded(address: ipaddress.IPv6Address) -> str:
    return str(address.ipv4_mapped or address)


def _shown(data: bytes) -> str:
    """A peer's bytes, harmless and short."""
    return repr(data[:32]) + ("..." if len(data) > 32 else "")
