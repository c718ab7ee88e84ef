"""chargen sends RFC 864's pattern, no faster than it is asked to."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory, IPullProducer

from netsvc.services.chargen import BLOCK, Chargen, ChargenDatagram, ChargenFactory
from tests.services.transports import MemoryTransport, bind, connect

PEER = ("192.0.2.1", 4000)


def pattern(length: int) -> bytes:
    """The pattern, character by character as RFC 864 tells it."""
    text = bytearray()
    line = 0
    while len(text) < length:
        text += bytes(0x20 + (line + column) % 95 for column in range(72)) + b"\r\n"
        line += 1
    return bytes(text[:length])


def connected() -> tuple[Chargen, MemoryTransport]:
    protocol = ChargenFactory().buildProtocol(None)
    assert protocol is not None
    return protocol, connect(protocol)


def test_what_twisted_needs_is_there() -> None:
    verifyObject(IProtocolFactory, ChargenFactory())
    protocol, _ = connected()
    for interface in (IProtocol, IPullProducer, IHalfCloseableProtocol):
        verifyObject(interface, protocol)


def test_the_first_lines_are_those_that_the_rfc_shows() -> None:
    lines = BLOCK.split(b"\r\n")
    assert lines[0] == rb""" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"""
    assert lines[1] == rb"""!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefgh"""
    # Line 25 is the first to go round: after ~ comes space again.
    assert lines[24] == bytes(range(0x38, 0x7F)) + b" "


def test_the_stream_is_the_pattern_for_100_kib_and_on() -> None:
    protocol, transport = connected()
    turns = 102_400 // len(BLOCK) + 2
    for _ in range(turns):
        protocol.resumeProducing()
    assert transport.value() == pattern(turns * len(BLOCK))


def test_it_writes_only_when_asked_and_then_a_bounded_block() -> None:
    protocol, transport = connected()
    assert transport.producer is protocol
    assert transport.streaming is False
    assert transport.value() == b""
    protocol.resumeProducing()
    assert 0 < len(transport.value()) <= 16 * 1024


def test_input_and_its_end_change_nothing() -> None:
    protocol, transport = connected()
    protocol.dataReceived(b"stop!")
    protocol.readConnectionLost()
    protocol.resumeProducing()
    assert transport.value() == pattern(len(BLOCK))
    assert not transport.disconnecting


def test_being_told_to_stop_writes_nothing() -> None:
    protocol, transport = connected()
    protocol.stopProducing()
    protocol.writeConnectionLost()
    assert transport.value() == b""


@settings(deadline=None, max_examples=100)
@given(size=st.integers(0, 2000), seed=st.integers(0, 1000))
def test_a_datagram_has_up_to_512_bytes_and_at_most_what_its_request_earned(size: int, seed: int) -> None:
    protocol = ChargenDatagram(choose=random.Random(seed).randint)
    transport = bind(protocol)
    protocol.datagramReceived(bytes(size), PEER)
    [(answer, addr)] = transport.written
    assert addr == PEER
    assert answer == pattern(len(answer))
    assert len(answer) <= 512
    assert len(answer) + 28 <= 3 * (size + 28)


@pytest.mark.parametrize(("size", "most"), [(0, 56), (151, 509), (152, 512), (65507, 512)])
def test_the_length_is_chosen_from_0_to_the_most_allowed(size: int, most: int) -> None:
    asked = []

    def choose(least: int, most: int) -> int:
        asked.append((least, most))
        return most

    protocol = ChargenDatagram(choose=choose)
    transport = bind(protocol)
    protocol.datagramReceived(bytes(size), PEER)
    assert asked == [(0, most)]
    assert transport.written == [(pattern(most), PEER)]


def test_lengths_differ_from_datagram_to_datagram() -> None:
    protocol = ChargenDatagram()
    transport = bind(protocol)
    for _ in range(200):
        protocol.datagramReceived(bytes(200), PEER)
    assert len({len(answer) for answer, _ in transport.written}) > 1
