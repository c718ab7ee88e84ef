"""Which addresses are this machine's."""

from __future__ import annotations

import socket

import pytest

from netsvc.net.here import is_here


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3"])
def test_loopback_is(address: str) -> None:
    assert is_here(address)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "fe80::1%nowhere", "none"])
def test_what_is_elsewhere_or_nowhere_is_not(address: str) -> None:
    assert not is_here(address)


def test_where_everything_can_be_bound_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netsvc.net.here._NOBODYS", {socket.AF_INET: "127.0.0.2"})
    assert not is_here("127.0.0.1")
