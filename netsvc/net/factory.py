"""What a port asks for a protocol: it gets a guard, never the service's own."""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, IProtocolFactory

from netsvc.net.guard import Guard
from netsvc.net.listening import Listening


@implementer(IProtocolFactory)
class GuardFactory:
    """Builds a guard for each connection of one listener."""

    def __init__(self, listening: Listening) -> None:
        """
        @param listening: what the connections share.
        """
        self._listening = listening

    def buildProtocol(self, addr: IAddress) -> Guard:
        """A guard; the service's protocol is built later. See `IProtocolFactory`."""
        return Guard(self._listening)

    def doStart(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStart()

    def doStop(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStop()
