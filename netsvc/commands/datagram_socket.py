"""
Sockets for datagrams, UDP or UNIX, that are connected to one peer: only its datagrams arrive.

A UNIX socket must have a path of its own to be answered. It is made where everybody can reach and nobody can
list it, and removed with the socket.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netsvc.commands.address import Address, path_of
from netsvc.commands.complaints import NotDone
from netsvc.commands.naming import look_up


@dataclass(frozen=True)
class Peer:
    """
    Who gets the datagrams.

    @ivar family: AF_INET, AF_INET6 or AF_UNIX.
    @ivar where: what `socket.socket.connect` takes.
    """

    family: int
    where: Any


@dataclass(frozen=True)
class DatagramSocket:
    """
    A socket that is connected and does not block.

    @ivar own: the path that it is bound to; ``""`` with UDP.
    """

    sock: socket.socket
    own: str

    def close(self) -> None:
        """Close it, and leave no file."""
        self.sock.close()
        if self.own:
            shutil.rmtree(Path(self.own).parent, ignore_errors=True)


async def find_peer(reactor: Any, address: Address) -> Peer:
    """
    Who is meant by an address; the first where a name has several: silence would not tell that it was the
    wrong one.

    @param reactor: has the threads in which names are looked up.
    @param address: ``udp`` or ``unix-datagram``.
    @raise NotDone: the name has no address, or the path cannot be a socket's.
    """
    if address.scheme == "unix-datagram":
        return Peer(socket.AF_UNIX, path_of(address))
    found = (await look_up(reactor, address.host, address.port, socket.SOCK_DGRAM))[0]
    family = socket.AF_INET6 if found.family == "IPv6" else socket.AF_INET
    return Peer(family, (found.address, found.port))


def connected_to(peer: Peer, address: Address) -> DatagramSocket:
    """
    Open a socket.

    @param peer: of `find_peer`.
    @param address: the same, for messages.
    @raise NotDone: the system refused.
    """
    own = ""
    sock = socket.socket(peer.family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if peer.family == socket.AF_UNIX:
            own = _own_path()
            sock.bind(own)
            # The peer, which may be another user, answers to it.
            os.chmod(own, 0o666)
        sock.connect(peer.where)
    except OSError as error:
        DatagramSocket(sock, own).close()
        raise NotDone(f"{address}: {(error.strerror or str(error)).lower()}") from None
    return DatagramSocket(sock, own)


def _own_path() -> str:
    directory = tempfile.mkdtemp(prefix="netsvc-")
    os.chmod(directory, 0o711)
    return str(Path(directory) / "socket")
