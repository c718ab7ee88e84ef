"""ClientHellos made by hand."""

from __future__ import annotations

from struct import pack


def small_hello(name: bytes) -> bytes:
    """A ClientHello with nothing in it but a name; OpenSSL would want more."""
    host = pack(">BH", 0, len(name)) + name
    extension = pack(">HHH", 0, len(host) + 2, len(host)) + host
    body = bytes(34) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + pack(">H", len(extension)) + extension
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + pack(">H", len(message)) + message
