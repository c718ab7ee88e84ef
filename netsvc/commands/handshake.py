"""
The opening handshake of a WebSocket, the client's side of it (RFC 6455 section 4.1), without a socket.

A server that will not have us answers like any HTTP server, and netsvc's says why in its body: so an answer
that is no opening is read too, and becomes one line.
"""

from __future__ import annotations

import base64
import os
import re

from netsvc.commands.address import Address
from netsvc.commands.answer import error_in

#: Bytes that the head of an answer may have.
LONGEST_HEAD = 65_536

#: Bytes of the body of a refusal that are read to find out why.
_LONGEST_REFUSAL = 4096

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?")

#: What of an answer belongs to the handshake.
_HEADERS = (
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)


class RefusedError(Exception):
    """There is no WebSocket; the text says why, in one line without the address."""


class Opening:
    """
    One handshake.

    @ivar key: the nonce, in base64.
    """

    def __init__(self, address: Address, token: str | None = None) -> None:
        """
        @param address: of a WebSocket.
        @param token: what is shown to be let in; None shows nothing.
        """
        self.key = base64.b64encode(os.urandom(16))
        self._address = address
        self._token = token
        self._data = b""
        self._refusal: tuple[str, str] | None = None
        self._missing = 0

    def request(self) -> bytes:
        """The request to send."""
        address = self._address
        lines = [
            f"GET {address.path or '/'} HTTP/1.1",
            f"Host: {address.authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {self.key.decode('ascii')}",
        ]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """
        Take what has come.

        @return: None while the answer is not whole; else a head with what belongs to the handshake and
            nothing else, which is still to be checked, and what came behind the head.
        @raise RefusedError: the answer is no opening.
        """
        self._data += data
        if self._refusal is None:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                if len(self._data) > LONGEST_HEAD or not b"HTTP/1.".startswith(self._data[:7]):
                    raise RefusedError("what answers there does not speak HTTP")
                return None
            found = self._read(head)
            if found is not None:
                return found, rest
            self._data = rest
        if len(self._data) >= self._missing:
            self.end()
        return None

    def end(self) -> None:
        """
        There is nothing more to come.

        @raise RefusedError: always, with what is known.
        """
        if self._refusal is None:
            raise RefusedError("closed by the server")
        status, phrase = self._refusal
        raise RefusedError(f"{status} {error_in(self._data[: self._missing]) or phrase}".rstrip())

    def _read(self, head: bytes) -> bytes | None:
        """The cleaned head of an opening; None if it is a refusal."""
        first, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if status is None:
            raise RefusedError("what answers there does not speak HTTP")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                headers.setdefault(name.lower(), []).append(value.strip())
        if status[1] != b"101":
            phrase = (status[2] or b"").decode("latin-1")
            self._refusal = (status[1].decode("ascii"), phrase)
            length = headers.get("content-length", [""])[0]
            # Without a length it ends with the connection.
            self._missing = (
                min(int(length), _LONGEST_REFUSAL) if re.fullmatch("[0-9]{1,9}", length) else _LONGEST_REFUSAL
            )
            return None
        kept = [f"{name}: {value}" for name in _HEADERS for value in headers.get(name, ()) if value.isascii()]
        return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *kept, "", ""]).encode("ascii")
