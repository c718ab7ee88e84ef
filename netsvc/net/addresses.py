"""
One form for each address, and the keys by which addresses are counted.

A dual-stack socket tells of an IPv4 client as ``::ffff:192.0.2.1``; limits, facts and services know it as
``192.0.2.1``. Everything here depends on its arguments alone and is remembered, because it is asked for
every connection and every datagram.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from netsvc.settings import IPAddress

#: How many answers each function below remembers; as many as `Limits.tracked_peers` is by default.
REMEMBERED = 16_384

#: What addresses are counted by: (version, leading bits), or the text where it is no IP address.
NetworkKey = tuple[int, int] | str


@lru_cache(maxsize=REMEMBERED)
def parse(address: str) -> IPAddress | None:
    """
    Read an address, as the system or a PROXY header gives it.

    @param address: IPv4, or IPv6 with or without a scope (``fe80::1%eth0``).
    @return: the address, an IPv4-mapped one (RFC 4291 section 2.5.5.2) as IPv4; None where it is neither: a
        path, a host name, ``""``.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


@lru_cache(maxsize=REMEMBERED)
def fold(host: str) -> str:
    """
    Give an address its one form: IPv4 never as ``::ffff:…``, IPv6 as RFC 5952 writes it.

    @param host: an address as the system gives it; anything else comes back as it is.
    """
    found = parse(host)
    return host if found is None else str(found)


@lru_cache(maxsize=REMEMBERED)
def network_key(address: str, v4_prefix: int, v6_prefix: int) -> NetworkKey:
    """
    The key of the network of an address: equal for all addresses of one network, and only for them.

    @param address: an address in any form; what is none (a path) is a network of its own.
    @param v4_prefix: bits of an IPv4 network, 0 to 32.
    @param v6_prefix: bits of an IPv6 network, 0 to 128.
    """
    found = parse(address)
    if found is None:
        return address
    prefix = v4_prefix if found.version == 4 else v6_prefix
    return found.version, int(found) >> (found.max_prefixlen - prefix)


def host_and_port(address: str, port: int | None) -> str:
    """An address and port as one text: ``127.0.0.1:8009``, ``[::1]:8009``; a path where there is no port."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
