"""Each case of the table, with limits opened and with those that are shipped, however the bytes are cut."""

from __future__ import annotations

import pytest

from netsvc.services.echo import Echo
from tests.web.conformance import MIB, Case, cases
from tests.web.frames import Frame, close_code
from tests.web.socket_rig import OPEN, BridgeRig, Client

#: More would take long, one byte at a time.
_SMALL = 2048

CASES = cases()


def outcome(client: Client) -> tuple[list[Frame], int | None]:
    """What came before the Close, and its code."""
    frames = client.received()
    assert client.wire.closed
    assert not client.wire.aborted
    return frames[:-1], close_code(frames)


def expected(case: Case) -> tuple[list[Frame], int]:
    return list(case.answers), case.code


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_with_limits_opened(case: Case) -> None:
    client = BridgeRig(Echo, OPEN).open(case.offer)
    client.send(*case.sent)
    assert outcome(client) == expected(case)
    client.lose()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_with_the_limits_that_are_shipped(case: Case) -> None:
    client = BridgeRig(Echo).open(case.offer)
    client.send(*case.sent)
    assert outcome(client) == expected(case.within(MIB))
    client.lose()


@pytest.mark.parametrize(
    "case", [case for case in CASES if len(b"".join(case.sent)) <= _SMALL], ids=lambda case: case.name
)
def test_however_it_is_cut(case: Case) -> None:
    whole = b"".join(case.sent)
    at_once = BridgeRig(Echo, OPEN).open(case.offer)
    at_once.send(whole)
    assert outcome(at_once) == expected(case)
    at_once.lose()
    by_byte = BridgeRig(Echo, OPEN).open(case.offer)
    by_byte.send(*(whole[n : n + 1] for n in range(len(whole))))
    assert outcome(by_byte) == expected(case)
    by_byte.lose()
