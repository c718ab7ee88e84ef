"""Which addresses are this machine's: the system is asked, because they come and go while a daemon runs."""

from __future__ import annotations

import socket

#: Addresses that no machine has (RFC 1112 section 4, RFC 6666): where even they can be had, the system lets
#: everything be bound (ip_nonlocal_bind, ip(7)) and tells nothing by it.
_NOBODYS = {socket.AF_INET: "240.0.0.1", socket.AF_INET6: "100::1"}


def is_here(address: str) -> bool:
    """
    Whether an address is one of this machine's.

    @param address: an IP address, folded; of one that is no single machine's the answer means nothing.
    @return: False also where the system does not tell.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return _can_be_had(family, address) and not _can_be_had(family, _NOBODYS[family])


def _can_be_had(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True
