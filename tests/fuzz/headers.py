"""PROXY headers, broken and cut."""

from __future__ import annotations

from typing import NamedTuple

from netsvc.interfaces import ProxyArrival
from netsvc.net.proxy import MAX_V1_LINE, MAX_V2_LENGTH, NotAHeader, ProxyError, ProxyHeaderParser
from tests.fuzz.corpora import MESSAGES, PROXY
from tests.fuzz.inputs import Inputs

_LONGEST = max(MAX_V1_LINE, MAX_V2_LENGTH + 16)


class Fed(NamedTuple):
    """
    The beginning of a connection.

    @ivar pieces: as they come; none is empty.
    """

    pieces: tuple[bytes, ...]


def make(chance: Inputs) -> Fed:
    """A header and what comes behind it."""
    data = chance.broken(chance.one_of(PROXY), PROXY) + chance.one_of(MESSAGES)[:300]
    return Fed(tuple(piece for piece in chance.cut(data) if piece))


def check(made: Fed) -> None:
    """However it is cut, it is the same header with the same bytes behind it, or refused all the same."""
    data = b"".join(made.pieces)
    assert _outcome(made.pieces) == _outcome([data] if data else []), "the cuts make a difference"


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
            assert error.data == data[:fed], "bytes of the client's are lost"
            return "none", None, data
        except ProxyError as error:
            assert str(error).isprintable(), "a reason that is no line of text"
            assert parser.pending == b"" or len(parser.pending) <= fed
            return "refused", None, b""
        if parsed is not None:
            header, rest = parsed
            assert data[:fed].endswith(rest), "the bytes behind the header are others"
            assert header.source_port is None or 0 <= header.source_port <= 65_535
            return "header", header, rest + data[fed:]
        assert len(parser.pending) < _LONGEST, "more is kept than a header has"
    return "pending", None, parser.pending
