"""
What `netsvc listen` has received, how it is printed, and when it is enough.

It is printed while it is read, so that a slow reader of our output slows us and fills no memory.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from time import time_ns
from typing import Any, BinaryIO

import click

from twisted.internet.defer import Deferred

#: Where a message came from: an IP address or a path, and the port, which a UNIX socket has not.
Peer = tuple[str, int | None]


@dataclass(frozen=True)
class Style:
    """
    How what arrives is printed.

    @ivar json: as lines of JSON.
    @ivar hex: bytes as hexadecimal digits, not as a Python literal.
    """

    json: bool = False
    hex: bool = False

    def message(self, url: str, peer: Peer, data: bytes) -> str:
        """The line for a datagram or a chunk."""
        if self.json:
            return _json("received", url, peer, length=len(data), data=b64encode(data).decode("ascii"))
        return f"Got message from {_shown(peer)}: {data.hex(' ') if self.hex else repr(data)}"

    def end(self, url: str, peer: Peer) -> str:
        """The line for the end of a connection."""
        return _json("closed", url, peer) if self.json else f"End of the connection from {_shown(peer)}"


class Reception:
    """
    What has come so far, and when it is enough.

    @ivar received: how many messages have come.
    @ivar done: fires when enough has come or no more is waited for; with whether that is a success.
    """

    def __init__(
        self,
        reactor: Any,
        style: Style,
        count: int | None,
        timeout: float | None,
        payloads: BinaryIO | None = None,
        lines: Callable[[str], None] | None = click.echo,
    ) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param style: how it is printed.
        @param count: how many messages are enough; None for no end.
        @param timeout: seconds to wait for each message; None waits for ever.
        @param payloads: takes the bytes of each message as they are.
        @param lines: prints a line; None prints none.
        """
        self.done: Deferred[bool] = Deferred()
        self._style = style
        self._count = count
        self.received = 0
        self._payloads = payloads
        self._lines = lines
        self._timeout = timeout
        self._waiting = reactor.callLater(timeout, self._give_up) if timeout is not None else None

    def message(self, url: str, peer: Peer, data: bytes) -> bool:
        """
        A message has come.

        @return: whether more is wanted.
        """
        if self.done.called:
            return False
        self.received += 1
        if self._timeout is not None and self._waiting is not None:
            self._waiting.reset(self._timeout)
        self._write(self._style.message(url, peer, data), data)
        if self.received == self._count and not self.done.called:
            self._finish(True)
        return not self.done.called

    def end(self, url: str, peer: Peer) -> None:
        """A connection has ended."""
        if not self.done.called:
            self._write(self._style.end(url, peer), b"")

    def _write(self, line: str, data: bytes) -> None:
        try:
            if self._payloads is not None and data:
                self._payloads.write(data)
                self._payloads.flush()
            if self._lines is not None:
                self._lines(line)
        except OSError as error:
            self._stop_waiting()
            self.done.errback(error)

    def _give_up(self) -> None:
        self._waiting = None
        # Silence is how one that was told no number ends.
        self._finish(self._count is None and self.received > 0)

    def _finish(self, success: bool) -> None:
        self._stop_waiting()
        self.done.callback(success)

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


def _shown(peer: Peer) -> str:
    # A UNIX client's path may have any letters, and not every terminal's encoding has all of them.
    return ascii(peer[0] if peer[1] is None else peer)


def _json(kind: str, url: str, peer: Peer, **more: Any) -> str:
    row = {"time": str(time_ns()), "kind": kind, "listener": url, "address": peer[0], "port": peer[1], **more}
    return json.dumps(row)
