"""
The server name and the groups in a TLS ClientHello.

Python's `ssl` would tell the name through a callback, but for one that is not ASCII, which any client may
send, it prints a traceback on standard error and ends the handshake; the groups it does not tell. So both are
read from the bytes; OpenSSL remains the judge of whether they are a proper ClientHello.
"""

from __future__ import annotations

from collections.abc import Iterator

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_SUPPORTED_GROUPS = 10
_KEY_SHARE = 51
_HOST_NAME = 0

#: A list with nothing in it, for an extension that is missing.
_EMPTY = b"\0\0"

#: Bytes before a record's own, and the most that a record of a handshake may have (RFC 8446 section 5.1).
_RECORD_HEADER = 5
_RECORD = 16_384


class _ShortError(Exception):
    """The bytes end before they should."""


class _Fields:
    """Reads the fields of a structure in TLS's presentation (RFC 8446 section 3) one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise _ShortError
        return self._data[start : self._at]

    def number(self, size: int) -> int:
        """The next `size` bytes as a number."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """The bytes whose length stands in the `size` bytes before them."""
        return self.take(self.number(size))


def server_name(stream: bytes) -> str | None:
    """
    Find the host name that a client asks for (RFC 6066 section 3).

    @param stream: the first bytes that the client sent, at least up to the end of its ClientHello.
    @return: the name, with bytes that are not ASCII as ``\\xNN``; None where there is none, or where these
        bytes are no whole ClientHello.
    """
    try:
        name = _host_name(_extension(_hello(stream), _SERVER_NAME))
    except _ShortError:
        return None
    return name.decode("ascii", "backslashreplace") or None


def offered_groups(record: bytes) -> Iterator[int]:
    """
    Find the groups that a client can use for the key exchange (RFC 8446 section 4.2.7).

    @param record: the first that it sent.
    @return: their numbers, those before all others for which it sent its share already; none where this is
        no ClientHello that is whole in one record.
    """
    try:
        hello = _hello(record)
        shares = _Fields(_Fields(_extension(hello, _KEY_SHARE) or _EMPTY).vector(2))
        while shares:
            yield shares.number(2)
            shares.vector(2)
        groups = _Fields(_Fields(_extension(hello, _SUPPORTED_GROUPS) or _EMPTY).vector(2))
        while groups:
            yield groups.number(2)
    except _ShortError:
        return


def lacks_its_end(stream: bytes | bytearray) -> bool:
    """
    Whether a client's first record has only come in part.

    @param stream: all that the client sent.
    @return: False also for bytes that are no record of a handshake.
    """
    if stream[:1] not in (b"", b"\x16"):
        return False
    if len(stream) < _RECORD_HEADER:
        return True
    size = int.from_bytes(stream[3:_RECORD_HEADER], "big")
    return size <= _RECORD and len(stream) < _RECORD_HEADER + size


def _hello(stream: bytes) -> bytes:
    """The body of the ClientHello, which may be spread over several records (RFC 8446 section 5.1)."""
    records = _Fields(stream)
    message = b""
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if records.number(1) != _HANDSHAKE:
            raise _ShortError
        records.take(2)
        message += records.vector(2)
    fields = _Fields(message)
    if fields.number(1) != _CLIENT_HELLO:
        raise _ShortError
    return fields.vector(3)


def _extension(hello: bytes, wanted: int) -> bytes:
    """The body of an extension, ``b""`` where it is missing. RFC 8446 section 4.1.2 has the fields' order."""
    fields = _Fields(hello)
    fields.take(2 + 32)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    extensions = _Fields(fields.vector(2) if fields else b"")
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == wanted:
            return body
    return b""


def _host_name(extension: bytes) -> bytes:
    names = _Fields(_Fields(extension).vector(2) if extension else b"")
    while names:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            return name
    return b""
