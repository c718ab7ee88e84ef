"""The client list beside a dictionary: who registers, stays, is replaced, makes room, and leaves in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twisted.internet.task import Clock

from netsvc.clientlist.memory import ClientList
from tests.fuzz.states.examples import examples

_NAMES = ("ann", "bob", "\u00e9ve", "ANN", '"', "mal\n", "x" * 255)
_ADDRESSES = ("127.0.0.1", "192.0.2.1", "/run/a.sock", "")


class _Entry(NamedTuple):
    """What the model knows of one: when it entered, when it ends, and whether a client holds it."""

    address: str
    port: int | None
    entered: int
    ends: float | None
    held: bool


class _Coming(RuleBasedStateMachine):
    """Clients come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clients = ClientList(self.clock)
        self.model: dict[str, _Entry] = {}
        self.holding: list[tuple[str, int, Callable[[], None]]] = []
        self.watched: dict[str, dict[str, Any]] | None = None
        self.unsubscribe: Callable[[], None] = lambda: None
        self.number = 0

    @rule(
        name=st.sampled_from(_NAMES),
        address=st.sampled_from(_ADDRESSES),
        port=st.sampled_from([1, 40_000, None]),
        ttl=st.sampled_from([0, 1, 5, 60]),
        most=st.sampled_from([1, 3, 100]),
    )
    def register(self, name: str, address: str, port: int | None, ttl: int, most: int) -> None:
        self._enter(name, most)
        ends = self.clock.seconds() + ttl if ttl else None
        self.model[name] = _Entry(address, port, self.number, ends, False)
        self.clients.register(name, address, port, ttl, most)

    @rule(
        name=st.sampled_from(_NAMES),
        address=st.sampled_from(_ADDRESSES),
        port=st.sampled_from([1, None]),
        most=st.sampled_from([1, 3, 100]),
    )
    def hold(self, name: str, address: str, port: int | None, most: int) -> None:
        self._enter(name, most)
        self.model[name] = _Entry(address, port, self.number, None, True)
        self.holding.append((name, self.number, self.clients.hold(name, address, port, most)))

    def _enter(self, name: str, most: int) -> None:
        """The same name makes room for itself; then the oldest leaves, registered ones first."""
        self.number += 1
        self.model.pop(name, None)
        while self.model and len(self.model) >= most:
            oldest = min(self.model, key=lambda one: (self.model[one].held, self.model[one].entered))
            del self.model[oldest]

    @precondition(lambda self: self.holding)
    @rule(which=st.integers(0, 100), twice=st.booleans())
    def let_go(self, which: int, twice: bool) -> None:
        name, number, let_go = self.holding.pop(which % len(self.holding))
        let_go()
        if twice:
            let_go()
        if name in self.model and self.model[name].entered == number:
            del self.model[name]

    @rule(seconds=st.sampled_from([0.5, 1, 4, 5, 59, 60, 100]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        now = self.clock.seconds()
        self.model = {
            name: entry for name, entry in self.model.items() if entry.ends is None or entry.ends > now
        }

    @precondition(lambda self: self.watched is None)
    @rule()
    def subscribe(self) -> None:
        self.watched = self.clients.entries()
        self.unsubscribe = self.clients.subscribe(self._changed)

    def _changed(self, kind: str, document: dict[str, Any]) -> None:
        assert self.watched is not None, "told although it wanted no more"
        name = document["name"]
        if kind == "joined":
            assert name not in self.watched, "joined twice"
            self.watched[name] = document
        else:
            assert self.watched.pop(name) == document, "another has left"

    @precondition(lambda self: self.watched is not None)
    @rule()
    def stop_watching(self) -> None:
        self.unsubscribe()
        self.watched = None

    @invariant()
    def the_list_is_the_model(self) -> None:
        wanted = {
            name: {"name": name, "address": entry.address, "port": entry.port}
            for name, entry in self.model.items()
        }
        assert self.clients.entries() == wanted
        assert self.watched is None or self.watched == wanted
        assert json.loads(self.clients.encoded()) == wanted
        assert json.loads(b"".join(self.clients.pieces())) == wanted

    @invariant()
    def an_address_has_a_name_if_it_has_one(self) -> None:
        for address in _ADDRESSES:
            names = [name for name, entry in self.model.items() if entry.address == address]
            only = names[0] if len(names) == 1 and address else None
            assert self.clients.name_of(address) == only

    def teardown(self) -> None:
        self.clients.close()
        assert not self.clock.getDelayedCalls(), "a timer is left"


TestComing = _Coming.TestCase
TestComing.settings = examples()
