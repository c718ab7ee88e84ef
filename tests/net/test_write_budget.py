"""What may wait for clients that do not read: so much for each, and so much for all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netsvc.net.admission import SHARED_BUDGET
from netsvc.net.guard import Guard
from netsvc.settings import Limits
from tests.net.guard_rig import Rig, Wire

LIMITS = Limits(new_per_second=1e6)
BUDGET = LIMITS.write_budget

#: So many may have their whole budget.
FEW = SHARED_BUDGET // BUDGET


def stalled(rig: Rig, count: int) -> list[tuple[Guard, Wire]]:
    clients = [rig.connect() for _ in range(count)]
    for _, wire in clients:
        wire.pressure.pauseProducing()
    return clients


def test_a_few_have_their_own_budget_each() -> None:
    rig = Rig(limits=LIMITS)
    clients = stalled(rig, FEW)
    for service in rig.services:
        service.transport.write(bytes(BUDGET))
    assert not any(wire.aborted for _, wire in clients)


def test_many_share_one() -> None:
    rig = Rig(limits=LIMITS)
    clients = stalled(rig, 8 * FEW)
    piece = bytes(BUDGET // 32)
    for _ in range(8):
        for service in rig.services:
            service.transport.write(piece)
    assert all(wire.aborted for _, wire in clients)
    assert sum(len(wire.sent()) for _, wire in clients) <= SHARED_BUDGET


@pytest.mark.parametrize(
    "end", [Rig.lose, lambda guard: guard.flow(), lambda guard: guard.writeConnectionLost()]
)
def test_who_reads_again_or_is_gone_takes_no_share(end: Callable[[Guard], None]) -> None:
    rig = Rig(limits=LIMITS)
    others, (last,) = stalled(rig, 8 * FEW), stalled(rig, 1)
    for guard, _ in others:
        end(guard)
    rig.services[-1].transport.write(bytes(BUDGET))
    assert not last[1].aborted
    rig.services[-1].transport.write(b"x")
    assert last[1].aborted


def test_who_was_aborted_takes_its_share_along() -> None:
    rig = Rig(limits=LIMITS)
    (guard, wire), (_, other) = stalled(rig, 2)
    rig.services[0].transport.write(bytes(BUDGET + 1))
    assert wire.aborted
    rig.lose(guard, clean=False)
    assert rig.listening.admission.write_budget() == BUDGET
    assert not other.aborted
