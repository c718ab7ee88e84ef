"""
What a name stands for: the system's getaddrinfo, asked in a thread, with its refusals in one line.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from twisted.internet.threads import deferToThreadPool

from netsvc.commands.complaints import NotDone


@dataclass(frozen=True)
class Found:
    """
    One address of a name.

    @ivar family: ``IPv4`` or ``IPv6``.
    @ivar address: numeric; IPv6 with its scope where it has one.
    @ivar port: 0 where none was asked for.
    """

    family: str
    address: str
    port: int


_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


async def look_up(
    reactor: Any, host: str, service: str | int | None, kind: socket.SocketKind = socket.SOCK_STREAM
) -> list[Found]:
    """
    Ask for the addresses of a name, in the order in which a connection would try them.

    @param reactor: has the threads.
    @param host: a name or an address.
    @param service: a port, its name, or None.
    @param kind: of the sockets.
    @raise NotDone: there is none, or the service is not known.
    """
    try:
        rows = await deferToThreadPool(
            reactor, reactor.getThreadPool(), socket.getaddrinfo, host, service, 0, kind
        )
    except socket.gaierror as error:
        if error.errno == socket.EAI_SERVICE:
            raise NotDone(f"{service}: this host knows no such service or port") from None
        raise NotDone(f"{host}: the name has no address ({(error.strerror or str(error)).lower()})") from None
    except (UnicodeError, OverflowError):
        raise NotDone(f"{host!r}, {service!r}: that can be no name of a host and a service") from None
    found = [Found(_FAMILIES[row[0]], str(row[4][0]), int(row[4][1])) for row in rows if row[0] in _FAMILIES]
    # The same address can come several times, from several lines of the hosts file.
    return list(dict.fromkeys(found))
