"""
Long answers, made while they are sent: in slices of the reactor's time, and only as fast as the client reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from netsvc.web.answers import encoded

#: Seconds that the slices of all answers take together in a turn; everybody else waits for so long, a message
#: or two being quicker than that.
SLICE = 0.003

#: Bytes that are written at once.
CHUNK = 65_536

#: How often that is done in one slice, whatever the clock says, which somebody may set back.
CHUNKS = 8


@implementer(IPushProducer)
class Pieces:
    """Writes what an iterator gives, and ends the answer with it."""

    def __init__(self, request: Any, pieces: Iterator[bytes], clock: IReactorTime) -> None:
        """
        @param request: a `netsvc.web.request.Request` whose headers are complete.
        @param pieces: parts of the body, each made in far less than a slice.
        @param clock: measures the slices, and calls for the next.
        """
        self._request = request
        self._pieces = pieces
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._paused = False
        # Those of the daemon that are being made, of which we are one from `begin` to the end.
        self._others: set[object] = request.site.long_answers

    def begin(self) -> int:
        """
        Begin to write.

        @return: what a resource's render returns.
        """
        request = self._request
        if request.method == b"HEAD":
            request.write(b"")
            request.finish()
            return NOT_DONE_YET
        request.notifyFinish().addErrback(self._lost)
        request.registerProducer(self, True)
        self._others.add(self)
        self._go_on()
        return NOT_DONE_YET

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._paused = False
        if self._call is None:
            self._call = self._clock.callLater(0, self._go_on)

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self._paused = True
        self._others.discard(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _lost(self, _: object) -> None:
        self.stopProducing()

    def _go_on(self) -> None:
        self._call = None
        end = self._clock.seconds() + SLICE / max(1, len(self._others))
        try:
            for _ in range(CHUNKS):
                chunk, complete = self._chunk(end)
                if chunk:
                    self._request.write(chunk)
                if complete:
                    self._others.discard(self)
                    self._request.unregisterProducer()
                    self._request.finish()
                    return
                if self._paused or self._clock.seconds() >= end:
                    break
        except Exception:  # noqa: BLE001 - as wherever a resource fails
            self._others.discard(self)
            self._request.unregisterProducer()
            self._request.failed(Failure())
            return
        if not self._paused and self._call is None:
            self._call = self._clock.callLater(0, self._go_on)

    def _chunk(self, end: float) -> tuple[bytes, bool]:
        """What there is to write, and whether that is all."""
        chunk = bytearray()
        while len(chunk) < CHUNK and not self._paused:
            piece = next(self._pieces, None)
            if piece is None:
                return bytes(chunk), True
            chunk += piece
            if self._clock.seconds() >= end:
                break
        return bytes(chunk), False


def array(
    key: str, rows: Iterable[Mapping[str, Any]], members: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    """
    A JSON object with an array in it, in pieces.

    @param key: of the array.
    @param rows: its members, each made when its piece is.
    @param members: the object's other members.
    """
    yield b'{"%b":[' % key.encode("ascii")
    comma = b""
    for row in rows:
        yield comma + encoded(row)
        comma = b","
    rest = encoded(members or {})[1:]
    yield (b"]," if members else b"]") + rest + b"\n"
