"""`netsvc.net.datagramlistener`: other settings on the same socket."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any, cast

import pytest

from twisted.internet.testing import MemoryReactorClock

from netsvc.facts import Facts
from netsvc.net.binding import Binding
from netsvc.net.datagram import OwnAddresses
from netsvc.net.datagramlistener import DatagramListener
from netsvc.net.sockets import OpenSocket
from netsvc.settings import Limits, Networks
from tests.net.datagram_rig import CLIENT, HERE, Echo, Rows, Socket

_OTHER = ("203.0.113.9", 40_001)


class _House:
    """A listener over a socket made for the test."""

    def __init__(self, **limits: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.sock = Socket()
        self.rows = Rows()
        facts = Facts()
        facts.subscribe(self.rows)
        self.limits = replace(Limits(), **limits)
        binding = Binding(
            kind="datagram",
            transport="udp",
            host=HERE[0],
            port=HERE[1],
            family=socket.AF_INET,
            settings={},
            limits=self.limits,
            origin="--echo",
            where="6667",
        )
        self.echo = Echo()
        self.listener = DatagramListener(
            OpenSocket(binding, cast(socket.socket, self.sock)),
            self.echo,
            "echo",
            self.limits,
            facts,
            OwnAddresses(),
            self.reactor,
        )
        self.listener.start()

    def arrive(self, *datagrams: tuple[bytes, Any]) -> None:
        self.sock.arriving = iter(datagrams)
        self.listener._port.doRead()

    def renew(self, protocol: Echo | None = None, **limits: Any) -> Echo:
        protocol = protocol or Echo()
        self.listener.connect(protocol)
        self.listener.renew(protocol, replace(self.limits, **limits))
        return protocol

    def reasons(self) -> list[str | None]:
        return self.rows.reasons()


def test_what_comes_goes_to_the_new_protocol_and_is_counted_on() -> None:
    house = _House()
    house.arrive((b"before", CLIENT))
    new = house.renew()
    house.arrive((b"after", CLIENT))
    assert [data for data, _ in house.echo.got] == [b"before"]
    assert [data for data, _ in new.got] == [b"after"]
    assert [data for data, _ in house.sock.sent] == [b"before", b"after"]
    assert house.listener.counted().messages_in == 2


def test_the_former_may_still_answer_what_it_has_and_is_stopped_later() -> None:
    house = _House()
    house.arrive((b"before", CLIENT))
    house.renew()
    assert house.echo.transport is not None
    house.echo.transport.write(b"late", CLIENT)
    assert house.sock.sent[-1][0] == b"late"
    house.reactor.advance(29)
    assert house.echo.stopped == 0
    house.reactor.advance(1)
    assert house.echo.stopped == 1


def test_as_it_ends_all_are_stopped_once() -> None:
    house = _House()
    new = house.renew()
    house.listener.stop_accepting()
    house.reactor.advance(60)
    assert (house.echo.stopped, new.stopped) == (1, 1)
    assert house.reactor.getDelayedCalls() == []


def test_the_same_protocol_again_is_not_stopped() -> None:
    house = _House()
    house.renew(house.echo)
    house.listener.disconnect(house.echo)
    house.reactor.advance(60)
    house.arrive((b"x", CLIENT))
    assert (house.echo.stopped, len(house.echo.got)) == (0, 1)


def test_a_protocol_that_cannot_start_changes_nothing() -> None:
    class Fails(Echo):
        def startProtocol(self) -> None:
            raise OSError("it fails")

    house = _House()
    with pytest.raises(OSError, match="it fails"):
        house.renew(Fails())
    house.arrive((b"x", CLIENT))
    assert len(house.echo.got) == 1


def test_nothing_came_of_it_so_the_new_protocol_is_stopped() -> None:
    house = _House()
    new = Echo()
    house.listener.connect(new)
    house.listener.disconnect(new)
    assert (new.stopped, house.echo.stopped) == (1, 0)


def test_a_source_that_is_denied_now_is_heard_no_more_and_others_keep_their_accounts() -> None:
    house = _House()
    house.arrive((b"x", CLIENT), (b"x" * 100, _OTHER))
    new = house.renew(deny=Networks.of(CLIENT[0]))
    house.arrive((b"x", CLIENT))
    assert new.got == []
    assert house.reasons() == ["deny"]
    # What came from the other before the change is still worth an answer.
    assert new.transport is not None
    new.transport.write(b"y" * 120, _OTHER)
    assert house.sock.sent[-1] == (b"y" * 120, _OTHER)


def test_other_limits_of_replies_hold_for_sources_from_before() -> None:
    house = _House(reply_factor=100.0)
    house.arrive((b"x", CLIENT))
    new = house.renew(reply_factor=1.0)
    assert new.transport is not None
    new.transport.write(b"y" * 100, CLIENT)
    assert house.reasons() == ["reply_factor"]


def test_who_is_trusted_now_has_no_rate_and_who_is_not_any_more_has_one() -> None:
    house = _House(replies_per_second=1.0, reply_factor=100.0)
    house.arrive((b"1", CLIENT), (b"2", CLIENT))
    assert house.reasons() == ["replies_per_second"]
    house.renew(replies_per_second=1.0, reply_factor=100.0, trusted=Networks.of(CLIENT[0]))
    house.arrive(*((b"%d" % number, CLIENT) for number in range(9)))
    assert house.reasons() == ["replies_per_second"]
    house.renew(replies_per_second=1.0, reply_factor=100.0)
    house.arrive((b"3", CLIENT), (b"4", CLIENT))
    assert len(house.reasons()) >= 2


def test_with_fewer_peers_to_remember_the_longest_unheard_leave() -> None:
    house = _House(tracked_peers=64)
    for number in range(40):
        house.arrive((b"x", (CLIENT[0], 40_000 + number)))
    new = house.renew(tracked_peers=16)
    assert new.transport is not None
    new.transport.write(b"y", (CLIENT[0], 40_000))
    new.transport.write(b"y", (CLIENT[0], 40_039))
    assert house.reasons() == ["reply_factor"]
