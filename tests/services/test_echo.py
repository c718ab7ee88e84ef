"""echo gives back what came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.services.echo import Echo, EchoDatagram, EchoFactory
from tests.services.transports import MemoryTransport, bind, connect


def connected(disconnect: str = "") -> tuple[Echo, MemoryTransport]:
    echo = EchoFactory(disconnect=disconnect).buildProtocol(None)
    return echo, connect(echo)


def test_what_twisted_needs_is_there() -> None:
    verifyObject(IProtocolFactory, EchoFactory())
    verifyObject(IProtocol, connected()[0])
    verifyObject(IProtocol, connected("bye")[0])


def test_a_protocol_knows_its_factory() -> None:
    factory = EchoFactory(disconnect="bye")
    assert factory.buildProtocol(None).factory is factory


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=2000)))
def test_every_chunk_comes_back(chunks: list[bytes]) -> None:
    echo, transport = connected()
    for chunk in chunks:
        echo.dataReceived(chunk)
    assert transport.value() == b"".join(chunks)
    assert not transport.disconnecting


@pytest.mark.parametrize("message", [b"QUIT", b"please QUIT now\r\n", b"\x00QUIT\xff"])
def test_a_first_message_with_the_text_has_the_connection_reset(message: bytes) -> None:
    echo, transport = connected("QUIT")
    echo.dataReceived(message)
    assert transport.disconnected
    assert transport.value() == b""


def test_the_text_in_a_later_message_is_echoed() -> None:
    echo, transport = connected("QUIT")
    echo.dataReceived(b"hello")
    echo.dataReceived(b"QUIT")
    assert not transport.disconnected
    assert transport.value() == b"helloQUIT"


def test_the_text_may_be_bytes_that_are_not_utf8() -> None:
    echo, transport = connected("\udcff!")
    echo.dataReceived(b"a\xff!")
    assert transport.disconnected


def test_without_a_text_nothing_resets() -> None:
    echo, transport = connected("")
    echo.dataReceived(b"")
    echo.dataReceived(b"anything")
    assert not transport.disconnected
    assert transport.value() == b"anything"


@pytest.mark.parametrize("size", [0, 1, 10, 100, 1200, 65507])
def test_a_datagram_goes_back_whole_to_its_sender(size: int) -> None:
    echo = EchoDatagram(disconnect="x")
    transport = bind(echo)
    datagram = b"x" * size
    echo.datagramReceived(datagram, ("192.0.2.1", 4000))
    assert transport.written == [(datagram, ("192.0.2.1", 4000))]
