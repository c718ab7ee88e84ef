"""
Connections on a reactor that a test turns by hand.

What our transports alone do is tried on our reactor and on Twisted's for select. What they share with
Twisted's is tried on Twisted's own too, so that a test cannot hold of ours what it does not hold of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from twisted.internet import tcp

from netsvc.net.fast.stream import Server
from tests.net.fast.descriptors import Descriptor
from tests.net.fast.rig import Noting, Pair, reactor_of

Connect = Callable[..., Pair]
Make = Callable[..., Descriptor]


@pytest.fixture(params=["netsvc", "select"])
def reactor(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A reactor for our transports."""
    with reactor_of(request.param) as made:
        yield made


@pytest.fixture
def ours(reactor: Any) -> Iterator[Connect]:
    """Makes connections of ours, for a protocol or without one."""
    yield from _connections(reactor, Server)


@pytest.fixture(params=["netsvc", "select", "Twisted's own"])
def anybodys(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes connections of ours, and Twisted's own."""
    own = request.param == "Twisted's own"
    with reactor_of("epoll" if own else request.param) as made:
        yield from _connections(made, tcp.Server if own else Server)


def _connections(reactor: Any, server: Callable[..., Any]) -> Iterator[Connect]:
    pairs: list[Pair] = []

    def connect(protocol: Noting | None = None, **options: Any) -> Pair:
        pairs.append(Pair(reactor, protocol, server, **options))
        return pairs[-1]

    yield connect
    for pair in pairs:
        pair.close()


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes descriptors."""
    made: list[Descriptor] = []

    def new(name: str = "", readable: bool = True) -> Descriptor:
        made.append(Descriptor(name, readable))
        return made[-1]

    yield new
    for descriptor in made:
        descriptor.close()
