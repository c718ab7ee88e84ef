"""
Facts as a file of packets: what was received and sent, for those who look at it with Wireshark.

Datagrams are what they were. Connections are made up around the chunks that netsvc has read and written, for
whoever asks for them: a handshake where one was opened, segments with running numbers, and an end. What came
over TLS or WebSocket stands there as the service had it. Nothing is acknowledged, lost, repeated or cut as it
really was.

One file is made in one go, a fact at a time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from netsvc.facts import CLOSED, OPENED, RECEIVED, SENT, OriginRow, Row
from netsvc.journal.packets import (
    ACK,
    FIN,
    LARGEST_SEGMENT,
    PSH,
    RST,
    SYN,
    End,
    Ends,
    Packet,
    ends_of,
    tcp,
    udp,
)
from netsvc.journal.pcapng import INBOUND, OUTBOUND, interface, packet, section

#: Connections whose numbers are remembered, in some 500 bytes each; the one longest without a byte goes
#: first, and would go on with numbers that do not fit to those before.
MAX_CONNECTIONS = 65_536

#: Bytes of a chunk; a longer one is no fact that netsvc has noted.
LARGEST_CHUNK = 1 << 30

#: What the file says of itself.
_DATAGRAMS = (
    "Made of what netsvc noted: times, addresses, ports, lengths and payloads of datagrams are what they "
    "were; the rest of the headers is made up."
)
_CONNECTIONS = (
    " TCP connections are made up around the chunks that netsvc has read and written; what came over TLS or "
    "WebSocket is the plain text."
)

#: What a segment says of the chunk that has more of them.
_SPLIT = "part of a chunk of {length} bytes"


@dataclass
class _Connection:
    """
    A connection, on its way.

    @ivar ends: both of them.
    @ivar received: the number of the next byte from the client.
    @ivar sent: the number of the next byte to it.
    """

    ends: Ends
    received: int
    sent: int


class Capture:
    """
    A file of packets that is being made.

    @ivar packets: how many are in it.
    @ivar left_out: of what was received or sent how many facts are not in it, by the reason.
    """

    def __init__(self, application: str, connections: bool) -> None:
        """
        @param application: what makes the file.
        @param connections: whether connections are in it too.
        """
        self.packets = 0
        self.left_out: Counter[str] = Counter()
        self._application = application
        self._with_connections = connections
        self._connections: OrderedDict[int, _Connection] = OrderedDict()

    def begin(self) -> bytes:
        """What the file begins with."""
        comment = _DATAGRAMS + (_CONNECTIONS if self._with_connections else "")
        return section(self._application, comment) + interface("netsvc")

    def add(self, row: Row) -> Iterator[bytes]:
        """
        The packets of a fact, if it has any.

        @param row: later than those before.
        """
        origin, kind = row[3], row[2]
        if origin[6] is None:
            packets = self._datagram(row) if kind in (RECEIVED, SENT) else iter(())
        elif self._with_connections:
            packets = self._of_connection(row)
        else:
            packets = iter(())
            if kind in (RECEIVED, SENT):
                self.left_out["of connections"] += 1
        comment = _comment(row[0], origin)
        for direction, made, note in packets:
            self.packets += 1
            yield packet(row[1], made.data, made.length, direction, comment + note)

    # -- datagrams -----------------------------------------------------------------------------------

    def _datagram(self, row: Row) -> Iterator[tuple[int, Packet, str]]:
        _, _, kind, origin, length, data, _, _ = row
        ends = ends_of(origin)
        if ends is None:
            self.left_out["of UNIX sockets"] += 1
            return
        direction, source, target = _directed(kind, ends)
        made = udp(source, target, data or b"", length or 0)
        if made is None:
            self.left_out["with a length that none can have"] += 1
            return
        yield direction, made, ""

    # -- connections ---------------------------------------------------------------------------------

    def _of_connection(self, row: Row) -> Iterator[tuple[int, Packet, str]]:
        seq, _, kind, origin, length, data, reason, _ = row
        ends = ends_of(origin)
        if ends is None:
            if kind in (RECEIVED, SENT):
                self.left_out["of UNIX sockets"] += 1
            return
        if kind == OPENED:
            yield from self._handshake(self._begin(seq, origin[6], ends))
        elif kind == CLOSED:
            connection = self._connections.pop(origin[6], None)
            if connection is not None and connection.ends == ends:
                yield from _end(connection, reason)
        elif kind in (RECEIVED, SENT):
            if not len(data or b"") <= (length or 0) <= LARGEST_CHUNK:
                self.left_out["with a length that none can have"] += 1
                return
            yield from _segments(self._going_on(seq, origin[6], ends), kind, data or b"", length or 0)

    def _begin(self, seq: int, number: int, ends: Ends) -> _Connection:
        # Whoever comes from the same port again has to begin with other numbers, or it is taken for the same.
        connection = self._connections[number] = _Connection(ends, seq, seq * 3)
        self._connections.move_to_end(number)
        if len(self._connections) > MAX_CONNECTIONS:
            self._connections.popitem(last=False)
        return connection

    def _going_on(self, seq: int, number: int, ends: Ends) -> _Connection:
        connection = self._connections.get(number)
        if connection is None or connection.ends != ends:
            # Its beginning is not among these facts.
            return self._begin(seq, number, ends)
        self._connections.move_to_end(number)
        return connection

    def _handshake(self, connection: _Connection) -> Iterator[tuple[int, Packet, str]]:
        client, local = connection.ends
        yield INBOUND, tcp(client, local, SYN, connection.received, 0), ""
        connection.received += 1
        yield OUTBOUND, tcp(local, client, SYN | ACK, connection.sent, connection.received), ""
        connection.sent += 1
        yield INBOUND, tcp(client, local, ACK, connection.received, connection.sent), ""


def _segments(
    connection: _Connection, kind: str, data: bytes, length: int
) -> Iterator[tuple[int, Packet, str]]:
    direction, source, target = _directed(kind, connection.ends)
    note = "" if length <= LARGEST_SEGMENT else f", {_SPLIT.format(length=length)}"
    for begin in range(0, length, LARGEST_SEGMENT):
        size = min(LARGEST_SEGMENT, length - begin)
        payload = data[begin : begin + size]
        if kind == RECEIVED:
            numbers = connection.received, connection.sent
            connection.received += size
        else:
            numbers = connection.sent, connection.received
            connection.sent += size
        yield direction, tcp(source, target, PSH | ACK, *numbers, payload, size), note


def _end(connection: _Connection, reason: str | None) -> Iterator[tuple[int, Packet, str]]:
    (client, local), received, sent = connection.ends, connection.received, connection.sent
    note = f", {reason}" if reason else ""
    if reason == "reset":
        yield INBOUND, tcp(client, local, RST | ACK, received, sent), note
        return
    first, last = (INBOUND, client, received), (OUTBOUND, local, sent)
    if reason not in (None, "fin"):
        # It was not the client who ended it.
        first, last = last, first
    (way, near, number), (back, far, other) = first, last
    yield way, tcp(near, far, FIN | ACK, number, other), note
    yield back, tcp(far, near, FIN | ACK, other, number + 1), note
    yield way, tcp(near, far, ACK, number + 1, other + 1), note


def _directed(kind: str, ends: Ends) -> tuple[int, End, End]:
    """The direction, the source and the target of what was received or sent."""
    return (INBOUND, ends.client, ends.local) if kind == RECEIVED else (OUTBOUND, ends.local, ends.client)


def _comment(seq: int, origin: OriginRow) -> str:
    number = "" if origin[6] is None else f", connection {origin[6]}"
    return f"{origin[0]}, {origin[1]}{number}, fact {seq}"
