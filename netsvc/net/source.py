"""Who sent a datagram: in which form a service knows the source, and whether it may use netsvc at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from netsvc.net.addresses import fold, parse
from netsvc.settings import Limits


def path_of(name: str | bytes | None) -> str:
    """The name of a UNIX socket as text; an abstract one with the @ that ss(8) shows, ``""`` for none."""
    if not name:
        return ""
    data = os.fsencode(name)
    text = data.decode("utf-8", "backslashreplace")
    return "@" + text[1:] if data[0] == 0 else text


def _fold_source(source: Any) -> tuple[str, int]:
    return fold(source[0]), source[1]


#: What makes a service's form of an address out of the system's, by address family; None where they are one.
FORMS: dict[int, Callable[[Any], Any] | None] = {
    socket.AF_INET: None,
    socket.AF_INET6: _fold_source,
    socket.AF_UNIX: path_of,
}


def address_and_port(address: Any) -> tuple[str, int | None]:
    """
    The columns of a fact's origin that say who it was.

    @param address: (address, port), or the path of a UNIX socket, as a service knows its source.
    """
    if isinstance(address, tuple) and len(address) == 2:
        return str(address[0]), address[1]
    return ("" if address is None else str(address)), None


def screen_of(limits: Limits) -> Callable[[str], str | None] | None:
    """What tells why an address may not use netsvc (``allow`` or ``deny``), or None where all may."""
    if not limits.allow and not limits.deny:
        return None

    @lru_cache(maxsize=limits.tracked_peers)
    def screen(address: str) -> str | None:
        found = parse(address)
        if found is None:
            return None
        if found in limits.deny:
            return "deny"
        return "allow" if limits.allow and found not in limits.allow else None

    return screen
