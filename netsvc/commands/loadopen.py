"""Opens the flows of a load: connections, a few at a time, or sockets for datagrams."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, FirstError, gatherResults
from twisted.internet.protocol import Factory

from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_socket import connected_to, find_peer
from netsvc.commands.dialing import dial
from netsvc.commands.loaddatagrams import DatagramFlow
from netsvc.commands.loadmessage import Messages
from netsvc.commands.loadplan import Plan
from netsvc.commands.loadsocket import ConnectedSocket
from netsvc.commands.loadstream import DirectStreamFlow, StreamFlow
from netsvc.commands.loadtally import Tally

#: Connections that are being opened at the same time; a server's backlog may be as short as this.
AT_ONCE = 50

#: Descriptors that this process needs for other things.
_OTHERS = 64


async def open_streams(reactor: Any, plan: Plan, tally: Tally) -> list[StreamFlow]:
    """
    Open the connections of a load.

    @raise NotDone: one of them could not be connected.
    """
    _make_room(plan.connections)
    messages = Messages(plan.size)
    kind = StreamFlow if plan.address.scheme == "tls" else DirectStreamFlow
    factory = Factory.forProtocol(lambda: kind(messages, plan.depth, plan.expect, tally))
    factory.noisy = False
    # The first alone: what is wrong with it is wrong with all.
    first = await dial(reactor, plan.address, factory, plan.tls)
    turns = DeferredSemaphore(AT_ONCE)
    opening: list[Deferred[StreamFlow]] = [
        turns.run(lambda: Deferred.fromCoroutine(dial(reactor, plan.address, factory, plan.tls)))
        for _ in range(plan.connections - 1)
    ]
    try:
        return [first, *await gatherResults(opening, consumeErrors=True)]
    except FirstError as error:
        raise error.subFailure.value or error from None


async def open_datagrams(reactor: Any, plan: Plan, tally: Tally) -> list[DatagramFlow]:
    """
    Open the sockets of a load, each for the first address that the name has.

    @raise NotDone: the name has none, or the system refused a socket.
    """
    _make_room(plan.connections)
    messages = Messages(plan.size)
    peer = await find_peer(reactor, plan.address)
    flows: list[DatagramFlow] = []
    try:
        for _ in range(plan.connections):
            opened = ConnectedSocket(reactor, connected_to(peer, plan.address))
            flows.append(DatagramFlow(opened, messages, plan.depth, plan.expect, tally, plan.timeout))
    except NotDone:
        for flow in flows:
            flow.finish()
        raise
    return flows


def _make_room(number: int) -> None:
    """Raise the soft limit of descriptors to the hard one, and see whether that is enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + _OTHERS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise NotDone(
            f"this process may have {hard} descriptors: enough for {max(hard - _OTHERS, 0)} connections"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
