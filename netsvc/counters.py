"""What was counted, by listener: plain numbers that a page, a metric or another process can take as is."""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import implementer

from netsvc.facts import CLOSED, OPENED, RECEIVED, REFUSED, SENT, Row
from netsvc.interfaces import IFactSink


@dataclass(slots=True)
class Counts:
    """
    One listener's numbers since the start.

    @ivar opened: connections that reached the service.
    @ivar closed: of those, how many have ended.
    @ivar messages_in: chunks or datagrams received.
    @ivar bytes_in: their bytes.
    @ivar messages_out: chunks or datagrams sent.
    @ivar bytes_out: their bytes.
    @ivar refused: for each reason, how many connections or datagrams were refused.
    """

    opened: int = 0
    closed: int = 0
    messages_in: int = 0
    bytes_in: int = 0
    messages_out: int = 0
    bytes_out: int = 0
    refused: dict[str, int] = field(default_factory=dict)


@implementer(IFactSink)
class Counters:
    """
    Counts facts by listener.

    @ivar by_listener: the numbers, by the listener's URL; there are as many as there are listeners.
    """

    def __init__(self) -> None:
        self.by_listener: dict[str, Counts] = {}

    def note(self, row: Row) -> None:
        """Count a fact; see `IFactSink`."""
        kind = row[2]
        listener = row[3][1]
        counts = self.by_listener.get(listener)
        if counts is None:
            counts = self.by_listener[listener] = Counts()
        if kind == RECEIVED:
            counts.messages_in += 1
            counts.bytes_in += row[4]
        elif kind == SENT:
            counts.messages_out += 1
            counts.bytes_out += row[4]
        elif kind == OPENED:
            counts.opened += 1
        elif kind == CLOSED:
            counts.closed += 1
        elif kind == REFUSED:
            reason = row[6]
            counts.refused[reason] = counts.refused.get(reason, 0) + 1
