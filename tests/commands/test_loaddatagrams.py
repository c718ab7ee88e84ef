"""One socket for the datagrams of a load: what is lost, doubled, reordered, late."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest_twisted  # type: ignore[import-untyped]
from zope.interface.verify import verifyClass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.internet.task import deferLater

from netsvc.commands.address import Address
from netsvc.commands.datagram_socket import connected_to, find_peer
from netsvc.commands.loadcourse import ClosedLoop
from netsvc.commands.loaddatagrams import DatagramFlow
from netsvc.commands.loadmessage import (
    Messages,
)
from netsvc.commands.loadsocket import ConnectedSocket
from netsvc.commands.loadtally import Tally
from tests.commands.loadparts import Time


class Wire:
    """A transport for datagrams in memory."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.received: Callable[[bytes], None] = lambda data: None
        self.refused: Callable[[], None] = lambda: None
        self.drained: Callable[[], None] = lambda: None
        self.full = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def is_full(self) -> bool:
        """As the test says."""
        return self.full

    def dropped(self) -> int:
        """None."""
        return 0

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def socket_flow(time: Time, tally: Tally, depth: int = 4, expect: str = "echo") -> tuple[DatagramFlow, Wire]:
    """A flow over a wire, as a closed loop, begun."""
    wire, course = Wire(), ClosedLoop(None)
    flow = DatagramFlow(wire, Messages(16), depth, expect, tally, 1.0, time.nanoseconds)
    flow.place(0, 1, course.freed)
    course.begin([flow], time.nanoseconds())
    return flow, wire


def test_datagrams_that_come_again_or_in_another_order_are_counted() -> None:
    time, tally = Time(), Tally()
    flow, wire = socket_flow(time, tally)
    for number in (1, 0, 1, 3, 2):
        wire.received(wire.sent[number])
    assert (tally.duplicated, tally.reordered, tally.unexpected) == (1, 2, 0)
    assert len(tally.latencies.fresh) == 4
    assert (len(wire.sent), flow.under_way()) == (8, 4)


def test_a_lost_datagram_makes_room_and_its_answer_is_late() -> None:
    time, tally = Time(), Tally()
    flow, wire = socket_flow(time, tally, depth=2)
    wire.received(wire.sent[1])
    time.advance(0.99)
    flow.expire(time.nanoseconds())
    assert (tally.lost, len(wire.sent)) == (0, 3)
    time.advance(0.01)
    flow.expire(time.nanoseconds())
    assert (tally.lost, len(wire.sent)) == (2, 5)
    wire.received(wire.sent[0])
    assert (tally.lost, tally.late) == (1, 1)
    wire.received(wire.sent[0])
    assert (tally.lost, tally.late, tally.duplicated) == (1, 1, 1)


def test_datagrams_that_answer_nothing_are_unexpected() -> None:
    tally = Tally()
    _, wire = socket_flow(Time(), tally)
    for data in (b"", b"Got your message!", Messages(16).make(999)):
        wire.received(data)
    assert (tally.unexpected, tally.differing) == (3, 0)


def test_a_changed_datagram_differs_is_not_lost_and_makes_room() -> None:
    time, tally = Time(), Tally()
    flow, wire = socket_flow(time, tally)
    wire.received(wire.sent[0][:-1] + b"?")
    assert (tally.differing, len(wire.sent), flow.under_way()) == (1, 5, 4)
    time.advance(1)
    flow.expire(time.nanoseconds())
    assert tally.lost == 4
    # Too late, and changed.
    wire.received(wire.sent[1][:-1] + b"?")
    assert (tally.differing, tally.lost, tally.late) == (2, 3, 0)
    flow.finish()
    assert (tally.lost, wire.closed) == (7, True)


def test_any_datagram_answers_the_oldest_message() -> None:
    tally = Tally()
    flow, wire = socket_flow(Time(), tally, depth=1, expect="any")
    for _ in range(3):
        wire.received(b"Got your message!")
    assert (len(tally.latencies.fresh), len(wire.sent)) == (3, 4)
    wire.refused()
    assert (tally.refused, tally.last_refused >= tally.last) == (1, True)
    flow.finish()


def test_nothing_more_is_sent_while_something_waits_for_room() -> None:
    flow, wire = socket_flow(Time(), Tally(), depth=1)
    wire.full = True
    wire.received(wire.sent[0])
    assert (len(wire.sent), flow.room()) == (1, 0)
    wire.full = False
    wire.drained()
    assert len(wire.sent) == 2
    flow.finish()
    wire.drained()
    assert len(wire.sent) == 2


# -- the socket ---------------------------------------------------------------------------------------------


def test_the_socket_is_what_a_reactor_reads_and_writes() -> None:
    verifyClass(IReadDescriptor, ConnectedSocket)
    verifyClass(IWriteDescriptor, ConnectedSocket)


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_what_a_unix_socket_has_no_room_for_waits_in_its_order(
    started_reactor: Any, tmp_path: Path
) -> None:
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.setblocking(False)
        address = Address("unix-datagram", "", None, path)
        opened = connected_to(await find_peer(started_reactor, address), address)
        sock = ConnectedSocket(started_reactor, opened)
        drained: Deferred[None] = Deferred()
        sock.drained = lambda: drained.callback(None)
        # Until the system has no more room, and some more.
        sent = 0
        while not sock.is_full():
            sock.write(b"%d" % sent)
            sent += 1
        sock.write(b"last")
        received = []
        while not drained.called:
            with contextlib.suppress(BlockingIOError):
                received.append(server.recv(100))
            await deferLater(started_reactor, 0)
        with contextlib.suppress(BlockingIOError):
            while True:
                received.append(server.recv(100))
        assert received == [*(b"%d" % number for number in range(sent)), b"last"]
        # Its own path, for the answers, is gone with it.
        assert Path(opened.own).exists()
        sock.close()
        assert not Path(opened.own).parent.exists()
