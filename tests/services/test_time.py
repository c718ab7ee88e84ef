"""time sends four bytes as RFC 868 has them."""

from __future__ import annotations

import struct

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.services.clock import SECOND
from netsvc.services.time import TimeDatagram, TimeFactory, seconds_since_1900
from tests.services.transports import bind, connect


@pytest.mark.parametrize(
    ("epoch_seconds", "told"),
    [
        # The examples that RFC 868 itself gives, and the wrap.
        (0, 2_208_988_800),
        (2_398_291_200 - 2_208_988_800, 2_398_291_200),
        (2_629_584_000 - 2_208_988_800, 2_629_584_000),
        (2_085_978_495, 2**32 - 1),
        (2_085_978_496, 0),
        (2_085_978_497, 1),
    ],
)
def test_seconds_since_1900_big_endian_modulo_32_bits(epoch_seconds: int, told: int) -> None:
    for rest in (0, SECOND - 1):
        assert struct.unpack("!I", seconds_since_1900(epoch_seconds * SECOND + rest)) == (told,)


def test_a_connection_gets_four_bytes_and_is_closed_cleanly() -> None:
    factory = TimeFactory(now=lambda: SECOND)
    verifyObject(IProtocolFactory, factory)
    protocol = factory.buildProtocol(None)
    verifyObject(IProtocol, protocol)
    assert protocol.factory is factory
    transport = connect(protocol)
    assert transport.value() == b"\x83\xaa\x7e\x81"
    assert transport.disconnecting
    assert not transport.disconnected


def test_each_datagram_gets_four_bytes() -> None:
    protocol = TimeDatagram(now=lambda: 0)
    transport = bind(protocol)
    protocol.datagramReceived(b"", ("192.0.2.1", 4000))
    protocol.datagramReceived(b"x", ("192.0.2.2", 4001))
    assert transport.written == [
        (b"\x83\xaa\x7e\x80", ("192.0.2.1", 4000)),
        (b"\x83\xaa\x7e\x80", ("192.0.2.2", 4001)),
    ]
