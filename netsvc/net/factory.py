"""
What a port asks for a protocol: it gets a guard, never the service's own.

The port keeps its factory as long as it is open. So it is here that what serves a listener can change while
the listener goes on.
"""

from __future__ import annotations

from zope.interface import implementer

from twisted.internet.interfaces import IAddress, ILoggingContext, IProtocolFactory

from netsvc.net.guard import Guard
from netsvc.net.listening import Listening


@implementer(IProtocolFactory, ILoggingContext)
class GuardFactory:
    """Builds a guard for each connection of one listener."""

    def __init__(self, listening: Listening) -> None:
        """@param listening: what the connections share."""
        self._listening = listening

    def serve(self, listening: Listening) -> None:
        """
        Build guards of another one from now on.

        @param listening: its factory has been started, and will be stopped in place of the present one's.
        """
        self._listening = listening

    def buildProtocol(self, addr: IAddress) -> Guard:
        """A guard; the service's protocol is built later. See `IProtocolFactory`."""
        return Guard(self._listening)

    def logPrefix(self) -> str:
        """How Twisted's own lines name it: as its users know it."""
        return self._listening.service

    def doStart(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStart()

    def doStop(self) -> None:
        """See `IProtocolFactory`."""
        self._listening.factory.doStop()
