"""The receiver is silent, or acknowledges every message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.python.failure import Failure

from netsvc.interfaces import Arrival, IArrivalDatagramTransport, IJournal, IKeptWhole
from netsvc.services.receiver import MOST_UNRECORDED, ReceiverDatagram, ReceiverFactory
from tests.services.transports import Address, MemoryDatagrams, MemoryTransport, bind, connect

PEER = ("192.0.2.1", 54321)


def on_stream(*chunks: bytes, **settings: Any) -> bytes:
    protocol = ReceiverFactory(**settings).buildProtocol(None)
    transport = connect(protocol)
    for chunk in chunks:
        protocol.dataReceived(chunk)
    assert not transport.disconnecting
    return transport.value()


def on_datagrams(*datagrams: bytes, addr: Any = PEER, **settings: Any) -> list[tuple[bytes, Address]]:
    protocol = ReceiverDatagram(**settings)
    transport = bind(protocol)
    for datagram in datagrams:
        protocol.datagramReceived(datagram, addr)
    return transport.written


def test_its_interfaces() -> None:
    factory = ReceiverFactory()
    verifyObject(IProtocolFactory, factory)
    verifyObject(IProtocol, factory.buildProtocol(None))


def test_by_default_nothing_is_answered() -> None:
    assert on_stream(b"Hello you there!", b"\0" * 65_536) == b""
    assert on_datagrams(b"Hello you there!", b"", b"\0" * 65_507) == []


def test_each_chunk_is_acknowledged() -> None:
    assert on_stream(b"one", b"two", ack="received") == b"Got your message!" * 2


def test_each_datagram_is_acknowledged_to_its_sender_an_empty_one_too() -> None:
    assert on_datagrams(b"one", b"", ack="received") == [(b"Got your message!", PEER)] * 2


def test_the_text_is_sent_as_it_stands() -> None:
    assert on_stream(b"x", ack="received", ack_text="ré\r\n\udcff") == b"r\xc3\xa9\r\n\xff"
    assert on_datagrams(b"x", ack="received", ack_text="ré\r\n\udcff") == [(b"r\xc3\xa9\r\n\xff", PEER)]


def test_an_empty_text_is_an_empty_datagram_and_nothing_on_a_stream() -> None:
    assert on_stream(b"x", ack="received", ack_text="") == b""
    assert on_datagrams(b"x", ack="received", ack_text="") == [(b"", PEER)]


@pytest.mark.parametrize("addr", [None, ""])
def test_a_sender_without_an_address_gets_no_acknowledgement(addr: object) -> None:
    assert on_datagrams(b"x", addr=addr, ack="received") == []


@pytest.mark.parametrize("make", [ReceiverFactory, ReceiverDatagram])
def test_recorded_is_refused_with_one_line_for_want_of_a_journal(
    make: type[ReceiverFactory] | type[ReceiverDatagram],
) -> None:
    with pytest.raises(ValueError, match="`ack = recorded` needs a journal") as caught:
        make(ack="recorded")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [ReceiverFactory, ReceiverDatagram])
def test_an_unknown_kind_of_acknowledgement_is_refused(
    make: type[ReceiverFactory] | type[ReceiverDatagram],
) -> None:
    with pytest.raises(ValueError, match="expected one of off, received, recorded"):
        make(ack="always")


def test_a_text_that_fits_no_datagram_is_refused() -> None:
    on_datagrams(b"x", ack="received", ack_text="x" * 65_507)
    with pytest.raises(ValueError, match="65,507 bytes"):
        ReceiverDatagram(ack="received", ack_text="x" * 65_508)


# -- acknowledged as recorded -----------------------------------------------------------------------------


@implementer(IArrivalDatagramTransport)
class AskedDatagrams(MemoryDatagrams):
    """
    Datagrams that come to several addresses.

    @ivar here: the address at which the next one arrives.
    @ivar left: every answer, with the address from which it left.
    """

    here = "192.0.2.8"

    def __init__(self) -> None:
        super().__init__()
        self.left: list[tuple[bytes, str]] = []

    def arrival_of(self, addr: Address) -> Arrival:
        raise NotImplementedError

    def answer_to(self, addr: Address) -> Callable[[bytes], None]:
        here = self.here

        def answer(packet: bytes) -> None:
            self.left.append((packet, here))
            self.write(packet, addr)  # type: ignore[no-untyped-call]

        return answer


@implementer(IJournal)
class Journal:
    """One whose commits are the test's to make."""

    broken = ""
    lost = 0
    lag = 0.0

    def __init__(self) -> None:
        self.promises: list[Deferred[bool]] = []

    def recorded(self) -> Deferred[bool]:
        promise: Deferred[bool] = Deferred()
        self.promises.append(promise)
        return promise

    def commit(self, count: int = 1, written: bool = True) -> None:
        """So many messages are on disk, or may not be."""
        promises, self.promises = self.promises[:count], self.promises[count:]
        for promise in promises:
            promise.callback(written)


