"""
Ports for what has to know its number before anybody listens there; everything else asks for port 0.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from random import Random


def free_port() -> int:
    """See `free_ports`."""
    return free_ports(["one"])["one"]


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """
    A port for each name that is free on every address, for streams and datagrams, at the moment.

    They are none of those that the system gives to clients (ip(7), ip_local_port_range), of which any may be
    some program's in the next moment.
    """
    found: dict[str, int] = {}
    for port in Random().sample(range(10_000, 32_000), 2_000):
        if len(found) < len(names) and _is_free(port):
            found[names[len(found)]] = port
    return found


def _every_address(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _is_free(port: int) -> bool:
    try:
        with (
            _every_address(port),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            udp.bind(("", port))
    except OSError:
        return False
    return True
