"""
Who is here, in memory: the first implementation of `IClientStore`, and the one that every other feeds.

An entry is either registered, and then leaves at its time, or held by a client that is still connected.
Where there are too many, the oldest registered one leaves first: of a held one it is certain that its client
is there, so those leave only when there are no others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from zope.interface import implementer

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from netsvc.clientlist.deadlines import Deadlines
from netsvc.clientlist.encoded import EncodedList, quoted
from netsvc.interfaces import IClientStore

JOINED, LEFT = "joined", "left"

Changed = Callable[[str, dict[str, Any]], None]


class _Entry(NamedTuple):
    name: str
    address: str
    port: int | None

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "address": self.address, "port": self.port}

    def encoded(self) -> str:
        """The document as `json.dumps` writes it."""
        port = "null" if self.port is None else self.port
        return f'{{"name": {quoted(self.name)}, "address": {quoted(self.address)}, "port": {port}}}'


class _Addresses:
    """Which names have an address. The address ``""`` is nobody's, for it is every unnamed UNIX socket's."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, entry: _Entry) -> None:
        if entry.address:
            self._names.setdefault(entry.address, set()).add(entry.name)

    def discard(self, entry: _Entry) -> None:
        names = self._names.get(entry.address)
        if names is None:
            return
        names.discard(entry.name)
        if not names:
            del self._names[entry.address]
        elif len(names) == 1:
            # Made anew: a set keeps the room of its fullest day, all of which is searched for its one item.
            self._names[entry.address] = set(names)

    def only_name(self, address: str) -> str | None:
        names = self._names.get(address)
        return next(iter(names)) if names is not None and len(names) == 1 else None


@implementer(IClientStore)
class ClientList:
    """
    The client list of this process.

    What subscribers are told is in order for all of them, also when one of them changes the list meanwhile.
    A replaced entry leaves and the new one joins; one that is renewed as it was is no change.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """@param clock: for the entries' time to live."""
        self._entries: dict[str, _Entry] = {}
        # Names in the order of their entering, oldest first.
        self._registered: OrderedDict[str, None] = OrderedDict()
        self._held: OrderedDict[str, None] = OrderedDict()
        self._deadlines = Deadlines(clock, self._end)
        self._encoded = EncodedList()
        self._addresses = _Addresses()
        self._subscribers: dict[object, Changed] = {}
        self._untold: deque[tuple[str, _Entry]] = deque()
        self._telling = False
        self._failures = 0

    def register(self, name: str, address: str, port: int | None, ttl: float, max_clients: int) -> None:
        """See `IClientStore`."""
        self._enter(_Entry(name, address, port), self._registered, max_clients)
        if ttl > 0:
            self._deadlines.set(name, ttl)
        self._tell()

    def hold(self, name: str, address: str, port: int | None, max_clients: int) -> Callable[[], None]:
        """See `IClientStore`."""
        entry = _Entry(name, address, port)
        self._enter(entry, self._held, max_clients)
        self._tell()

        def let_go() -> None:
            if self._entries.get(name) is entry:
                self._remove(entry)
                self._tell()

        return let_go

    def encoded(self) -> bytes:
        """See `IClientStore`. It is ASCII on one line; the same bytes are returned until the list changes."""
        return self._encoded.whole()

    def pieces(self) -> Iterator[bytes]:
        """
        The same list for a reader that takes its time, in pieces of some 10 KB that it need not keep.

        Each piece is read when it is asked for. Every client that is there now and stays is in the list; one
        that leaves before its place was read may be missing, one that comes later is not in it, and no name
        is in it twice.
        """
        return self._encoded.pieces()

    def newest(self, limit: int) -> bytes:
        """See `IClientStore`."""
        return self._encoded.newest(limit)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> dict[str, dict[str, Any]]:
        """See `IClientStore`. All of it is the caller's own."""
        return {name: entry.document() for name, entry in self._entries.items()}

    def name_of(self, address: str) -> str | None:
        """See `IClientStore`."""
        return self._addresses.only_name(address)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """See `IClientStore`. One that raises misses that change, which is logged; nobody else notices."""
        token = object()
        self._subscribers[token] = changed

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    def close(self) -> None:
        """Let no entry end by itself any more, so that nothing is left with the clock; the list stays."""
        self._deadlines.close()

    # -- entries come and go -----------------------------------------------------------------------------

    def _enter(self, entry: _Entry, ages: OrderedDict[str, None], max_clients: int) -> None:
        old = self._entries.get(entry.name)
        if old is not None:
            self._forget(old)
        # Before the new one is there, so that it cannot be the one that leaves.
        while self._entries and len(self._entries) >= max_clients:
            self._remove(self._oldest())
        self._entries[entry.name] = entry
        ages[entry.name] = None
        self._addresses.add(entry)
        if old == entry:
            return
        if old is not None:
            self._untold.append((LEFT, old))
        self._encoded.set(entry.name, entry.encoded())
        self._untold.append((JOINED, entry))

    def _oldest(self) -> _Entry:
        return self._entries[next(iter(self._registered or self._held))]

    def _end(self, name: str) -> None:
        self._remove(self._entries[name])
        self._tell()

    def _remove(self, entry: _Entry) -> None:
        self._forget(entry)
        self._encoded.discard(entry.name)
        self._untold.append((LEFT, entry))

    def _forget(self, entry: _Entry) -> None:
        """Take an entry out of everything but the encoded list, where a new one takes its place."""
        del self._entries[entry.name]
        self._registered.pop(entry.name, None)
        self._held.pop(entry.name, None)
        self._deadlines.discard(entry.name)
        self._addresses.discard(entry)

    # -- subscribers -------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Tell what is untold, unless that is going on further up the stack, which then tells this too."""
        if self._telling:
            return
        if not self._subscribers:
            self._untold.clear()
            return
        self._telling = True
        try:
            while self._untold:
                kind, entry = self._untold.popleft()
                for token, changed in tuple(self._subscribers.items()):
                    if token in self._subscribers:
                        self._tell_one(changed, kind, entry)
        finally:
            self._telling = False

    def _tell_one(self, changed: Changed, kind: str, entry: _Entry) -> None:
        try:
            changed(kind, entry.document())
        except Exception:  # noqa: BLE001 - a subscriber may be anybody's and may raise anything
            self._failures += 1
            # Logged at the first and then ever more rarely: one that fails does so at every change.
            if self._failures & (self._failures - 1) == 0:
                self._log.failure(
                    "a subscriber to the client list failed; {count} changes missed so far",
                    count=self._failures,
                )
