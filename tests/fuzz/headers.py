"""PROXY headers, broken and cut."""

from __future__ import annotations

from typing import NamedTuple

from netsvc.interfaces import ProxyArrival
from netsvc.net.proxy import MAX_V1_LINE, MAX_V2_LENGTH, NotAHeader, ProxyError, ProxyHeaderParser
from tests.fuzz.campaign import one_line
from tests.fuzz.corpora import MESSAGES, PROXY, PROXY_BODIES, v2
from tests.fuzz.inputs import Inputs

_LONGEST = max(MAX_V1_LINE, MAX_V2_LENGTH + 16)

#: The least bytes that version 2 needs for the addresses of a source that is an address, or a path.
_LEAST, _LEAST_OF_PATHS = 16 + 12, 16 + 216


class Fed(NamedTuple):
    """
    The beginning of a connection.

    @ivar pieces: as they come; none is empty.
    """

    pieces: tuple[bytes, ...]


def make(chance: Inputs) -> Fed:
    """A header and what comes behind it."""
    header = chance.one_of(PROXY)
    if chance.rarely():
        body = chance.broken(chance.one_of(PROXY_BODIES), PROXY_BODIES)[:65_535]
        header = v2(chance.one_of((0, 1, 1, 1, 2)), chance.one_of((0x11, 0x12, 0x21, 0x31, 0x13, 0)), body)
    else:
        header = chance.broken(header, PROXY)
    data = header + chance.one_of(MESSAGES)[:300]
    return Fed(tuple(piece for piece in chance.cut(data) if piece))


def check(made: Fed) -> None:
    """However it is cut, it is the same header with the same bytes behind it, or refused all the same."""
    data = b"".join(made.pieces)
    outcome = _outcome(made.pieces)
    assert outcome == _outcome([data] if data else []), "the cuts make a difference"
    assert outcome[0] != "none" or outcome[2] == data, "bytes of the client's are lost"


def _check_header(header: ProxyArrival, size: int) -> None:
    """@param size: bytes that it was read from."""
    for port in (header.source_port, header.destination_port):
        assert port is None or 0 <= port <= 65_535
    least = 8 if header.version == 1 else 16
    if header.version == 2 and header.source is not None:
        least = _LEAST if header.source_port is not None else _LEAST_OF_PATHS
    assert least <= size <= _LONGEST, f"{header} out of {size} bytes"
    name = header.server_name
    assert name is None or 0 < len(name.encode("utf-8")) <= 255


def _outcome(pieces: tuple[bytes, ...] | list[bytes]) -> tuple[str, ProxyArrival | None, bytes]:
    """What comes of it: a word for it, the header, and the bytes that are the client's own."""
    parser = ProxyHeaderParser()
    data = b"".join(pieces)
    fed = 0
    for piece in pieces:
        fed += len(piece)
        try:
            parsed = parser.feed(piece)
        except NotAHeader as error:
            one_line(str(error))
            return "none", None, error.data + data[fed:]
        except ProxyError as error:
            one_line(str(error))
            return "refused", None, b""
        if parsed is not None:
            header, rest = parsed
            assert data[:fed].endswith(rest), "the bytes behind the header are others"
            _check_header(header, fed - len(rest))
            return "header", header, rest + data[fed:]
        longest = MAX_V1_LINE if parser.pending.startswith(b"P") else _LONGEST
        assert len(parser.pending) < longest, "more is kept than a header has"
    return "pending", None, parser.pending
