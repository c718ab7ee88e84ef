"""Tests of the sensor, with netsvc as its collector."""

import pytest
import sensor


def test_a_reading_arrives_once(netsvc):
    assert sensor.tell(*netsvc.receiver.address, "kitchen", "21.5")

    [fact] = netsvc.wait(contains="kitchen 21.5", service="receiver", kind="received")
    assert fact.data == b"kitchen 21.5\n"
    # Acknowledged the first time, it is not sent again.
    assert len(netsvc.facts(kind="received")) == 1


@pytest.mark.netsvc("--udp", "udp://127.0.0.1:0?ack=off")
def test_a_reading_is_repeated_until_it_is_acknowledged(netsvc):
    assert not sensor.tell(*netsvc.receiver.address, "kitchen", "21.5")

    netsvc.wait(contains="kitchen 21.5", service="receiver", count=sensor.TRIES)
