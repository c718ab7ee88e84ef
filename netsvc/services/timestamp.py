"""
timestamp: an echo that says when.

In chunk framing whatever one read brought is a message and gets one reply, so that first programs, which
send no newline and wait for an answer to each message, are answered. In line framing each line gets one
reply, however TCP cut it:

- LF ends a line. A CR before it belongs to the line's end, not to the line.
- A reply ends as its line did, with CR LF or LF, so that a client that reads lines reads one.
- The last line may lack its end when the client has ended its sending; it is answered, with LF.
- A line longer than allowed, its end not counted, is answered ``line too long`` and LF, and the connection
  closes. The lines before it have their replies.

Chunk framing is the hottest path of netsvc: one message costs a look at the clock, one comparison, one
concatenation and one write. Hence two small classes there instead of one with a choice in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import TypeVar

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import Factory, Protocol

from netsvc.services.clock import MICROSECOND, SECOND, Now, ctime, iso
from netsvc.services.lines import LineSplitter

TOO_LONG = b"line too long\n"

_Choice = TypeVar("_Choice")

#: What stands before the data; the time goes into the braces.
_STYLES: Mapping[str, str] = {"bracket": "[{}] ", "plain": "{} "}

#: How a clock reads, and for how many nanoseconds a reading holds.
_CLOCKS: Mapping[str, tuple[Callable[[int], str], int]] = {
    "ctime": (ctime, SECOND),
    "iso": (iso, MICROSECOND),
    "ns": (str, 1),
}


def as_received(data: bytes) -> bytes:
    """The data itself."""
    return data


def as_literal(data: bytes) -> bytes:
    """The data as a Python literal, ``b'hello python'``: ASCII, without control characters."""
    return repr(data).encode("ascii")


_DATA: Mapping[str, Callable[[bytes], bytes]] = {"bytes": as_received, "repr": as_literal}


class Stamp:
    """
    What stands before the data of a reply, made anew only when the clock reads otherwise.

    A clock that is set back is followed too, which is why both ends of the period are compared.
    """

    def __init__(self, style: str, read: Callable[[int], str], period: int, now: Now) -> None:
        """
        @param style: a format with one ``{}`` for the time.
        @param read: writes a moment as text.
        @param period: nanoseconds, counted from the epoch, in which `read` gives one and the same text.
        @param now: gives nanoseconds since the epoch.
        """
        self._style = style
        self._read = read
        self._period = period
        self._now = now
        self._since = self._until = 0
        self._text = b""

    def current(self) -> bytes:
        """The stamp of this moment."""
        read = self._now
        now = read()
        if not self._since <= now < self._until:
            self._renew(now)
        return self._text

    def _renew(self, now: int) -> None:
        self._since = now - now % self._period
        self._until = self._since + self._period
        self._text = self._style.format(self._read(now)).encode("ascii")


class ChunkTimestamp(Protocol):
    """One reply for each chunk: the stamp and the chunk, byte for byte."""

    transport: ITransport

    def __init__(self, stamp: Callable[[], bytes]) -> None:
        """@param stamp: gives the stamp of this moment, `Stamp.current`."""
        self._stamp = stamp

    def dataReceived(self, data: bytes) -> None:
        stamp = self._stamp
        self.transport.write(stamp() + data)


class ChunkLiteralTimestamp(ChunkTimestamp):
    """The same with the chunk as a Python literal; no newline follows it."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(as_literal(data))


@implementer(IHalfCloseableProtocol)
class LineTimestamp(Protocol):
    """One reply for each line. All replies of one chunk carry the same stamp and leave in one write."""

    transport: ITransport

    def __init__(self, stamp: Callable[[], bytes], show: Callable[[bytes], bytes], max_line: int) -> None:
        """
        @param stamp: gives the stamp of this moment, `Stamp.current`.
        @param show: `as_received` or `as_literal`.
        @param max_line: bytes that a line may have, without its end.
        """
        self._stamp = stamp
        self._show = show
        self._lines = LineSplitter(max_line)

    def dataReceived(self, data: bytes) -> None:
        lines = self._lines.feed(data)
        self._answer(lines)
        if lines and lines[-1] is None:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """The client has ended its sending: answer the line that it left unfinished, then close."""
        self._answer(self._lines.finish())
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The whole connection ends with this, and the transport sees to it."""

    def _answer(self, lines: list[bytes | None]) -> None:
        if lines:
            whole = [line for line in lines if line is not None]
            replies = self._replies(whole) if whole else b""
            self.transport.write(replies if len(whole) == len(lines) else replies + TOO_LONG)

    def _replies(self, lines: list[bytes]) -> bytes:
        """The replies to lines, of which there is one, in one piece."""
        stamp = self._stamp()
        # A CR at the end of a line as received stands where it belongs.
        shown = lines if self._show is as_received else map(self._shown, lines)
        return stamp + (b"\n" + stamp).join(shown) + b"\n"

    def _shown(self, line: bytes) -> bytes:
        text = line.removesuffix(b"\r")
        return self._show(text) + line[len(text) :]


class TimestampFactory(Factory[Protocol]):
    """Makes the timestamp of each connection; all share one stamp, which the clock renews for all at once."""

    noisy = False

    def __init__(
        self,
        framing: str = "chunk",
        style: str = "bracket",
        data: str = "bytes",
        clock: str = "ctime",
        max_line: int = 65536,
        now: Now = time_ns,
    ) -> None:
        """
        @param framing: ``chunk`` or ``line``.
        @param style: ``bracket`` or ``plain``.
        @param data: ``bytes`` or ``repr``.
        @param clock: ``ctime`` (local), ``iso`` (UTC, microseconds) or ``ns`` (nanoseconds since the epoch).
        @param max_line: bytes that a line may have, without its end; for line framing.
        @param now: gives nanoseconds since the epoch.
        @raise ValueError: a text is none of those.
        """
        read, period = _chosen("clock", clock, _CLOCKS)
        stamp = Stamp(_chosen("style", style, _STYLES), read, period, now).current
        show = _chosen("data", data, _DATA)
        chunks = ChunkTimestamp if show is as_received else ChunkLiteralTimestamp
        framings: Mapping[str, Callable[[], Protocol]] = {
            "chunk": lambda: chunks(stamp),
            "line": lambda: LineTimestamp(stamp, show, max_line),
        }
        self._make = _chosen("framing", framing, framings)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = self._make()
        protocol.factory = self
        return protocol


def _chosen(name: str, value: str, choices: Mapping[str, _Choice]) -> _Choice:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(choices)}")
    return choices[value]
