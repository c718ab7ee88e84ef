"""Clients are entered and get the list whole; lingering ones get every change as well."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from netsvc.clientlist.memory import ClientList
from netsvc.services.clients import ClientsFactory, ListedClient, ListSender, first_line, peer_of
from tests.services.transports import MemoryTransport, connect

PEER = IPv4Address("TCP", "127.0.0.1", 62210)

#: As many as a transport of Twisted's buffers before it pauses its producer.
BUFFER = 65_536


class SlowTransport(MemoryTransport):
    """A transport that pauses its producer when its buffer is full, as Twisted's do."""

    producer: IPushProducer | None

    def __init__(self, peer: IAddress = PEER) -> None:
        super().__init__()
        self.peerAddr = peer
        self.buffered = 0
        self.largest = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.buffered += len(data)
        self.largest = max(self.largest, self.buffered)
        if self.producer is not None and self.buffered > BUFFER:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """The client reads what there is."""
        self.buffered = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    def drain_all(self) -> None:
        while self.buffered:
            self.drain()

    def lines(self) -> list[Any]:
        data = self.value()
        assert data.endswith(b"\n") or not data
        return [json.loads(line) for line in data.splitlines()]


class Daemon:
    """A client list and its service, with clients that connect to it."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.list = ClientList(self.clock)
        self.factory = ClientsFactory(self.list, **settings)

    def connect(self, port: int = 62210) -> tuple[ListedClient, SlowTransport]:
        transport = SlowTransport(IPv4Address("TCP", "127.0.0.1", port))
        protocol = self.factory.buildProtocol(PEER)
        connect(protocol, transport)
        return protocol, transport

    def say(self, data: bytes, port: int = 62210) -> tuple[ListedClient, SlowTransport]:
        protocol, transport = self.connect(port)
        protocol.dataReceived(data)
        return protocol, transport

    def fill(self, count: int) -> None:
        for number in range(count):
            self.list.register(f"n{number}", "192.0.2.1", number % 65_536, 0, 1_000_000)


def lose(protocol: ListedClient) -> None:
    protocol.connectionLost(Failure(ConnectionDone()))


def entry(name: str, port: int = 62210) -> dict[str, Any]:
    return {"name": name, "address": "127.0.0.1", "port": port}


def test_its_interfaces() -> None:
    for linger in (False, True):
        factory = ClientsFactory(ClientList(Clock()), linger=linger)
        verifyObject(IProtocolFactory, factory)
        verifyObject(IProtocol, factory.buildProtocol(None))
        verifyObject(IHalfCloseableProtocol, factory.buildProtocol(None))
    verifyObject(IPushProducer, ListSender(MemoryTransport(), iter(()), lambda: None))


def test_a_client_gets_the_list_and_is_closed() -> None:
    daemon = Daemon()
    _, transport = daemon.say(b"name1")
    assert transport.value() == b'{"name1": {"name": "name1", "address": "127.0.0.1", "port": 62210}}\n'
    assert transport.disconnecting
    assert transport.producer is None
    _, transport = daemon.say(b"name2\n", 2)
    assert transport.lines() == [{"name1": entry("name1"), "name2": entry("name2", 2)}]


def test_the_same_name_replaces_its_entry() -> None:
    daemon = Daemon()
    daemon.say(b"a", 1)
    assert daemon.say(b"a", 2)[1].lines() == [{"a": entry("a", 2)}]


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        (b"a", b"a"),
        (b"a\n", b"a"),
        (b"a\r\n", b"a"),
        (b"a\r", b"a"),
        (b"a\nb\n", b"a"),
        (b" a b ", b" a b "),
        (b"\nb", b""),
        (b"\r\n", b""),
        (b"", b""),
        (b"a\r\r\n", b"a\r"),
    ],
)
def test_the_name_is_the_segment_up_to_its_first_newline(segment: bytes, name: bytes) -> None:
    assert first_line(segment) == name


def test_what_comes_after_the_name_is_thrown_away() -> None:
    daemon = Daemon(linger=True)
    protocol, transport = daemon.say(b"a\nb\n")
    protocol.dataReceived(b"c\n")
    assert transport.lines() == [{"a": entry("a")}]


@pytest.mark.parametrize("linger", [False, True])
@pytest.mark.parametrize(
    ("segment", "error"),
    [
        (b"\n", "the name is empty"),
        (b"x" * 256, "the name is longer than 255 bytes"),
        (b"\xff\n", "the name is not UTF-8"),
        (b"a\x1b[2J\n", "the name has a control character in it"),
    ],
)
def test_a_bad_name_gets_an_error_and_a_close(segment: bytes, error: str, linger: bool) -> None:
    daemon = Daemon(linger=linger)
    protocol, transport = daemon.say(segment)
    protocol.dataReceived(b"second try\n")
    assert transport.value() == b'{"error": "%b"}\n' % error.encode()
    assert transport.disconnecting
    assert daemon.list.entries() == {}
    lose(protocol)


def test_names_of_255_bytes_and_of_every_script_are_taken() -> None:
    daemon = Daemon()
    for name in ("x" * 255, "张" * 85, "Ζωή", '"\\'):
        (listed,) = daemon.say(name.encode())[1].lines()
        assert listed[name] == entry(name)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (IPv4Address("TCP", "192.0.2.1", 5), ("192.0.2.1", 5)),
        (IPv6Address("TCP", "2001:db8::1", 5), ("2001:db8::1", 5)),
        (UNIXAddress(b"/run/client.sock"), ("/run/client.sock", None)),
        (UNIXAddress(b"/run/\xff"), ("/run/\udcff", None)),
        (UNIXAddress(None), ("", None)),
        (HostnameAddress(b"example.org", 5), ("", None)),
    ],
)
def test_the_address_is_the_peers(address: Any, expected: tuple[str, int | None]) -> None:
    assert peer_of(address) == expected
    clients = ClientList(Clock())
    protocol = ClientsFactory(clients).buildProtocol(address)
    transport = SlowTransport(address)
    connect(protocol, transport)
    protocol.dataReceived(b"a")
    assert transport.lines() == [{"a": {"name": "a", "address": expected[0], "port": expected[1]}}]


def test_entries_leave_after_ttl_and_beyond_max_clients() -> None:
    daemon = Daemon(ttl=10, max_clients=2)
    for name in (b"a", b"b", b"c"):
        daemon.say(name)
    assert set(daemon.list.entries()) == {"b", "c"}
    daemon.clock.advance(10)
    assert daemon.list.entries() == {}


def test_ttl_0_keeps_entries() -> None:
    daemon = Daemon(ttl=0)
    daemon.say(b"a")
    assert daemon.clock.getDelayedCalls() == []


def test_a_client_that_ends_its_sending_without_a_name_is_closed() -> None:
    for linger in (False, True):
        protocol, transport = Daemon(linger=linger).connect()
        protocol.readConnectionLost()
        assert transport.disconnecting


# -- long lists -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linger", [False, True])
def test_a_list_of_20000_entries_arrives_whole_and_only_as_fast_as_it_is_read(linger: bool) -> None:
    daemon = Daemon(linger=linger)
    daemon.fill(20_000)
    protocol, transport = daemon.say(b"me\n")
    # What was in the slice that filled the buffer, and not the whole list.
    assert transport.buffered < 2 * BUFFER
    assert transport.producer is not None
    protocol.readConnectionLost()
    transport.drain_all()
    assert transport.largest < 2 * BUFFER
    (listed,) = transport.lines()
    assert len(listed) == 20_001
    assert transport.disconnecting
    assert transport.producer is None


def test_a_connection_that_ends_while_the_list_is_sent_is_no_trouble() -> None:
    daemon = Daemon()
    daemon.fill(5_000)
    protocol, transport = daemon.say(b"me\n")
    sent = len(transport.value())
    assert transport.producer is not None
    transport.producer.stopProducing()
    lose(protocol)
    transport.drain()
    assert len(transport.value()) == sent
    assert not transport.disconnecting


def test_a_transport_that_is_closing_already_gets_nothing() -> None:
    class Closing(MemoryTransport):
        def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
            producer.stopProducing()

    transport, sent = Closing(), list[int]()
    ListSender(transport, iter((b"{}",)), lambda: sent.append(1))
    assert transport.value() == b""
    assert sent == []


def test_a_transport_that_breaks_at_the_last_slice_is_left_alone() -> None:
    class Breaking(MemoryTransport):
        def write(self, data: bytes) -> None:
            super().write(data)
            assert self.producer is not None
            self.producer.stopProducing()

    transport, sent = Breaking(), list[int]()
    ListSender(transport, iter((b"{}",)), lambda: sent.append(1))
    assert transport.value() == b"{}\n"
    assert sent == []


def test_a_transport_that_is_full_already_gets_the_list_when_it_is_not() -> None:
    class Full(MemoryTransport):
        def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
            super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
            producer.pauseProducing()

    transport, sent = Full(), list[int]()
    sender = ListSender(transport, iter((b"{}",)), lambda: sent.append(1))
    assert transport.value() == b""
    sender.resumeProducing()
    assert transport.value() == b"{}\n"
    assert sent == [1]


def test_many_slow_clients_do_not_hold_a_list_each() -> None:
    class Unread(SlowTransport):
        def write(self, data: bytes) -> None:
            super().write(data)
            self.clear()  # type: ignore[no-untyped-call]
            self.writes.clear()

    daemon = Daemon()
    daemon.fill(5_000)
    length = len(daemon.list.encoded())
    assert length > 4 * BUFFER
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        slow = []
        for number in range(100):
            transport = Unread()
            protocol = daemon.factory.buildProtocol(PEER)
            connect(protocol, transport)
            protocol.dataReceived(b"slow%d" % number)
            slow.append((protocol, transport))
        each = (tracemalloc.get_traced_memory()[0] - before) / len(slow)
    finally:
        tracemalloc.stop()
    assert all(transport.producer is not None for _, transport in slow)
    assert each < 32_768 < length / 8


# -- lingering --------------------------------------------------------------------------------------------


def test_a_lingering_client_hears_others_join_and_leave_but_not_itself() -> None:
    daemon = Daemon(linger=True)
    _, a = daemon.say(b"a\n", 1)
    protocol, b = daemon.say(b"b\n", 2)
    assert b.lines() == [{"a": entry("a", 1), "b": entry("b", 2)}]
    daemon.list.register("c", "127.0.0.1", 3, 5, 100)
    lose(protocol)
    daemon.clock.advance(5)
    assert a.lines() == [
        {"a": entry("a", 1)},
        {"joined": entry("b", 2)},
        {"joined": entry("c", 3)},
        {"left": entry("b", 2)},
        {"left": entry("c", 3)},
    ]
    assert not a.disconnecting
    assert len(b.lines()) == 2


def test_a_lingering_entry_lives_as_long_as_the_connection() -> None:
    daemon = Daemon(linger=True, ttl=1)
    protocol, _ = daemon.say(b"a")
    daemon.clock.advance(1e6)
    assert set(daemon.list.entries()) == {"a"}
    lose(protocol)
    assert daemon.list.entries() == {}


def test_a_lingering_client_that_ends_its_sending_leaves() -> None:
    daemon = Daemon(linger=True)
    _, watcher = daemon.say(b"watcher", 1)
    protocol, transport = daemon.say(b"a", 2)
    protocol.readConnectionLost()
    assert transport.disconnecting
    assert set(daemon.list.entries()) == {"watcher"}
    lose(protocol)
    assert watcher.lines()[1:] == [{"joined": entry("a", 2)}, {"left": entry("a", 2)}]


def test_a_lingering_client_whose_name_is_taken_hears_it_and_stays() -> None:
    daemon = Daemon(linger=True)
    old, a = daemon.say(b"a", 1)
    new, _ = daemon.say(b"a", 2)
    assert a.lines()[1:] == [{"left": entry("a", 1)}, {"joined": entry("a", 2)}]
    lose(old)
    assert daemon.list.entries() == {"a": entry("a", 2)}
    lose(new)
    assert daemon.list.entries() == {}


def test_changes_come_after_a_long_list_in_their_order() -> None:
    daemon = Daemon(linger=True)
    daemon.fill(5_000)
    _, transport = daemon.say(b"me")
    assert transport.producer is not None
    daemon.list.register("new", "127.0.0.1", 1, 5, 1_000_000)
    daemon.clock.advance(5)
    transport.drain_all()
    daemon.list.register("later", "127.0.0.1", 1, 0, 1_000_000)
    listed, *changes = transport.lines()
    assert len(listed) == 5_001
    assert changes == [{"joined": entry("new", 1)}, {"left": entry("new", 1)}, {"joined": entry("later", 1)}]
    assert transport.producer is None


def test_the_list_and_the_changes_together_are_the_list_as_it_is() -> None:
    daemon = Daemon(linger=True, max_pending=10_000_000)
    daemon.fill(3_000)
    _, transport = daemon.say(b"me")
    for number in range(0, 3_000, 7):
        daemon.list.register(f"n{number}", "127.0.0.1", 1, 1 + number % 2, 1_000_000)
    transport.drain()
    daemon.clock.advance(1)
    transport.drain_all()
    known, *changes = transport.lines()
    for change in changes:
        for kind, changed in change.items():
            if kind == "joined":
                known[changed["name"]] = changed
            else:
                known.pop(changed["name"], None)
    assert known == daemon.list.entries()


def test_a_client_for_whom_too_many_changes_wait_is_aborted_and_leaves() -> None:
    daemon = Daemon(linger=True, max_pending=1_000)
    daemon.fill(5_000)
    protocol, transport = daemon.say(b"slow")
    for number in range(100):
        daemon.list.register("new", "127.0.0.1", number, 0, 1_000_000)
    assert transport.disconnected
    assert "slow" not in daemon.list.entries()
    assert "joined" not in transport.value().decode()
    lose(protocol)


def test_nobody_listens_to_the_list_when_nobody_lingers() -> None:
    class CountingList(ClientList):
        listening = 0

        def subscribe(self, changed: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
            unsubscribe = super().subscribe(changed)
            self.listening += 1

            def counted() -> None:
                self.listening -= 1
                unsubscribe()

            return counted

    clients = CountingList(Clock())
    factory = ClientsFactory(clients, linger=True)
    protocols = []
    for number in range(3):
        protocol = factory.buildProtocol(None)
        connect(protocol, SlowTransport())
        protocol.dataReceived(b"n%d" % number)
        protocols.append(protocol)
        assert clients.listening == 1
    for protocol in protocols:
        lose(protocol)
        lose(protocol)
    assert clients.listening == 0


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.booleans())
def test_any_input_gets_lines_of_json(chunks: list[bytes], linger: bool) -> None:
    daemon = Daemon(linger=linger)
    protocol, transport = daemon.connect()
    for chunk in chunks:
        protocol.dataReceived(chunk)
    (answer,) = transport.lines()
    assert transport.disconnecting or (linger and "error" not in answer)
    assert answer.keys() == {"error"} or answer == daemon.list.entries()
    protocol.readConnectionLost()
    assert transport.disconnecting
    lose(protocol)
    assert not linger or daemon.list.entries() == {}
