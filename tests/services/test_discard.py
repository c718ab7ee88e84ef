"""discard reads and says nothing."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory

from netsvc.services.discard import DiscardDatagram, DiscardFactory
from tests.services.transports import bind, connect


def test_it_is_silent_and_stays_open() -> None:
    factory = DiscardFactory()
    verifyObject(IProtocolFactory, factory)
    protocol = factory.buildProtocol(None)
    assert protocol is not None
    verifyObject(IProtocol, protocol)
    transport = connect(protocol)
    for chunk in (b"", b"x", b"y" * 100_000):
        protocol.dataReceived(chunk)
    assert transport.value() == b""
    assert not transport.disconnecting
    assert transport.producerState == "producing"


def test_the_end_of_input_is_left_to_close_the_connection() -> None:
    assert not IHalfCloseableProtocol.providedBy(DiscardFactory().buildProtocol(None))


def test_a_datagram_gets_no_answer() -> None:
    protocol = DiscardDatagram()
    transport = bind(protocol)
    protocol.datagramReceived(b"anything", ("192.0.2.1", 4000))
    assert transport.written == []