def recording(journal: Journal) -> tuple[Any, MemoryTransport]:
    protocol: Any = ReceiverFactory("recorded", "ok", journal).buildProtocol(None)
    return protocol, connect(protocol)


def test_only_those_that_promise_have_their_messages_kept_whole() -> None:
    journal = Journal()
    for make in (ReceiverFactory, ReceiverDatagram):
        assert IKeptWhole.providedBy(make("recorded", "ok", journal))
        assert not IKeptWhole.providedBy(make("received", "ok", journal))
    assert verifyObject(IProtocolFactory, ReceiverFactory("recorded", "ok", journal))


def test_a_datagram_is_acknowledged_once_it_is_recorded() -> None:
    journal = Journal()
    protocol = ReceiverDatagram("recorded", "ok", journal)
    transport = bind(protocol, AskedDatagrams())
    other = ("192.0.2.2", 1)
    protocol.datagramReceived(b"one", PEER)
    protocol.datagramReceived(b"two", other)
    assert transport.written == []
    journal.commit()
    assert transport.written == [(b"ok", PEER)]
    journal.commit()
    assert transport.written == [(b"ok", PEER), (b"ok", other)]


def test_a_recorded_datagram_is_acknowledged_from_where_it_asked() -> None:
    journal, transport = Journal(), AskedDatagrams()
    assert verifyObject(IArrivalDatagramTransport, transport)
    protocol = ReceiverDatagram("recorded", "ok", journal)
    bind(protocol, transport)
    protocol.datagramReceived(b"one", PEER)
    transport.here = "192.0.2.9"
    protocol.datagramReceived(b"two", PEER)
    journal.commit(2)
    assert transport.left == [(b"ok", "192.0.2.8"), (b"ok", "192.0.2.9")]


def test_a_datagram_that_could_not_be_recorded_is_not_acknowledged() -> None:
    journal = Journal()
    protocol = ReceiverDatagram("recorded", "ok", journal)
    transport = bind(protocol, AskedDatagrams())
    protocol.datagramReceived(b"one", PEER)
    journal.commit(written=False)
    assert transport.written == []


def test_what_is_recorded_when_the_port_is_closed_is_told_nobody() -> None:
    journal = Journal()
    protocol = ReceiverDatagram("recorded", "ok", journal)
    transport = bind(protocol, AskedDatagrams())
    protocol.datagramReceived(b"one", PEER)
    protocol.doStop()  # type: ignore[no-untyped-call]
    # A Deferred's own: what it was called for is called at once, and an error would stay in it.
    (promise,) = journal.promises
    journal.commit()
    promise.addErrback(lambda failure: failure.raiseException())
    assert promise.result is None
    assert transport.written == []


def test_a_chunk_is_acknowledged_once_it_is_recorded() -> None:
    journal = Journal()
    protocol, transport = recording(journal)
    protocol.dataReceived(b"one")
    protocol.dataReceived(b"two")
    assert transport.value() == b""
    journal.commit()
    assert transport.value() == b"ok"
    journal.commit()
    assert transport.value() == b"okok"
    assert not transport.disconnecting


def test_a_connection_ends_on_which_something_could_not_be_recorded() -> None:
    # Else the acknowledgement of the third chunk would be taken for that of the second.
    journal = Journal()
    protocol, transport = recording(journal)
    for chunk in (b"one", b"two", b"three"):
        protocol.dataReceived(chunk)
    journal.commit()
    journal.commit(written=False)
    assert transport.disconnecting
    journal.commit()
    assert transport.value() == b"ok"


def test_a_client_that_has_finished_sending_is_still_acknowledged() -> None:
    journal = Journal()
    protocol, transport = recording(journal)
    assert verifyObject(IHalfCloseableProtocol, protocol)
    protocol.dataReceived(b"one")
    protocol.dataReceived(b"two")
    protocol.readConnectionLost()
    journal.commit()
    open_until_then = not transport.disconnecting
    journal.commit()
    assert (open_until_then, transport.disconnecting) == (True, True)
    assert transport.value() == b"okok"


def test_a_client_that_has_finished_sending_and_was_acknowledged_is_done() -> None:
    protocol, transport = recording(Journal())
    protocol.readConnectionLost()
    assert transport.disconnecting


def test_what_is_recorded_when_the_client_has_gone_is_told_nobody() -> None:
    journal = Journal()
    protocol, transport = recording(journal)
    protocol.dataReceived(b"one")
    protocol.connectionLost(Failure(ConnectionDone()))
    journal.commit()
    assert transport.value() == b""


def test_who_sends_faster_than_the_disk_writes_has_to_wait() -> None:
    journal = Journal()
    protocol, transport = recording(journal)
    for _ in range(MOST_UNRECORDED):
        assert transport.producerState == "producing"
        protocol.dataReceived(b"x")
    assert transport.producerState == "paused"
    journal.commit()
    assert transport.producerState == "producing"
    journal.commit(MOST_UNRECORDED - 1)
    assert transport.value() == b"ok" * MOST_UNRECORDED
