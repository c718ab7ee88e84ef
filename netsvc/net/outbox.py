"""
The datagrams that leave at the end of a turn, together.

Sent one by one while others are still being read, each answer wakes up its receiver, which costs as much as
all else that is done for it. At the end of the turn they leave close behind each other; and what goes to one
peer in equal sizes leaves in one call of the system, which makes datagrams of it (UDP_SEGMENT, udp(7), Linux
4.18).

Each peer gets its datagrams in the order in which they were written.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Sequence
from itertools import groupby

from netsvc.facts import OriginRow
from netsvc.net.pktinfo import Ancillary, Place
from netsvc.net.replies import Peer

#: Datagrams that wait at most, so many as the system makes of one call on every Linux.
MOST_WAITING = 64

#: Bytes of a datagram that may be one of several in a call. It must fit into one packet of the network (RFC
#: 8200 section 5: 1,280 bytes, 48 of them headers), and 64 of them into the largest of IPv4's.
_LARGEST_SEGMENT = 1000

#: Of Linux; the socket module has no name for it.
_UDP_SEGMENT = 103
_SEGMENT = struct.Struct("=H")

#: The limit's name for what the system says about a datagram that it does not send; else ``system_error``.
_REASONS = {
    errno.EAGAIN: "send_buffer",
    errno.ENOBUFS: "send_buffer",
    errno.EMSGSIZE: "message_length",
    # Only the system knows all its networks' broadcast addresses.
    errno.EACCES: "broadcast",
}


class Outbox:
    """Datagrams that may leave."""

    def __init__(
        self,
        sock: socket.socket,
        sent: Callable[[Peer, Sequence[bytes]], None],
        failed: Callable[[Peer, bytes, OSError], None],
    ) -> None:
        """
        @param sock: what they leave by; their peers have a `Peer.place` and a `Peer.target`.
        @param sent: told of those that left to one peer.
        @param failed: told of one that did not.
        """
        self._sock = sock
        self._sent = sent
        self._failed = failed
        self._segments = _makes_segments(sock)
        self._waiting: dict[Peer, list[bytes]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, peer: Peer, packet: bytes) -> None:
        """Let a datagram wait; if they are many, all are sent."""
        packets = self._waiting.get(peer)
        if packets is None:
            self._waiting[peer] = [packet]
        else:
            packets.append(packet)
        self._count += 1
        if self._count == MOST_WAITING:
            self.send()

    def move(self, peer: Peer, place: Place, origin: OriginRow) -> None:
        """
        From now on a peer's datagrams leave from another place; those that wait, from that before.

        @param origin: what facts have for the peer at that place.
        """
        if peer in self._waiting:
            self.send()
        peer.place, peer.origin = place, origin

    def send(self) -> None:
        """Send all that wait."""
        waiting, self._waiting = self._waiting, {}
        self._count = 0
        for peer, packets in waiting.items():
            if len(packets) == 1 or not self._segments:
                self._send_each(peer, packets)
                continue
            for size, equal in groupby(packets, len):
                self._send_equal(peer, list(equal), size)

    def _send_equal(self, peer: Peer, packets: list[bytes], size: int) -> None:
        if len(packets) > 1 and 0 < size <= _LARGEST_SEGMENT:
            segment: Ancillary = (socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT.pack(size))
            try:
                self._sock.sendmsg(packets, (*peer.place.ancillary, segment), 0, peer.target)
            except OSError:
                # None has left. What is wrong, and whether with all, the system says of each by itself.
                pass
            else:
                self._sent(peer, packets)
                return
        self._send_each(peer, packets)

    def _send_each(self, peer: Peer, packets: list[bytes]) -> None:
        sock, ancillary, target = self._sock, peer.place.ancillary, peer.target
        left = []
        for packet in packets:
            try:
                if ancillary:
                    sock.sendmsg((packet,), ancillary, 0, target)
                else:
                    sock.sendto(packet, target)
            except OSError as error:
                self._failed(peer, packet, error)
            else:
                left.append(packet)
        if left:
            self._sent(peer, left)


def reason_of(error: OSError) -> str:
    """The reason that a fact has for a datagram that the system did not send."""
    return _REASONS.get(error.errno or 0, "system_error")


def _makes_segments(sock: socket.socket) -> bool:
    """Whether the system makes datagrams out of one call; one that does not would send one large one."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        sock.getsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
