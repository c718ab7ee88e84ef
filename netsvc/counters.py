"""What was counted on one listener: plain numbers that a page, a metric or another process can take as is."""

from __future__ import annotations

from dataclasses import dataclass, field


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

    def add(self, other: Counts) -> None:
        """Count what another one has counted."""
        self.opened += other.opened
        self.closed += other.closed
        self.messages_in += other.messages_in
        self.bytes_in += other.bytes_in
        self.messages_out += other.messages_out
        self.bytes_out += other.bytes_out
        for reason, count in other.refused.items():
            self.refuse(reason, count)

    def refuse(self, reason: str, count: int = 1) -> None:
        """
        Count what was refused.

        @param reason: the limit's name.
        """
        self.refused[reason] = self.refused.get(reason, 0) + count
