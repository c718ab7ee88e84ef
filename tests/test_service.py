"""Declarations of services: what they promise, and which of them are refused."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from twisted.plugin import IPlugin

from netsvc.interfaces import INetService
from netsvc.service import NetService, Setting


def shout(**changes: Any) -> NetService:
    """The declaration of the manual, with something changed."""
    arguments: dict[str, Any] = {
        "name": "shout",
        "summary": "Answers in capitals",
        "port": 7001,
        "stream": "shout.ShoutFactory",
        "datagram": "shout.ShoutDatagram",
        "settings": [Setting("times", int, 1, unit="repeats", reason="how often it shouts")],
    }
    return NetService(**{**arguments, **changes})


def test_a_declaration_is_a_plugin_and_a_service() -> None:
    declared = shout()
    assert verifyObject(INetService, declared)
    assert verifyObject(IPlugin, declared)


def test_the_transports_are_those_that_have_a_callable() -> None:
    assert shout().transports == {"stream", "datagram"}
    assert shout(datagram="").transports == {"stream"}
    assert shout(stream="").transports == {"datagram"}


def test_nothing_that_a_declaration_names_is_imported() -> None:
    shout(stream="no.such.module.Factory", shared="no.such.Room")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Shout"}, "lower-case"),
        ({"name": "shout\n"}, "lower-case"),
        ({"name": ""}, "lower-case"),
        ({"name": "limits"}, "reserved"),
        ({"stream": "", "datagram": ""}, "neither a stream nor a datagram side"),
        ({"port": 0}, "0 is no port"),
        ({"port": 65_536}, "65536 is no port"),
        ({"needs": ("jurnal",)}, "it needs jurnal"),
        ({"needs": ("journal",), "noted": False}, "not noted is not recorded"),
        ({"first": "word"}, "first='word'"),
        ({"log": {"arrived": "{peer}"}}, "arrived"),
        ({"limits": {"patience": 1}}, "patience is no setting"),
        ({"limits": {"idle_timeout": -1}}, "limits.idle_timeout: expected"),
        ({"settings": [Setting("idle_timeout", int, 1)]}, "idle_timeout"),
        ({"settings": [Setting("listen", str, "")]}, "listen"),
        ({"settings": [Setting("clients", int, 1)]}, "clients"),
        ({"settings": [Setting("a", int, 1), Setting("a", int, 2)]}, "'a'"),
    ],
)
def test_a_declaration_that_could_not_be_kept_is_refused_and_named(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=r"^service ") as raised:
        shout(**changes)
    assert problem in str(raised.value)
