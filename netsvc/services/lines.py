"""Lines from a stream of bytes, whatever pieces it comes in."""

from __future__ import annotations


class LineSplitter:
    """Cuts a stream into lines and holds at most one unfinished line."""

    def __init__(self, max_line: int) -> None:
        """@param max_line: bytes that a line may have, without its end."""
        self._max_line = max_line
        self._rest = bytearray()
        self._given_up = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """
        Take the next piece.

        @return: the lines that are now complete, each without its LF; a CR before the LF is still there.
            None in the place of a line says that it is longer than allowed; it is the last that there is,
            and whatever is fed later gives nothing.
        """
        if self._given_up:
            return []
        *lines, rest = data.split(b"\n")
        if lines and self._rest:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += rest
        # None is longer than all that came and the first, which may have begun before.
        if len(data) > self._max_line or (lines and len(lines[0]) > self._max_line):
            for number, line in enumerate(lines):
                if self._exceeds(line):
                    return self._give_up_after(lines[:number])
        if self._exceeds(self._rest):
            return self._give_up_after(lines)
        return [*lines]

    def finish(self) -> list[bytes | None]:
        """The stream has ended: give the last line, if it lacks its LF, as `feed` would with one."""
        return self.feed(b"\n") if self._rest else []

    def _exceeds(self, line: bytes | bytearray) -> bool:
        # Of an unfinished line the last CR may yet turn out to belong to its end.
        return len(line) - line.endswith(b"\r") > self._max_line

    def _give_up_after(self, lines: list[bytes]) -> list[bytes | None]:
        self._given_up = True
        self._rest.clear()
        return [*lines, None]
