"""Opens the flows of a load: connections, a few at a time, or sockets for datagrams."""

from __future__ import annotations

import resource
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, FirstError, gatherResults
from twisted.internet.protocol import Factory

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone
from netsvc.commands.datagram_socket import connected_to, find_peer
from netsvc.commands.dialing import TLSOptions, dial
from netsvc.commands.loaddatagrams import DatagramFlow
from netsvc.commands.loadmessage import Messages
from netsvc.commands.loadsocket import ConnectedSocket
from netsvc.commands.loadstream import StreamFlow
from netsvc.commands.loadtally import Tally

#: Connections that are being opened at the same time; a server's backlog may be as short as this.
AT_ONCE = 50

#: Descriptors that this process needs for other things.
_OTHERS = 64


async def open_streams(
    reactor: Any,
    address: Address,
    tls: TLSOptions,
    number: int,
    messages: Messages,
    depth: int,
    expect: str,
    tally: Tally,
) -> list[StreamFlow]:
    """
    Connect so many times.

    @param depth: see `StreamFlow`, as the others that are not `dial`'s.
    @raise NotDone: one of them could not be connected.
    """
    _make_room(number)
    at_once = address.scheme != "tls"
    factory = Factory.forProtocol(lambda: StreamFlow(messages, depth, expect, tally, at_once))
    factory.noisy = False
    # The first alone: what is wrong with it is wrong with all.
    first = await dial(reactor, address, factory, tls)
    turns = DeferredSemaphore(AT_ONCE)
    opening: list[Deferred[StreamFlow]] = [
        turns.run(lambda: Deferred.fromCoroutine(dial(reactor, address, factory, tls)))
        for _ in range(number - 1)
    ]
    try:
        return [first, *await gatherResults(opening, consumeErrors=True)]
    except FirstError as error:
        raise error.subFailure.value or error from None


async def open_datagrams(
    reactor: Any,
    address: Address,
    number: int,
    messages: Messages,
    depth: int,
    expect: str,
    tally: Tally,
    timeout: float,
) -> list[DatagramFlow]:
    """
    Open so many sockets, each for the first address that the name has.

    @param timeout: see `DatagramFlow`.
    @raise NotDone: the name has none, or the system refused a socket.
    """
    _make_room(number)
    peer = await find_peer(reactor, address)
    flows: list[DatagramFlow] = []
    try:
        for _ in range(number):
            opened = ConnectedSocket(reactor, connected_to(peer, address))
            flows.append(DatagramFlow(opened, messages, depth, expect, tally, timeout))
    except NotDone:
        for flow in flows:
            flow.finish(False)
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
