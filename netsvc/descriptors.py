"""
File descriptors: as many as this process may have, and limits that fit them.
"""

from __future__ import annotations

import resource
from dataclasses import replace

from netsvc.settings import Limits

#: Descriptors that are not connections: the log, the reactor's, the libraries', listening sockets.
_RESERVE = 64


def raise_limit() -> int:
    """
    Raise the process's soft limit of descriptors to the hard one, which needs no privilege.

    @return: the limit that is now in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            # The system's own maximum was lowered below the hard limit after that was set.
            hard = soft
    return hard if hard != resource.RLIM_INFINITY else 2**31 - 1


def fitting(limits: Limits, descriptors: int) -> Limits:
    """
    The same limits, with no more connections than there are descriptors for.

    @param descriptors: the process's limit.
    """
    room = max(1, descriptors - _RESERVE)
    return limits if limits.max_connections <= room else replace(limits, max_connections=room)
