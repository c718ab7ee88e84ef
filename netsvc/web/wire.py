"""What goes over a WebSocket, by itself: close codes, reasons and the frames of a server (RFC 6455)."""

from __future__ import annotations

from struct import pack

#: Close codes (RFC 6455 section 7.4.1, and the registry that it begins).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY = 1000, 1001, 1002, 1008
TOO_BIG, FAILED, TRY_LATER = 1009, 1011, 1013

#: Bytes of a Close frame's reason: a control frame has 125, two are the code (RFC 6455 section 5.5).
_LONGEST_REASON = 123

#: Codes that a Close frame may carry and that are not for anybody's own use (RFC 6455 section 7.4, IANA's
#: registry).
_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class ProtocolFailure(Exception):  # noqa: N818 - it is what the RFC calls it: _Fail the WebSocket Connection_
    """
    The peer broke the protocol or a limit.

    @ivar code: the close code that it was told.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame(payload: bytes, binary: bool = False) -> bytes:
    """A message as one frame, made once to be sent to many; see `WebSocket.send_frame`."""
    size = len(payload)
    opcode = 0x82 if binary else 0x81
    if size < 126:
        return pack("!BB", opcode, size) + payload
    if size < 65536:
        return pack("!BBH", opcode, 126, size) + payload
    return pack("!BBQ", opcode, 127, size) + payload


def may_be_closed_with(code: int) -> bool:
    """Whether a Close frame may carry a code: a registered one, or one for applications."""
    return code in _CODES or 3000 <= code <= 4999


def fitting(reason: str) -> bytes | None:
    """A reason as a Close frame can carry it, cut between characters."""
    cut = reason.encode("utf-8", "replace")[:_LONGEST_REASON]
    return cut.decode("utf-8", "ignore").encode("utf-8") or None
