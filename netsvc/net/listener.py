"""
What a listener is: one socket, or one Twisted endpoint, and the service behind it.

Whatever the kind, a listener starts, says where it listens, stops accepting, drains, and gives up. While it
goes on, what serves it can be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from netsvc.counters import Counts
from netsvc.net import addresses
from netsvc.net.binding import Binding
from netsvc.net.listening import Guarded, Listening
from netsvc.net.sockets import OpenSocket, adjusted


@dataclass(frozen=True)
class Place:
    """
    Where a listener listens, as ``--ready`` writes it.

    @ivar service: the service's name.
    @ivar listener: its URL.
    @ivar transport: ``tcp``, ``tls``, ``unix``, ``udp``, ``unix-datagram``, ``endpoint``.
    @ivar address: an IP address, or the path of a UNIX socket.
    @ivar port: None for a UNIX socket.
    """

    service: str
    listener: str
    transport: str
    address: str
    port: int | None

    def shown(self) -> str:
        """For a person: the URL; of an endpoint its description, and the address that it got."""
        if self.transport != "endpoint":
            return self.listener
        return f"{self.listener} ({addresses.host_and_port(self.address, self.port)})"

    def as_json(self) -> dict[str, Any]:
        """As a dictionary ready for JSON."""
        return asdict(self)


class Listener(Protocol):
    """
    What all kinds of listener can do.

    @ivar origin: what a user would change.
    """

    origin: str

    @property
    def listening(self) -> Listening | None:
        """What the connections share that begin now; None for datagrams."""

    def connections(self) -> Sequence[Guarded]:
        """Those that are open; datagrams have none."""

    def start(self) -> Deferred[None]:
        """Begin to serve. The Deferred fails where the listener cannot open."""

    def place(self) -> Place:
        """Where it listens; asked only once it has started."""

    def counted(self) -> Counts:
        """What happened there until now."""

    def dropped(self) -> int:
        """Datagrams that the system dropped for want of room."""

    def stop_accepting(self) -> Deferred[None]:
        """Close the listening socket; those inside stay. It fires when it is closed."""

    def drain(self) -> Deferred[None]:
        """Let what is buffered go and close every connection. It fires when all are gone."""

    def abort(self) -> None:
        """Drop every connection now."""


class SocketListener:
    """
    What the listeners on sockets of ours share.

    @ivar origin: see `Listener`.
    @ivar opened: the socket.
    """

    def __init__(self, opened: OpenSocket) -> None:
        """@param opened: the socket."""
        self.origin = opened.binding.origin
        self.opened = opened

    def adjust(self, binding: Binding) -> None:
        """
        Be what is asked for now.

        @param binding: to the same address, perhaps with another mode or backlog, or from another key.
        """
        self.origin = binding.origin
        self.opened = adjusted(self.opened, binding)

    def follow(self, former: SocketListener) -> None:
        """
        The socket was another listener's: its file, if it has one, is now for this one to remove.

        Its mode and backlog are still the former's; see `adjust`.
        """
        before = former.opened.binding
        self.opened = replace(
            self.opened,
            binding=replace(self.opened.binding, mode=before.mode, backlog=before.backlog),
            unlink=former.opened.unlink,
            inode=former.opened.inode,
        )
        former.opened = replace(former.opened, unlink=None)

    def leave_to(self, other: SocketListener) -> None:
        """
        Another listener has the same port, on an address that stands for this one's too.

        Those who wait at this one's socket are taken in, and the socket is closed.
        """

    def place_of(self, service: str) -> Place:
        """Where a service listens here."""
        binding = self.opened.binding
        return Place(service, binding.url, binding.transport, binding.host, binding.port)


def unexpected(failure: Any) -> None:
    """A look that raised is a defect: let it be seen, as an unhandled error in the log."""
    failure.raiseException()
