"""greeting says its sentence and closes."""

from __future__ import annotations

import pytest
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IProtocol, IProtocolFactory

from netsvc.services.greeting import GreetingFactory
from tests.services.transports import connect


def greeted(factory: GreetingFactory) -> bytes:
    protocol = factory.buildProtocol(None)
    verifyObject(IProtocol, protocol)
    assert protocol.factory is factory
    transport = connect(protocol)
    assert transport.disconnecting
    assert not transport.disconnected
    protocol.dataReceived(b"ignored")
    return transport.value()


def test_what_twisted_needs_is_there() -> None:
    verifyObject(IProtocolFactory, GreetingFactory())


def test_the_default_text_ends_in_cr_lf() -> None:
    assert greeted(GreetingFactory()) == b"Thank you for connecting\r\n"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("Hello", b"Hello"),
        ("", b""),
        ("Grüß Gott\n", "Grüß Gott\n".encode()),
        ("{peer} %s \\n", b"{peer} %s \\n"),
        ("\udcff", b"\xff"),
    ],
)
def test_the_text_is_sent_as_it_stands(text: str, sent: bytes) -> None:
    assert greeted(GreetingFactory(text=text)) == sent
