"""
WebSocket frames made and read by hand, right or wrong, as no client library would send them (RFC 6455
section 5.2).
"""

from __future__ import annotations

import zlib
from struct import pack, unpack
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

#: The opening handshake's nonce in RFC 6455 section 1.3, and its answer.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#: A key that changes every byte.
MASK = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """A frame that came: a message is one, because the server does not fragment."""

    opcode: int
    payload: bytes
    rsv: int = 0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """
    A client's frame.

    @param length: what the header says, if not the truth.
    @param wide: 16 or 64: bits in which the length is written though it needs fewer.
    """
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if wide == 64 or size > 0xFFFF:
        extended = pack("!BQ", bit | 127, size)
    elif wide == 16 or size > 125:
        extended = pack("!BH", bit | 126, size)
    else:
        extended = pack("!B", bit | size)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode]) + extended
    return head + (MASK + masking(payload) if masked else payload)


def masking(payload: bytes) -> bytes:
    """What a payload is with `MASK` laid over it, or without it if it is."""
    key = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A client's Close."""
    return frame(CLOSE, b"" if code is None else pack("!H", code) + reason)


def fragments(opcode: int, *pieces: bytes, rsv: int = 0) -> list[bytes]:
    """A message in fragments."""
    last = len(pieces) - 1
    return [
        frame(opcode if n == 0 else CONTINUATION, piece, fin=n == last, rsv=0 if n else rsv)
        for n, piece in enumerate(pieces)
    ]


class Deflater:
    """Compresses messages as a client does (RFC 7692 section 7.2.1)."""

    def __init__(self, bits: int = 15, takeover: bool = True) -> None:
        self._bits = bits
        self._takeover = takeover
        self._codec = self._fresh()

    def _fresh(self) -> zlib._Compress:
        return zlib.compressobj(wbits=-self._bits)

    def __call__(self, payload: bytes) -> bytes:
        if not self._takeover:
            self._codec = self._fresh()
        whole = self._codec.compress(payload) + self._codec.flush(zlib.Z_SYNC_FLUSH)
        return whole.removesuffix(b"\x00\x00\xff\xff")


def deflated(payload: bytes) -> bytes:
    """One message, compressed."""
    return Deflater()(payload)


class ServerFrames:
    """Takes apart what a server sends, and inflates what it compressed."""

    def __init__(self) -> None:
        self._data = b""
        self._inflate = zlib.decompressobj(-15)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        self._data += data
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _next(self) -> Frame | None:
        if len(self._data) < 2:
            return None
        first, size = self._data[0], self._data[1]
        assert first & 0x80, "the server fragments nothing"
        assert not size & 0x80, "nor does it mask"
        extended = {126: 2, 127: 8}.get(size, 0)
        if len(self._data) < 2 + extended:
            return None
        if extended:
            (size,) = unpack("!H" if extended == 2 else "!Q", self._data[2 : 2 + extended])
        end = 2 + extended + size
        if len(self._data) < end:
            return None
        payload, self._data = self._data[2 + extended : end], self._data[end:]
        rsv = first >> 4 & 7
        if rsv == 4:
            payload = self._inflate.decompress(payload + b"\x00\x00\xff\xff")
        return Frame(first & 15, payload, rsv)


def close_code(frames: list[Frame]) -> int | None:
    """What the Close at the end of frames says: its code, 1005 if it has none; None if there is no Close."""
    if not frames or frames[-1].opcode != CLOSE:
        return None
    payload = frames[-1].payload
    return int(unpack("!H", payload[:2])[0]) if payload else 1005


def opening(path: str = "/", **headers: str) -> bytes:
    """
    An opening handshake.

    @param headers: others than those that must be, or instead of them; ``_`` stands for ``-`` and "" for
        none.
    """
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY.decode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1")
