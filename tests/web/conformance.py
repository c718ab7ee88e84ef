"""
What a WebSocket that echoes must do with each of many right and wrong frames: one table, for whatever can
be sent bytes.

In the manner of the well-known fuzzing suite for WebSocket, but exact: there is one answer to each case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.web.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Deflater,
    Frame,
    close,
    deflated,
    fragments,
    frame,
)

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class Case:
    """
    One case.

    @ivar name: what is tried.
    @ivar sent: what the client sends, and behind it its own Close (1000) where nothing else ends the
        connection.
    @ivar answers: the frames that come before the server's Close.
    @ivar code: of the server's Close; 1005 is none.
    @ivar offer: of extensions, in the opening handshake.
    @ivar size: bytes of the largest message, inflated.
    """

    name: str
    sent: tuple[bytes, ...]
    answers: tuple[Frame, ...] = ()
    code: int = 1000
    offer: str = ""
    size: int = 0

    def within(self, most: int) -> Case:
        """The same case where messages may have so many bytes."""
        if self.size <= most:
            return self
        return Case(self.name, self.sent, (), 1009, self.offer, self.size)


def cases() -> list[Case]:
    """All of them."""
    found = [
        case
        for part in (framing, pings, reserved, fragmentation, utf8, closes, large, compression)
        for case in part()
    ]
    assert len({case.name for case in found}) == len(found)
    return found


def _good(name: str, sent: Iterable[bytes], *answers: Frame, offer: str = "") -> Case:
    size = max((len(one.payload) for one in answers), default=0)
    return Case(name, (*sent, close()), answers, offer=offer, size=size)


def _bad(name: str, *sent: bytes, code: int = 1002, answers: tuple[Frame, ...] = (), offer: str = "") -> Case:
    # What follows must be without any effect.
    return Case(name, (*sent, frame(TEXT, b"too late"), close()), answers, code, offer)


def framing() -> Iterator[Case]:
    for opcode, kind, letter in ((TEXT, "text", b"*"), (BINARY, "binary", b"\xfe")):
        for size in (0, 1, 125, 126, 127, 128, 65_535, 65_536):
            payload = letter * size
            yield _good(f"{kind} of {size}", [frame(opcode, payload)], Frame(opcode, payload))
    yield _good(
        "three at once",
        [frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT, b"c")],
        Frame(TEXT, b"a"),
        Frame(BINARY, b"b"),
        Frame(TEXT, b"c"),
    )
    yield _bad("no mask", frame(TEXT, b"hello", masked=False))
    yield _bad("16 bits for a length of 125", frame(TEXT, b"*" * 125, wide=16))
    yield _bad("64 bits for a length of 65535", frame(BINARY, b"*" * 65_535, wide=64))
    yield _bad("a length with the highest bit", frame(BINARY, b"", length=1 << 63))


def pings() -> Iterator[Case]:
    yield _good("ping without payload", [frame(PING)], Frame(PONG, b""))
    yield _good("ping with text", [frame(PING, b"Hello, world!")], Frame(PONG, b"Hello, world!"))
    binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    yield _good("ping with binary", [frame(PING, binary)], Frame(PONG, binary))
    yield _good("ping of 125", [frame(PING, b"\xfe" * 125)], Frame(PONG, b"\xfe" * 125))
    yield _bad("ping of 126", frame(PING, b"\xfe" * 126))
    yield _bad("pong of 126", frame(PONG, b"\xfe" * 126))
    yield _good("unasked pong", [frame(PONG, b"?"), frame(PING, b"1")], Frame(PONG, b"1"))
    ten = [b"payload-%d" % n for n in range(10)]
    answers = [Frame(PONG, one) for one in ten]
    yield _good("ten pings", [frame(PING, one) for one in ten], *answers)
    yield _good("ten pings at once", [b"".join(frame(PING, one) for one in ten)], *answers)


def reserved() -> Iterator[Case]:
    for rsv in range(1, 8):
        yield _bad(f"reserved bits {rsv}", frame(TEXT, b"hello", rsv=rsv))
        yield _bad(
            f"reserved bits {rsv} behind a message",
            frame(TEXT, b"hello"),
            frame(TEXT, b"bad", rsv=rsv),
            answers=(Frame(TEXT, b"hello"),),
        )
        yield _bad(f"reserved bits {rsv} in a ping", frame(PING, b"bad", rsv=rsv))
        yield _bad(f"reserved bits {rsv} in a close", frame(CLOSE, b"\x03\xe8", rsv=rsv))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"reserved"):
            yield _bad(f"opcode {opcode} with {len(payload)} bytes", frame(opcode, payload))
        yield _bad(
            f"opcode {opcode} behind a message",
            frame(TEXT, b"hello") + frame(opcode, b"bad"),
            answers=(Frame(TEXT, b"hello"),),
        )


def fragmentation() -> Iterator[Case]:
    for opcode, kind in ((PING, "ping"), (PONG, "pong"), (CLOSE, "close")):
        yield _bad(f"{kind} in fragments", frame(opcode, b"\x03\xe8", fin=False), frame(CONTINUATION, b"two"))
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        whole = Frame(opcode, b"fragment1fragment2")
        two = fragments(opcode, b"fragment1", b"fragment2")
        yield _good(f"{kind} in two", two, whole)
        yield _good(f"{kind} in two at once", [b"".join(two)], whole)
        yield _good(
            f"{kind} in two, a ping between", [two[0], frame(PING, b"p"), two[1]], Frame(PONG, b"p"), whole
        )
        yield _good(f"{kind} in three, all empty", fragments(opcode, b"", b"", b""), Frame(opcode, b""))
        yield _good(f"{kind} in three, two empty", fragments(opcode, b"", b"mid", b""), Frame(opcode, b"mid"))
        five = fragments(opcode, *(b"fragment%d" % n for n in range(5)))
        with_pings = [five[0], five[1], frame(PING, b"a"), five[2], five[3], frame(PING, b"b"), five[4]]
        joined = b"".join(b"fragment%d" % n for n in range(5))
        yield _good(
            f"{kind} in five, pings between",
            with_pings,
            Frame(PONG, b"a"),
            Frame(PONG, b"b"),
            Frame(opcode, joined),
        )
        yield _bad(f"{kind}, then {kind} instead of its rest", two[0], frame(opcode, b"fragment2"))
    yield _good(
        "an empty message between two",
        [frame(TEXT, b"a"), frame(TEXT), frame(TEXT, b"b")],
        Frame(TEXT, b"a"),
        Frame(TEXT, b""),
        Frame(TEXT, b"b"),
    )
    for fin in (True, False):
        yield _bad(f"continuation of nothing, fin {fin}", frame(CONTINUATION, b"nothing", fin=fin))
        yield _bad(
            f"continuation behind a whole message, fin {fin}",
            frame(TEXT, b"hello"),
            frame(CONTINUATION, b"nothing", fin=fin),
            answers=(Frame(TEXT, b"hello"),),
        )
    yield Case("a close between fragments", (frame(TEXT, b"begun", fin=False), close()))


#: Text that is UTF-8, with characters of every length, and the last and first of several ranges.
_VALID = {
    "of one to four bytes": "κόσμε ß € 𐍈 \U0010ffff",
    "with noncharacters": "\ufffe\uffff\U0001ffff\U0010fffe",
    "around the surrogates": "\ud7ff\ue000",
    "with first of each length": "\x00\x80\u0800\U00010000",
    "with last of each length": "\x7f\u07ff\uffff\U0010ffff",
}

#: Bytes that are not.
_INVALID = {
    "continuation alone": b"\x80",
    "continuations": b"\x80\xbf\x80\xbf",
    "beginning alone": b"\xc0 ",
    "four-byte beginning alone": b"\xf0 ",
    "missing last byte": b"\xce\xba\xe1\xbd",
    "missing last byte in the middle": b"\xe1\xbd \xce\xba",
    "no byte of UTF-8": b"\xfe",
    "nor this one": b"\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong slash in three": b"\xe0\x80\xaf",
    "overlong slash in four": b"\xf0\x80\x80\xaf",
    "overlong NUL": b"\xc0\x80",
    "longest overlong": b"\xf0\x8f\xbf\xbf",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "in the middle": b"hello \xff world",
}


def utf8() -> Iterator[Case]:
    for name, text in _VALID.items():
        payload = text.encode("utf-8", "surrogatepass")
        yield _good(f"text {name}", [frame(TEXT, payload)], Frame(TEXT, payload))
        # Characters are cut between fragments, at every byte.
        pieces = [payload[n : n + 1] for n in range(len(payload))]
        yield _good(f"text {name}, cut at every byte", fragments(TEXT, *pieces), Frame(TEXT, payload))
    for name, payload in _INVALID.items():
        yield _bad(f"not UTF-8: {name}", frame(TEXT, payload), code=1007)
        yield _bad(f"not UTF-8 in the last fragment: {name}", *fragments(TEXT, b"fine", payload), code=1007)
        yield _good(f"binary that is not UTF-8: {name}", [frame(BINARY, payload)], Frame(BINARY, payload))
    # It fails as soon as that is certain, and not only at the end of the message.
    yield _bad("not UTF-8, in a message that goes on", frame(TEXT, b"\xff", fin=False), code=1007)
    yield _bad("not UTF-8, in a frame that goes on", frame(TEXT, b"\xff" * 10, length=100), code=1007)
    yield _bad(
        "a character cut by the end of the message, in fragments",
        *fragments(TEXT, b"\xce\xba\xe1", b"\xbd"),
        code=1007,
    )


def closes() -> Iterator[Case]:
    hello = Frame(TEXT, b"hello")
    yield _good("a close behind a message", [frame(TEXT, b"hello")], hello)
    yield Case("two closes", (close(), close()))
    yield Case("a ping behind a close", (close(), frame(PING, b"?")))
    yield Case("a message behind a close", (close(), frame(TEXT, b"too late")))
    yield Case("a close without code", (close(None),), code=1005)
    yield _bad("a close with half a code", frame(CLOSE, b"\x03"))
    yield Case("a close with a reason", (close(1000, "Grüße".encode()),))
    yield Case("a close with the longest reason", (close(1000, b"*" * 123),))
    yield _bad("a close with a reason too long", frame(CLOSE, b"\x03\xe8" + b"*" * 124))
    yield _bad("a close whose reason is not UTF-8", close(1000, b"\xce\xba\xe1\xbd\xb9\xff"), code=1007)
    for code in (
        1000,
        1001,
        1002,
        1003,
        1007,
        1008,
        1009,
        1010,
        1011,
        1012,
        1013,
        1014,
        3000,
        3999,
        4000,
        4999,
    ):
        yield Case(f"close code {code}", (close(code),), code=code)
        yield Case(f"close code {code} with a reason", (close(code, b"reason"),), code=code)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        yield _bad(f"close code {code}", close(code))
        yield _bad(f"close code {code} with a reason", close(code, b"reason"))


def large() -> Iterator[Case]:
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        for size in (MIB - 1, MIB, MIB + 1, 4 * MIB):
            payload = b"*" * size
            yield _good(f"{kind} of {size}", [frame(opcode, payload)], Frame(opcode, payload))
        for piece in (64, 4 * KIB, 64 * KIB):
            payload = b"*" * MIB
            pieces = (payload[n : n + piece] for n in range(0, MIB, piece))
            yield _good(
                f"{kind} of 1 MiB in fragments of {piece}",
                [b"".join(fragments(opcode, *pieces))],
                Frame(opcode, payload),
            )
        half = b"*" * (MIB // 2)
        three = fragments(opcode, half, half, b"!")
        yield _good(f"{kind} of 1 MiB and a byte in fragments", three, Frame(opcode, half + half + b"!"))
    yield Case("a frame of 16 EiB that is announced", (frame(BINARY, b"", length=(1 << 63) - 1),), (), 1009)


_DEFLATE = "permessage-deflate"


def compression() -> Iterator[Case]:
    offers = {
        "plain": (_DEFLATE, Deflater),
        "as browsers have it": (f"{_DEFLATE}; client_max_window_bits", Deflater),
        "no client takeover": (f"{_DEFLATE}; client_no_context_takeover", lambda: Deflater(takeover=False)),
        "no server takeover": (f"{_DEFLATE}; server_no_context_takeover", Deflater),
        "smallest windows": (
            f"{_DEFLATE}; server_max_window_bits=9; client_max_window_bits=9",
            lambda: Deflater(bits=9),
        ),
        "quoted": (f'{_DEFLATE}; server_max_window_bits="10"', Deflater),
        "second choice": (f"x-unheard-of, {_DEFLATE}", Deflater),
    }
    for name, (offer, deflater) in offers.items():
        for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
            deflate = deflater()
            payloads = [b"", b"*", b"hello hello hello hello", b"hello again, " * 100, b"." * 100_000]
            sent = [frame(opcode, deflate(one), rsv=4) for one in payloads]
            answers = [Frame(opcode, one, 4) for one in payloads]
            yield _good(f"deflated {kind}, {name}", sent, *answers, offer=offer)
            squeezed = deflater()(b"fragmented " * 50)
            cut = fragments(opcode, *(squeezed[n : n + 1] for n in range(len(squeezed))), rsv=4)
            whole = Frame(opcode, b"fragmented " * 50, 4)
            yield _good(f"deflated {kind} cut at every byte, {name}", cut, whole, offer=offer)
    plain = [frame(TEXT, deflated(b"one"), rsv=4), frame(TEXT, b"two")]
    yield _good("deflated and not", plain, Frame(TEXT, b"one", 4), Frame(TEXT, b"two"), offer=_DEFLATE)
    stored = b"\x00\x05\x00\xfa\xff" + b"Hello" + b"\x00"
    yield _good(
        "deflated, but only stored (RFC 7692 section 7.2.3.3)",
        [frame(TEXT, stored, rsv=4)],
        Frame(TEXT, b"Hello", 4),
        offer=_DEFLATE,
    )
    yield _bad("deflated without having asked", frame(TEXT, deflated(b"hello"), rsv=4))
    yield _bad("a deflated ping", frame(PING, deflated(b"hello"), rsv=4), offer=_DEFLATE)
    yield _bad(
        "deflated anew in a continuation",
        frame(TEXT, deflated(b"one"), rsv=4, fin=False),
        frame(CONTINUATION, deflated(b"two"), rsv=4),
        offer=_DEFLATE,
    )
    yield _bad("other reserved bits than deflate's", frame(TEXT, b"hello", rsv=2), offer=_DEFLATE)
    yield _bad("not deflate", frame(TEXT, b"\xff\xff\xff\xff", rsv=4), code=1007, offer=_DEFLATE)
    yield _bad(
        "deflated text that is not UTF-8", frame(TEXT, deflated(b"\xff"), rsv=4), code=1007, offer=_DEFLATE
    )
    for size in (MIB, MIB + 1, 4 * MIB):
        payload = b"*" * size
        yield _good(
            f"deflated to a thousandth of {size}",
            [frame(BINARY, deflated(payload), rsv=4)],
            Frame(BINARY, payload, 4),
            offer=_DEFLATE,
        )
