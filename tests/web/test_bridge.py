"""A service over WebSocket: what it gets, what its client gets, and the facts of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from zope.interface import implementer

from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Protocol

from netsvc.interfaces import TLSArrival
from netsvc.net.factory import GuardFactory
from netsvc.services.echo import Echo
from netsvc.services.greeting import GreetingFactory
from netsvc.services.whoami import WhoamiFactory
from netsvc.settings import Limits, Networks
from netsvc.web.bridge import Bridge
from netsvc.web.conversation import CLOSE_TIMEOUT
from netsvc.web.websocket import WebSockets
from tests.net.guard_rig import Push, Recorder, Wire
from tests.net.guard_rig import Rig as GuardRig
from tests.web.frames import BINARY, CLOSE, TEXT, Frame, close, close_code, deflated, frame
from tests.web.socket_rig import ARRIVAL, Bounds, BridgeRig, head


def test_a_message_is_a_chunk_and_a_write_is_a_message() -> None:
    rig = BridgeRig(Echo)
    client = rig.open()
    client.send(frame(TEXT, b"hello"), frame(BINARY, b"\x00\xff"))
    assert client.received() == [Frame(TEXT, b"hello"), Frame(BINARY, b"\x00\xff")]
    client.lose()
    assert rig.kinds() == ["opened", "received", "sent", "received", "sent", "closed fin"]
    opened = rig.facts[0].origin
    assert (opened.transport, opened.listener) == ("ws", "ws://192.0.2.1:8080/ws/tested")
    assert (opened.address, opened.port, opened.local) == ("192.0.2.7", 4711, "192.0.2.1:8009")


def test_a_write_is_of_the_clients_last_type_and_binary_if_it_is_not_utf_8() -> None:
    rig = BridgeRig()
    client = rig.open()
    (service,) = rig.services
    service.transport.write(b"first")
    client.send(frame(BINARY, b"!"))
    service.transport.write(b"second")
    client.send(frame(TEXT, b"!"))
    service.transport.writeSequence([b"th", b"ird"])
    service.transport.write(b"\xff")
    service.transport.write(b"fourth")
    types = [(one.opcode, one.payload) for one in client.received()]
    assert types == [
        (TEXT, b"first"),
        (BINARY, b"second"),
        (TEXT, b"third"),
        (BINARY, b"\xff"),
        (TEXT, b"fourth"),
    ]
    client.lose()


def test_a_message_larger_than_any_that_may_come_in_can_be_written() -> None:
    rig = BridgeRig(bounds=Bounds(max_message=1000))
    client = rig.open()
    rig.services[0].transport.write(b"*" * 100_000)
    assert client.received() == [Frame(TEXT, b"*" * 100_000)]
    client.lose()


def test_a_service_that_closes_says_so_behind_what_it_wrote() -> None:
    rig = BridgeRig(lambda: GreetingFactory(text="Hello").buildProtocol(None))
    client = rig.open()
    assert client.received() == [Frame(TEXT, b"Hello"), Frame(CLOSE, b"\x03\xe8")]
    assert not client.wire.closed
    client.send(close())
    assert client.wire.closed
    client.lose()
    assert rig.kinds() == ["opened", "sent", "closed service"]
    assert rig.clock.getDelayedCalls() == []


def test_a_client_that_does_not_answer_a_close_is_dropped() -> None:
    rig = BridgeRig(lambda: GreetingFactory(text="Hello").buildProtocol(None))
    client = rig.open()
    rig.clock.advance(max(CLOSE_TIMEOUT, rig.listening.limits.close_timeout))
    assert client.wire.closed
    client.lose()


@implementer(IHalfCloseableProtocol)
class Summing(Protocol):
    """Answers when its client has finished sending."""

    transport: ITCPTransport

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def readConnectionLost(self) -> None:
        self.transport.write(b"all: " + self.received)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


def test_the_clients_close_is_the_end_of_input_and_the_answer_comes_before_its_own() -> None:
    client = BridgeRig(Summing).open()
    client.send(frame(TEXT, b"one "), frame(TEXT, b"two"), close(1000, b"that was all"))
    assert client.received() == [Frame(TEXT, b"all: one two"), Frame(CLOSE, b"\x03\xe8")]
    assert client.wire.closed
    client.lose()


class HalfClosing(Summing):
    """Closes its own side at once and goes on reading."""

    def connectionMade(self) -> None:
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()


def test_a_service_that_closes_its_side_goes_on_reading_until_the_client_closes() -> None:
    rig = BridgeRig(HalfClosing)
    client = rig.open()
    assert close_code(client.received()) == 1000
    client.send(frame(TEXT, b"on its way"))
    assert rig.services[0].received == b"on its way"
    client.send(close())
    assert client.wire.closed
    client.lose()


def test_a_service_hears_that_its_side_is_closed_when_everything_has_left() -> None:
    told: list[str] = []

    class Telling(Summing):
        def dataReceived(self, data: bytes) -> None:
            self.transport.loseWriteConnection()

        def writeConnectionLost(self) -> None:
            told.append("closed")

    client = BridgeRig(Telling).open()
    client.send(frame(TEXT, b"hello"))
    assert told == ["closed"]
    client.lose()
    told.clear()
    rig = BridgeRig(Telling)
    client = rig.open()
    client.wire.pressure.pauseProducing()
    rig.services[0].transport.loseWriteConnection()
    assert told == []
    client.wire.pressure.resumeProducing()
    assert told == ["closed"]
    client.lose()


class Failing(Recorder):
    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("by intent")


class Resetting(Recorder):
    transport: ITCPTransport

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()


def test_a_service_that_fails_ends_in_1011() -> None:
    rig = BridgeRig(Failing)
    client = rig.open()
    client.send(frame(TEXT, b"hello"))
    assert client.received() == [Frame(CLOSE, b"\x03\xf3error")]
    client.lose()
    assert rig.kinds()[-1] == "closed error"


def test_a_service_that_resets_drops_the_connection() -> None:
    client = BridgeRig(Resetting).open()
    client.send(frame(TEXT, b"hello"))
    assert client.received() == []
    assert client.wire.aborted
    client.lose(clean=False)


@pytest.mark.parametrize(
    ("limits", "code", "reason"),
    [
        (Limits(deny=Networks.of("192.0.2.0/24")), 1008, "deny"),
        (Limits(allow=Networks.of("198.51.100.0/24")), 1008, "allow"),
        (Limits(max_connections=1), 1013, "max_connections"),
        (Limits(per_address=1), 1013, "per_address"),
    ],
)
def test_who_is_refused_is_told_why(limits: Limits, code: int, reason: str) -> None:
    rig = BridgeRig(limits=limits)
    first = rig.open()
    refused = first if code == 1008 else rig.open()
    (one,) = refused.received()
    assert (one.opcode, one.payload) == (CLOSE, code.to_bytes(2, "big") + reason.encode())
    refused.send(close(code))
    assert refused.wire.closed
    refused.lose()
    first.lose()
    assert f"refused {reason}" in rig.kinds()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda rig: rig.clock.advance(rig.listening.limits.first_line_timeout), 1008),
        (lambda rig: next(iter(rig.listening.guards)).time_out_idle(), 1000),
        (lambda rig: next(iter(rig.listening.guards)).drain(), 1001),
        (lambda rig: next(iter(rig.listening.guards)).abort(), 1001),
    ],
)
def test_a_connection_that_the_guard_ends_is_told_so(end: Callable[[BridgeRig], None], code: int) -> None:
    rig = BridgeRig(first="segment", bounds=Bounds(ping_interval=0))
    client = rig.open()
    end(rig)
    assert close_code(client.received()) == code
    client.send(close(code))
    client.lose()


# -- a client that does not read --------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_not_read_from_and_its_service_pauses() -> None:
    rig = BridgeRig()
    client = rig.open()
    push = Push()
    rig.services[0].transport.registerProducer(push, True)
    client.wire.pressure.pauseProducing()
    assert (push.told, client.wire.reading) == (["pause"], False)
    client.socket.dataReceived(frame(TEXT, b"held"))
    assert b"held" not in rig.services[0].events
    client.wire.pressure.resumeProducing()
    assert (push.told, client.wire.reading) == (["pause", "resume"], True)
    assert b"held" in rig.services[0].events
    client.lose()


def test_a_client_that_does_not_read_is_dropped_when_too_much_waits_for_it() -> None:
    rig = BridgeRig(limits=Limits(write_budget=1000))
    client = rig.open()
    client.wire.pressure.pauseProducing()
    rig.services[0].transport.write(b"*" * 1001)
    assert client.wire.aborted
    client.lose(clean=False)
    assert rig.kinds()[-1] == "closed write_budget"


def test_many_messages_that_inflate_are_answered_no_faster_than_the_client_reads() -> None:
    # Each is a thousandth of its answer: in one read there is more than the write budget.
    rig = BridgeRig(Echo, limits=Limits(write_budget=100_000))
    client = rig.open("permessage-deflate")
    client.send(frame(TEXT, b"*"))
    wire = client.wire
    written = wire.write

    def write(data: bytes) -> None:
        written(data)
        wire.pressure.pauseProducing()

    wire.write = write  # type: ignore[method-assign]
    client.socket.dataReceived(b"".join(frame(TEXT, b"*" * 60_000) for _ in range(10)))
    answers = 0
    while (got := len(client.received())) != 0:
        answers += got
        wire.pressure.resumeProducing()
        rig.clock.advance(0.001)
    assert answers == 11
    assert not wire.aborted
    client.lose()


class Slow(Wire):
    """A transport whose peer takes a byte now and then, and never all."""

    def __init__(self) -> None:
        super().__init__()
        self.dataBuffer = b"*" * 1000
        self.offset = 0


def test_a_client_that_reads_slowly_is_not_held_for_one_that_does_not() -> None:
    outer = GuardRig(limits=Limits(write_timeout=10.0, idle_timeout=0))
    inner = BridgeRig(limits=Limits(write_timeout=10.0))
    inner.listening.clock = outer.clock
    wire = Slow()
    below = outer.factory.buildProtocol(None)  # type: ignore[arg-type]
    below.makeConnection(wire)
    guard = GuardFactory(inner.listening).buildProtocol(None)  # type: ignore[arg-type]
    socket = WebSockets(Bounds(ping_interval=0), outer.clock).build(Bridge(guard, ARRIVAL))
    below.protocol = socket
    socket.makeConnection(below)
    socket.shake_hands(head())
    wire.pressure.pauseProducing()
    for _ in range(100):
        wire.offset += 1
        outer.clock.advance(1.0)
    assert not wire.aborted
    outer.clock.pump([1.0] * 20)
    assert wire.aborted
    outer.lose(below, clean=False)
    assert inner.kinds()[-1] == "closed write_timeout"


# -- what is known of the client --------------------------------------------------------------------------


def test_tls_below_is_told_to_services_and_in_facts() -> None:
    tls = TLSArrival("TLSv1.3", "TLS_AES_128_GCM_SHA256", "bench.example", None)
    rig = BridgeRig(lambda: WhoamiFactory().buildProtocol(None))
    rig.listening.transport = "wss"
    client = rig.open(arrival=replace(ARRIVAL, transport="tls", tls=tls))
    told = json.loads(client.received()[0].payload)
    assert (told["transport"], told["address"], told["port"]) == ("wss", "192.0.2.7", 4711)
    assert told["tls"]["server_name"] == "bench.example"
    assert dict(rig.facts[0].detail)["tls"] is not None
    client.lose()


def test_a_client_behind_a_proxy_that_tells_no_port_counts_by_its_address() -> None:
    rig = BridgeRig(limits=Limits(per_address=1))
    clients = [rig.open(arrival=replace(ARRIVAL, address=f"198.51.100.{n}", port=0)) for n in (1, 1, 2)]
    assert [close_code(client.received()) for client in clients] == [None, 1013, None]
    assert rig.services[0].transport.getPeer().host == "198.51.100.1"
    for client in clients:
        client.lose()


def test_a_reply_to_a_compressed_message_is_compressed() -> None:
    client = BridgeRig(Echo).open("permessage-deflate; client_max_window_bits")
    client.send(frame(TEXT, deflated(b"hello " * 100), rsv=4), frame(TEXT, b"plain"))
    assert client.received() == [Frame(TEXT, b"hello " * 100, 4), Frame(TEXT, b"plain")]
    client.lose()


def test_a_transport_without_a_socket_has_nothing_outstanding() -> None:
    rig = BridgeRig()
    client = rig.open()
    bridge = rig.services[0].transport._transport
    assert (bridge.fileno(), bridge.dataBuffer, bridge.offset) == (-1, b"", 0)
    assert bridge.getPeer() == client.wire.getPeer()
    assert bridge.getHost() == client.wire.getHost()
    client.lose()
    bridge.write(b"gone")
    for call in (
        bridge.loseConnection,
        bridge.loseWriteConnection,
        bridge.abortConnection,
        bridge.pauseProducing,
    ):
        call()
