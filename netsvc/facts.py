"""
What happened, as small frozen values, and the one dispatcher that they pass through.

A fact is a *row*: an exact tuple of int, bytes, str, None and further such tuples, because the garbage
collector stops tracking those, so that a ring of hundreds of thousands costs its passes nothing. A row is

    (seq, time, kind, origin, length, data, reason, detail)

- seq: int, rises from fact to fact, also across restarts (microseconds since the epoch when its batch began,
  and one more for each fact in it);
- time: int, nanoseconds since the epoch;
- kind: one of `KINDS`;
- origin: (service, listener, transport, address, port, local, connection), see `Origin`; one tuple per
  connection, shared by all its rows;
- length: int, the true number of bytes, or None where there are none;
- data: bytes, at most `capture` of them, or None;
- reason: str or None, why it was closed or refused;
- detail: a tuple of (key, value) pairs with what else is known; values are str, int, float, None or again
  such tuples.

Everything that somebody reads (names, base64, JSON) is made from a row when it is read. So is the row itself.
What is noted are five values, a *note*:

    time, kind, origin, data, more

where data is ``b""`` if there is none, and more is (length, reason, detail), or None if the data is whole and
nothing else is known, as with nearly every message. Notes are handed on by the batch: all their values one
after the other in one flat tuple, with the seq of the first note; each has one more than the one before it.
So a message costs the making of its note and one ``+=`` on a list, see `Facts.book`, and keeps no object that
the garbage collector ever looks at, which cost a seventh of all else that a message does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from time import time_ns
from typing import Any, NamedTuple, Protocol, Self

from twisted.logger import Logger

from netsvc.interfaces import IFactArchive, IFactSink

OPENED, RECEIVED, SENT, CLOSED, REFUSED = "opened", "received", "sent", "closed", "refused"
KINDS = (OPENED, RECEIVED, SENT, CLOSED, REFUSED)

Row = tuple[Any, ...]

#: The values of one note; and those of many, flat.
Note = tuple[int, str, "OriginRow", bytes, "tuple[int | None, str | None, Detail] | None"]
Notes = tuple[Any, ...]

#: How many they are.
NOTE = 5
OriginRow = tuple[str, str, str, str, int | None, str, int | None]
Detail = tuple[tuple[str, Any], ...]

#: Nothing more is known.
NO_DETAIL: Detail = ()

#: Seconds that a note waits for others to be handed on with; a batch costs as much as a message or two.
BATCH_SECONDS = 0.005


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


class Book(Protocol):
    """
    Where the messages of one service are noted: a list, or what has to look like one.

    One that is false asks whoever notes something to call `Facts.begin` first.
    """

    def __iadd__(self, note: Note, /) -> Self:
        """Note something."""


class Room(Protocol):
    """
    What a sink has left, in the present second, for the messages of one listener.

    @ivar full: it would take no more of them; they are counted in `hidden` then, instead of given to it.
    """

    full: bool
    hidden: int


#: A sink that is told at once, whether it wants facts of a service and a kind, and its room for a listener.
_Told = tuple[IFactSink, Callable[[str, str], bool], Callable[[str], Room]]


class Facts:
    """
    The dispatcher: numbers facts and hands them on.

    There are three ways to get them. An archive takes them by the batch, which costs least. A sink is given
    each one with its seq when its batch is handed on. And a sink may be told at once of the facts that it
    names: the log is, so that its lines stand where they belong.

    Whoever raises loses what it was given, which is counted in `missed`; nobody else notices.

    @ivar missed: for each that ever raised, by its class's name, how many facts it lost.
    """

    _log = Logger()

    def __init__(
        self,
        capture: int = 4096,
        clock: Callable[[], int] = time_ns,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """
        @param capture: bytes of each message kept in its note.
        @param clock: gives nanoseconds since the epoch.
        @param later: calls something after so many seconds, `IReactorTime.callLater`; None makes every fact a
            batch of its own.
        """
        self.missed: dict[str, int] = {}
        self.capture = capture
        self._clock = clock
        self._later = later
        self._seq = 0
        self._first = 0
        self._connections = 0
        self._pending: list[Any] = []
        self._expected = False
        self._archives: tuple[IFactArchive, ...] = ()
        self._sinks: tuple[IFactSink, ...] = ()
        self._told: tuple[_Told, ...] = ()

    # -- those who take them -------------------------------------------------------------------------

    def subscribe(self, sink: IFactSink) -> Callable[[], None]:
        """
        Hand every later fact to a sink.

        @return: call it to hand it no more.
        """
        self.flush()
        self._sinks = (*self._sinks, sink)

        def unsubscribe() -> None:
            self.flush()
            self._sinks = tuple(other for other in self._sinks if other is not sink)

        return unsubscribe

    def keep(self, archive: IFactArchive) -> Callable[[], None]:
        """
        Hand every later batch to an archive.

        @return: call it to hand it no more.
        """
        self.flush()
        self._archives = (*self._archives, archive)

        def forget() -> None:
            self.flush()
            self._archives = tuple(other for other in self._archives if other is not archive)

        return forget

    def tell(self, sink: IFactSink, wants: Callable[[str, str], bool], room: Callable[[str], Room]) -> None:
        """
        Tell a sink at once of some facts, those of services' messages only where it says so before `book`.

        @param wants: whether it wants facts of a service and a kind. The seq of what it is given is 0.
        @param room: its room for the messages of a listener, which stays the same as long as the listener.
        """
        self._told = (*self._told, (sink, wants, room))

    def flush(self) -> None:
        """Hand on what waits, now."""
        if not self._pending:
            return
        # A tuple of what the garbage collector does not track it looks at once, and then tracks no more.
        notes, first = tuple(self._pending), self._first
        self._pending.clear()
        count = len(notes) // NOTE
        self._seq = first + count - 1
        for archive in self._archives:
            try:
                archive.take(first, notes)
            except Exception as error:  # noqa: BLE001 - it may be anybody's and may raise anything
                self._count_missed(archive, error, count)
        for sink in self._sinks:
            for row in rows_of(first, notes):
                self._give(sink, row)

    @property
    def waiting(self) -> bool:
        """Whether something waits to be handed on."""
        return bool(self._pending)

    def lag(self) -> float:
        """For how many seconds the oldest note that waits has been waiting."""
        return max(0.0, (self._clock() - self._pending[0]) / 1e9) if self._pending else 0.0

    # -- those who note them -------------------------------------------------------------------------

    def begin_after(self, seq: int) -> None:
        """Number all facts to come higher than one that is there already."""
        self.flush()
        self._seq = max(self._seq, seq)

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
        more = (None if data is None else len(data), reason, detail)
        self._note((self._clock(), kind, origin, (data or b"")[: self.capture], more))

    def book(self, service: str, listener: str, kinds: Iterable[str] = (RECEIVED, SENT)) -> Book:
        """
        Where to note the messages on a listener, for those to whom a call of `emit` is too dear.

        They call `begin` where the book is false, and add notes that they made as `emit` makes them, their
        data cut to `capture` bytes.

        @param kinds: of what kinds the notes will be.
        """
        if self._later is None:
            return _UnbatchedBook(self._note)
        told = tuple(
            (kind, room(listener), partial(self._give, sink))
            for sink, wants, room in self._told
            for kind in kinds
            if wants(service, kind)
        )
        if told:
            return _ToldBook(self._pending, self.begin, told)
        return self._pending  # a list is false when it is empty

    def begin(self, now: int) -> None:
        """
        A batch begins with the next note.

        @param now: the note's time.
        """
        self._first = max(now // 1000, self._seq + 1)
        if self._later is not None and not self._expected:
            self._expected = True
            self._later(BATCH_SECONDS, self._end_batch)

    def _end_batch(self) -> None:
        self._expected = False
        self.flush()

    def _note(self, note: Note) -> None:
        if not self._pending:
            self.begin(note[0])
        self._pending += note
        _, kind, origin, *_ = note
        for sink, wants, _ in self._told:
            if wants(origin[0], kind):
                self._give(sink, next(rows_of(0, note)))
        if self._later is None:
            self.flush()

    def _give(self, sink: IFactSink, row: Row) -> None:
        try:
            sink.note(row)
        except Exception as error:  # noqa: BLE001 - as above
            self._count_missed(sink, error, 1)

    def _count_missed(self, who: object, error: Exception, lost: int) -> None:
        name = type(who).__name__
        before = self.missed.get(name, 0)
        count = self.missed[name] = before + lost
        # Said at the first loss and then ever more rarely: what fails does so for every fact.
        if count.bit_length() != before.bit_length():
            self._log.error(
                "{sink} could not take a fact ({error}); {count} lost so far",
                sink=name,
                error=repr(error),
                count=count,
            )


class _UnbatchedBook:
    """A book each of whose notes is handed on by itself."""

    __slots__ = ("_note",)

    def __init__(self, note: Callable[[Note], None]) -> None:
        self._note = note

    def __bool__(self) -> bool:
        # Who makes the note known begins the batch too.
        return True

    def __iadd__(self, note: Note) -> Self:
        self._note(note)
        return self


class _ToldBook:
    """A book of whose notes sinks are told at once, as long as they have room."""

    # Never false, for it begins its batches itself; without a method to say so, which would be called.
    __slots__ = ("_begin", "_pending", "_told")

    def __init__(
        self,
        pending: list[Any],
        begin: Callable[[int], None],
        told: tuple[tuple[str, Room, Callable[[Row], None]], ...],
    ) -> None:
        self._pending = pending
        self._begin = begin
        self._told = told

    def __iadd__(self, note: Note) -> Self:
        pending = self._pending
        if not pending:
            self._begin(note[0])
        pending += note
        for kind, room, give in self._told:
            if kind != note[1]:
                continue
            if room.full:
                room.hidden += 1
            else:
                give(next(rows_of(0, note)))
        return self


class _Nowhere:
    """The book of a service whose messages are not facts."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __iadd__(self, note: Note) -> _Nowhere:
        return self


#: What to note messages in that are not facts.
NOWHERE: Book = _Nowhere()


def rows_of(first: int, notes: Notes) -> Iterator[Row]:
    """
    Make rows of notes.

    @param first: the seq of the first.
    @param notes: their values, flat.
    """
    values = iter(notes)
    for seq, note in enumerate(zip(values, values, values, values, values, strict=True), first):
        time, kind, origin, data, more = note
        if more is None:
            yield (seq, time, kind, origin, len(data), data, None, NO_DETAIL)
        else:
            length, reason, detail = more
            yield (seq, time, kind, origin, length, None if length is None else data, reason, detail)
