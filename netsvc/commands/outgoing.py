"""
What the user wants sent: text, hexadecimal, files, standard input; in pieces, because a file can be large.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netsvc.commands.complaints import NotDone
from netsvc.commands.standard_input import StandardInput

#: What ``--eol`` adds.
EOLS: Mapping[str, bytes] = {"none": b"", "lf": b"\n", "crlf": b"\r\n"}

#: Bytes of a file that are read at once.
_PIECE = 1 << 16

#: Bytes that are read of what must be one datagram: more than any can carry.
_DATAGRAM = 1_000_000


@dataclass(frozen=True)
class Message:
    """
    One message.

    @ivar data: its bytes, if they are known already; else they are
    @ivar file: the bytes of this path; ``-`` is standard input.
    """

    data: bytes = b""
    file: str | None = None

    async def pieces(self, reactor: Any) -> AsyncIterator[bytes]:
        """
        The bytes of the message, as they are read; an empty one has no piece.

        @param reactor: reads standard input.
        @raise NotDone: they cannot be read.
        """
        async for piece in self._read(reactor):
            if piece:
                yield piece

    async def whole(self, reactor: Any) -> bytes:
        """
        The bytes of the message, as one datagram has them.

        @param reactor: reads standard input.
        @raise NotDone: they cannot be read, or are more than a datagram can carry.
        """
        data = bytearray()
        async for piece in self._read(reactor):
            data += piece
            if len(data) > _DATAGRAM:
                name = self.file or "a message"
                raise NotDone(f"{name}: more than {_DATAGRAM} bytes; no datagram carries that")
        return bytes(data)

    async def _read(self, reactor: Any) -> AsyncIterator[bytes]:
        if self.file is None:
            yield self.data
        elif self.file == "-":
            given = StandardInput(reactor)
            while piece := await given.read():
                yield piece
        else:
            try:
                with open(self.file, "rb") as opened:
                    while piece := opened.read(_PIECE):
                        yield piece
            except OSError as error:
                shown = self.file or "''"
                raise NotDone(f"{shown}: {(error.strerror or str(error)).lower()}") from None


def messages_of(texts: Sequence[str], files: Sequence[str], in_hex: bool, eol: bytes) -> list[Message]:
    """
    What the command line's messages and files are.

    @param texts: messages; ``-`` is standard input.
    @param in_hex: they are hexadecimal, with blanks, or colons, between bytes if one likes.
    @param eol: added to each that is no file.
    @raise ValueError: a text is not hexadecimal.
    """
    messages = []
    for text in texts:
        if text == "-":
            messages.append(Message(file="-"))
        else:
            messages.append(Message((from_hex(text) if in_hex else os.fsencode(text)) + eol))
    return messages + [Message(file=path) for path in files]


def from_hex(text: str) -> bytes:
    """
    Read hexadecimal, such as ``00ff``, ``00 ff`` or ``00:ff``.

    @raise ValueError: it is none.
    """
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError:
        raise ValueError(f"{text!r} is not hexadecimal; expected two digits for each byte") from None
