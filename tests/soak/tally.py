"""What one load has sent and got back, and every difference that it saw."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Differences of one load that are kept in words; the others are only counted.
_TOLD = 20


@dataclass
class Tally:
    """
    The books of one load.

    @ivar name: what the load is.
    @ivar sent: messages sent.
    @ivar sent_bytes: and their bytes.
    @ivar back: messages that came back.
    @ivar back_bytes: and their bytes.
    @ivar opened: connections made.
    @ivar differences: how many things were not as they should have been.
    @ivar told: the first of them, in words.
    """

    name: str
    sent: int = 0
    sent_bytes: int = 0
    back: int = 0
    back_bytes: int = 0
    opened: int = 0
    differences: int = 0
    told: list[str] = field(default_factory=list)

    def send(self, data: bytes) -> None:
        """Count a message that goes out."""
        self.sent += 1
        self.sent_bytes += len(data)

    def receive(self, data: bytes) -> None:
        """Count an answer."""
        self.back += 1
        self.back_bytes += len(data)

    def differ(self, what: str) -> None:
        """Note that something was not as it should have been."""
        self.differences += 1
        if len(self.told) < _TOLD:
            self.told.append(f"{self.name}: {what}")

    def expect(self, what: str, found: object, expected: object) -> None:
        """Note a difference where there is one."""
        if found != expected:
            self.differ(f"{what}: {_short(found)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
