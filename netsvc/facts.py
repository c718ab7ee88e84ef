"""
What happened, as small frozen values, and the one dispatcher that they pass through.

A fact is a *row*: an exact tuple of int, bytes, str, None and further such tuples, because the garbage
collector stops tracking those, so that a ring of hundreds of thousands costs its passes nothing. A row is

    (seq, time, kind, origin, length, data, reason, detail)

- seq: int, rises from fact to fact, also across restarts (microseconds since the epoch, or one more than the
  last where that would not rise);
- time: int, nanoseconds since the epoch;
- kind: one of `KINDS`;
- origin: (service, listener, transport, address, port, local, connection), see `Origin`; one tuple per
  connection, shared by all its rows;
- length: int, the true number of bytes, or None where there are none;
- data: bytes, at most `capture` of them, or None;
- reason: str or None, why it was closed or refused;
- detail: a tuple of (key, value) pairs with what else is known; values are str, int, float, None or again
  such tuples.

Everything that somebody reads (names, base64, JSON) is made from a row when it is read.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from time import time_ns
from typing import Any, NamedTuple

from twisted.logger import Logger

from netsvc.interfaces import IFactSink

OPENED, RECEIVED, SENT, CLOSED, REFUSED = "opened", "received", "sent", "closed", "refused"
KINDS = (OPENED, RECEIVED, SENT, CLOSED, REFUSED)

Row = tuple[Any, ...]
OriginRow = tuple[str, str, str, str, int | None, str, int | None]
Detail = tuple[tuple[str, Any], ...]

#: Nothing more is known.
NO_DETAIL: Detail = ()


class Origin(NamedTuple):
    """
    Where a fact comes from, for those who read one; rows hold the plain tuple (``tuple(origin)``).

    @ivar service: the service's name.
    @ivar listener: the listener's URL, such as ``tcp://127.0.0.1:8009``.
    @ivar transport: ``tcp``, ``tls``, ``unix``, ``udp``, ``unix-datagram``.
    @ivar address: the client's address, a path, or ``""``.
    @ivar port: the client's port, None on UNIX sockets.
    @ivar local: the address and port that the client reached, ``127.0.0.1:8009``.
    @ivar connection: the connection's number in this process, None for datagrams.
    """

    service: str
    listener: str
    transport: str
    address: str
    port: int | None
    local: str
    connection: int | None


class Fact(NamedTuple):
    """A row with names to its columns, for those who read; see the head of this file."""

    seq: int
    time: int
    kind: str
    origin: Origin
    length: int | None
    data: bytes | None
    reason: str | None
    detail: Detail

    @classmethod
    def of(cls, row: Row) -> Fact:
        """Give the columns of a row their names."""
        seq, time, kind, origin, *rest = row
        return cls(seq, time, kind, Origin(*origin), *rest)

    def as_json(self, name_of: Callable[[str], str | None]) -> dict[str, Any]:
        """
        The fact as a dictionary ready for JSON.

        @param name_of: gives the client's name for an address, `IClientStore.name_of`.
        """
        document: dict[str, Any] = {
            "seq": self.seq,
            "time": str(self.time),
            "kind": self.kind,
            "service": self.origin.service,
            "listener": self.origin.listener,
            "transport": self.origin.transport,
            "address": self.origin.address,
            "port": self.origin.port,
            "local": self.origin.local,
            "connection": self.origin.connection,
            "name": name_of(self.origin.address) if self.origin.address else None,
            "length": self.length,
            "data": None if self.data is None else base64.b64encode(self.data).decode("ascii"),
            "reason": self.reason,
        }
        document.update(_plain(self.detail))
        return document


def _plain(detail: Detail) -> dict[str, Any]:
    return {key: _plain(value) if isinstance(value, tuple) else value for key, value in detail}


class Facts:
    """
    The dispatcher: numbers facts and hands each to every sink.

    A sink that raises loses that fact, which is counted in `missed`; nobody else notices.

    @ivar missed: for each sink that ever raised, by its class's name, how many facts it lost.
    """

    _log = Logger()

    def __init__(self, capture: int = 4096, clock: Callable[[], int] = time_ns) -> None:
        """
        @param capture: bytes of each message kept in its row.
        @param clock: gives nanoseconds since the epoch.
        """
        self.missed: dict[str, int] = {}
        self._capture = capture
        self._clock = clock
        self._seq = 0
        self._connections = 0
        self._notes: tuple[Callable[[Row], None], ...] = ()

    def subscribe(self, sink: IFactSink) -> Callable[[], None]:
        """
        Hand every later fact to a sink.

        @return: call it to hand it no more.
        """
        note = sink.note
        self._notes = (*self._notes, note)

        def unsubscribe() -> None:
            self._notes = tuple(other for other in self._notes if other is not note)

        return unsubscribe

    def next_connection(self) -> int:
        """A number for a new connection, never used before in this process."""
        self._connections += 1
        return self._connections

    def emit(
        self,
        kind: str,
        origin: OriginRow,
        data: bytes | None = None,
        reason: str | None = None,
        detail: Detail = NO_DETAIL,
    ) -> None:
        """
        Note that something happened, now.

        @param kind: one of `KINDS`.
        @param origin: an exact tuple with the fields of `Origin`.
        @param data: all the bytes; what is kept of them is cut here.
        @param reason: why, for ``closed`` and ``refused``.
        @param detail: what else is known.
        """
        now = self._clock()
        seq = now // 1000
        if seq <= self._seq:
            seq = self._seq + 1
        self._seq = seq
        if data is None:
            row: Row = (seq, now, kind, origin, None, None, reason, detail)
        else:
            length = len(data)
            if length > self._capture:
                data = data[: self._capture]
            row = (seq, now, kind, origin, length, data, reason, detail)
        for note in self._notes:
            try:
                note(row)
            except Exception as error:  # noqa: BLE001 - a sink may be anybody's and may raise anything
                self._count_missed(note, error)

    def _count_missed(self, note: Callable[[Row], None], error: Exception) -> None:
        name = type(getattr(note, "__self__", note)).__name__
        count = self.missed[name] = self.missed.get(name, 0) + 1
        # Said at the first loss and then ever more rarely: a sink that fails does so for every fact.
        if count & (count - 1) == 0:
            self._log.error(
                "{sink} could not take a fact ({error}); {count} lost so far",
                sink=name,
                error=repr(error),
                count=count,
            )
