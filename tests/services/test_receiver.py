"""The receiver is silent, or acknowledges every message."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.services.receiver import ReceiverDatagram, ReceiverFactory
from tests.services.transports import Address, bind, connect

PEER = ("192.0.2.1", 54321)


def on_stream(*chunks: bytes, **settings: str) -> bytes:
    protocol = ReceiverFactory(**settings).buildProtocol(None)
    transport = connect(protocol)
    for chunk in chunks:
        protocol.dataReceived(chunk)
    assert not transport.disconnecting
    return transport.value()


def on_datagrams(*datagrams: bytes, addr: Any = PEER, **settings: str) -> list[tuple[bytes, Address]]:
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
