"""daytime sends one line as RFC 867 has it."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.services.clock import SECOND
from netsvc.services.daytime import DaytimeDatagram, DaytimeFactory, daytime
from tests.services.transports import bind, connect

MOMENT = 1_473_971_352 * SECOND


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 253_370_764_800 * SECOND))
def test_the_line_has_10_to_29_bytes_of_printable_ascii_and_cr_lf(moment: int) -> None:
    line = daytime(moment)
    assert 10 <= len(line) <= 29
    assert line.endswith(b"\r\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-2])


def test_a_connection_gets_the_line_and_is_closed_cleanly() -> None:
    factory = DaytimeFactory(now=lambda: MOMENT)
    verifyObject(IProtocolFactory, factory)
    protocol = factory.buildProtocol(None)
    verifyObject(IProtocol, protocol)
    assert protocol.factory is factory
    transport = connect(protocol)
    assert transport.value() == time.ctime(MOMENT // SECOND).encode() + b"\r\n"
    assert transport.disconnecting
    assert not transport.disconnected


def test_each_datagram_gets_one_reply_to_its_sender() -> None:
    protocol = DaytimeDatagram(now=lambda: MOMENT)
    transport = bind(protocol)
    for datagram in (b"", b"what is the time?"):
        protocol.datagramReceived(datagram, ("192.0.2.1", 4000))
    assert transport.written == [(daytime(MOMENT), ("192.0.2.1", 4000))] * 2


def test_without_a_clock_of_ours_it_is_now() -> None:
    before = int(time.time())
    line = connect(DaytimeFactory().buildProtocol(None)).value()
    told = time.mktime(time.strptime(line.decode().strip()))
    assert before <= told <= time.time()
