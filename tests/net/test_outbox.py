"""`netsvc.net.outbox`: datagrams that leave together, over a socket that notes its calls and a real one."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.facts import OriginRow
from netsvc.net.outbox import MOST_WAITING, Outbox
from netsvc.net.pktinfo import Place
from netsvc.net.replies import Peer

_SEGMENT = (socket.IPPROTO_UDP, 103)


class Calls:
    """A socket that notes what it is to send; it makes segments, unless told otherwise."""

    family = socket.AF_INET

    def __init__(self, makes_segments: bool = True) -> None:
        self._makes_segments = makes_segments
        self.failing: dict[int, OSError] = {}
        self.calls: list[tuple[list[bytes], list[Any], Any]] = []
        self.tried = 0

    def getsockopt(self, level: int, option: int) -> int:
        if not self._makes_segments:
            raise OSError(errno.ENOPROTOOPT, "no such option")
        return 0

    def sendmsg(self, packets: Sequence[bytes], ancillary: Sequence[Any], flags: int, target: Any) -> None:
        self.tried += 1
        if self.tried in self.failing:
            raise self.failing[self.tried]
        self.calls.append((list(packets), list(ancillary), target))

    def sendto(self, packet: bytes, target: Any) -> None:
        self.sendmsg((packet,), (), 0, target)

    def sent(self) -> list[list[bytes]]:
        return [packets for packets, _, _ in self.calls]


class Rig:
    """An outbox, what it told, and what its socket was asked for."""

    def __init__(self, sock: Calls | None = None) -> None:
        self.sock = Calls() if sock is None else sock
        self.left: list[bytes] = []
        self.failed: list[tuple[bytes, int | None]] = []
        self.outbox = Outbox(
            cast(socket.socket, self.sock),
            lambda peer, packets: self.left.extend(packets),
            lambda peer, packet, error: self.failed.append((packet, error.errno)),
        )

    def send(self, *packets: bytes, to: Peer | None = None) -> None:
        peer = to or peer_at(40_000)
        for packet in packets:
            self.outbox.add(peer, packet)
        self.outbox.send()


def peer_at(port: int, ancillary: tuple[Any, ...] = ()) -> Peer:
    peer = Peer(("127.0.0.1", port), "127.0.0.1", None)
    peer.place, peer.target = Place.of("127.0.0.1", 7, ancillary), ("127.0.0.1", port)
    return peer


def test_equal_sizes_to_one_peer_leave_in_one_call() -> None:
    rig = Rig()
    rig.send(b"one", b"two", b"six")
    ((packets, ((level, kind, value),), target),) = rig.sock.calls
    assert (packets, (level, kind), target) == ([b"one", b"two", b"six"], _SEGMENT, ("127.0.0.1", 40_000))
    assert int.from_bytes(value, "little" if value[0] else "big") == 3
    assert rig.left == [b"one", b"two", b"six"]


def test_each_peer_gets_its_own() -> None:
    rig = Rig()
    one, other = peer_at(1), peer_at(2)
    for packet in (b"a", b"b"):
        rig.outbox.add(one, packet)
        rig.outbox.add(other, packet)
    rig.outbox.send()
    assert [(packets, target[1]) for packets, _, target in rig.sock.calls] == [
        ([b"a", b"b"], 1),
        ([b"a", b"b"], 2),
    ]


@pytest.mark.parametrize("packet", [b"", b"x" * 1001])
def test_empty_and_large_ones_leave_one_by_one(packet: bytes) -> None:
    rig = Rig()
    rig.send(packet, packet)
    assert rig.sock.calls == [([packet], [], ("127.0.0.1", 40_000))] * 2


def test_a_system_that_makes_no_segments_is_not_asked_for_them() -> None:
    rig = Rig(Calls(makes_segments=False))
    rig.send(b"one", b"two")
    assert rig.sock.calls == [([one], [], ("127.0.0.1", 40_000)) for one in (b"one", b"two")]


def test_answers_leave_from_where_they_were_asked_alone_and_together() -> None:
    info = (socket.IPPROTO_IP, 8, b"info")
    rig = Rig()
    rig.send(b"one", b"two", b"three", to=peer_at(1, (info,)))
    assert [ancillary[0] for _, ancillary, _ in rig.sock.calls] == [info, info]


def test_what_waits_leaves_from_the_place_before_and_what_follows_from_the_next() -> None:
    one, other = (socket.IPPROTO_IP, 8, b"one"), (socket.IPPROTO_IP, 8, b"other")
    rig, peer = Rig(), peer_at(1, (one,))
    rig.outbox.add(peer, b"first")
    place = Place.of("127.0.0.2", 7, (other,))
    origin: OriginRow = ("echo", "udp://", "udp", "127.0.0.1", 1, place.text, None)
    rig.outbox.move(peer, place, origin)
    assert rig.left == [b"first"]
    rig.send(b"second", to=peer)
    assert [(packets, ancillary) for packets, ancillary, _ in rig.sock.calls] == [
        ([b"first"], [one]),
        ([b"second"], [other]),
    ]
    assert peer.origin is origin


def test_a_peer_that_has_nothing_waiting_is_moved_without_sending() -> None:
    rig, place = Rig(), Place.of("127.0.0.2", 7)
    rig.outbox.add(peer_at(1), b"waits")
    rig.outbox.move(peer_at(2), place, ("echo", "udp://", "udp", "127.0.0.1", 2, place.text, None))
    assert (len(rig.outbox), rig.left) == (1, [])


def test_what_cannot_leave_together_is_tried_by_itself() -> None:
    rig = Rig()
    rig.sock.failing = {1: OSError(errno.EIO, "no"), 3: OSError(errno.EAGAIN, "full")}
    rig.send(b"one", b"two", b"six")
    assert rig.left == [b"one", b"six"]
    assert rig.failed == [(b"two", errno.EAGAIN)]


def test_only_so_many_wait() -> None:
    rig = Rig()
    peer = peer_at(40_000)
    for _ in range(MOST_WAITING):
        assert rig.left == []
        rig.outbox.add(peer, b"x" * 1000)
    assert len(rig.left) == MOST_WAITING
    assert len(rig.outbox) == 0
    rig.outbox.send()
    assert len(rig.sock.calls) == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.binary(max_size=3)), max_size=40))
def test_each_peer_gets_all_of_its_own_in_order(written: list[tuple[int, bytes]]) -> None:
    rig = Rig()
    peers = {port: peer_at(port) for port in (1, 2, 3)}
    for port, packet in written:
        rig.outbox.add(peers[port], packet)
    rig.outbox.send()
    for port in peers:
        expected = [packet for to, packet in written if to == port]
        assert [one for packets, _, to in rig.sock.calls if to[1] == port for one in packets] == expected


@pytest.fixture(params=["127.0.0.1", "::1"])
def receiver(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((request.param, 0))
        except OSError:
            pytest.skip("no such address here")
        sock.settimeout(10)
        yield sock


def test_the_system_makes_the_same_datagrams_of_one_call(receiver: socket.socket) -> None:
    with socket.socket(receiver.family, socket.SOCK_DGRAM) as sock:
        left: list[bytes] = []
        failed: list[OSError] = []
        outbox = Outbox(
            sock, lambda peer, packets: left.extend(packets), lambda peer, packet, error: failed.append(error)
        )
        peer = peer_at(0)
        peer.target = receiver.getsockname()
        packets = [*(b"%03d" % number for number in range(20)), b"", b"x" * 1000, b"y" * 1000, b"z" * 3000]
        for packet in packets:
            outbox.add(peer, packet)
        outbox.send()
        assert [receiver.recv(4000) for _ in packets] == packets == left
        assert failed == []
