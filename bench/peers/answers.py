"""What the Python peers answer, in the cheapest way that is still the work: the same code for all of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable


def _stamps() -> Callable[[], bytes]:
    """What gives the stamp of timestamp, made anew once a second; a closure, because that is cheapest."""
    since = until = 0.0
    text = b""

    def stamp() -> bytes:
        nonlocal since, until, text
        now = time.time()
        if not since <= now < until:
            since = float(int(now))
            until = since + 1
            text = b"[%b] " % time.ctime(now).encode()
        return text

    return stamp


stamp = _stamps()


def stamped(data: bytes) -> bytes:
    """The answer of timestamp to a chunk."""
    return stamp() + data


def same(data: bytes) -> bytes:
    """The answer of echo."""
    return data


class StampedLines:
    """The answers of timestamp in line framing; one for each connection."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not lines:
            return b""
        now = stamp()
        return now + (b"\n" + now).join(lines) + b"\n"


class ClientList:
    """The client list, made into JSON anew for everybody, as the tutorials do."""

    def __init__(self, entries: int) -> None:
        """@param entries: how many devices are in it from the beginning."""
        self._lock = threading.Lock()
        self._clients = {
            f"device-{number:06}": {"name": f"device-{number:06}", "address": "127.0.0.1", "port": 40000}
            for number in range(entries)
        }

    def registered(self, data: bytes, address: tuple[str, int]) -> bytes:
        """
        Enter a client.

        @param data: its name.
        @param address: where it is.
        @return: the whole list.
        """
        name = data.decode().strip()
        with self._lock:
            self._clients[name] = {"name": name, "address": address[0], "port": address[1]}
            return json.dumps(self._clients).encode() + b"\n"


#: For each work on streams what makes the answer function of one connection.
ANSWERS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "timestamp": lambda: stamped,
    "lines": StampedLines,
    "echo": lambda: same,
    "tls": lambda: same,
}

#: What datagrams are acknowledged with.
ACKNOWLEDGEMENT = b"Got your message!"
