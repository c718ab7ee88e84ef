"""
A port over a listening socket that is open already.

It stands where `twisted.internet.tcp.Port` does. It exists because that one asks a listening socket of ours
to listen again with a backlog of 50 and, out of descriptors, writes one log line for each client that it
turns away.

The file of a UNIX socket is not its business: whoever opened the socket removes that.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet import address, defer, main
from twisted.internet.base import BasePort
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.net.fast.stream import Server
from netsvc.net.rarelog import RareLog

#: Connections accepted in one turn of the reactor, so that a storm of them cannot keep those inside waiting.
_PER_TURN = 64

#: Connections that may wait to be accepted; what Linux allows unless it is told otherwise (listen(2)).
_DEEPEST_BACKLOG = 4096

#: Seconds without accepting when the system cannot give what it takes; a readable socket would spin the loop.
_REST = 1.0

#: The process or the system is out of descriptors.
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

#: What accept says of a connection that is not there any more, or that a packet filter forbade: try the next.
_GONE = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPERM,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.EINTR,
    }
)


class UNIXServer(Server):
    """
    A UNIX stream connection that was accepted.

    Twisted's own reads with recvmsg, and takes in descriptors that a peer sends along, with a line of the log
    for each; this one reads bytes, and the system drops the rest.
    """

    client: tuple[Any, ...]

    def logPrefix(self) -> str:
        """How the reactor's log names it: not by the client's path, which may be any bytes."""
        return "netsvc"

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is held back on such a socket; Twisted's would fail, and log it, when HTTP asks for it."""

    def getHost(self) -> address.UNIXAddress:
        """The socket's path."""
        return address.UNIXAddress(self.socket.getsockname() or None)

    def getPeer(self) -> address.UNIXAddress:
        """The client's path, None in it for the usual client that has none."""
        return address.UNIXAddress(self.client[0] or None)


@implementer(IListeningPort)
class AcceptPort(BasePort):
    """Accepts connections for a factory."""

    _log = Logger()

    # Servers that Twisted made look at this for their names.
    _realPortNumber: int | None = None

    def __init__(
        self,
        sock: socket.socket,
        factory: IProtocolFactory,
        reactor: Any,
        turned_away: Callable[[IAddress], None],
    ) -> None:
        """
        @param sock: a listening stream socket, not blocking; it belongs to the port from now on.
        @param factory: builds the protocols.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        @param turned_away: told of each client that was closed because there was no descriptor for it.
        """
        BasePort.__init__(self, reactor)
        self.socket = sock
        # At hand, because the socket makes it anew whenever it is asked.
        self._family = sock.family
        self.factory = factory
        self._turned_away = turned_away
        self._reactor = reactor
        self._sessions = 0
        self._spare: int | None = None
        self._resting: IDelayedCall | None = None
        self._rare = RareLog(self._log, reactor.seconds)
        self.disconnecting = False

    def fileno(self) -> int:
        """The listening socket's descriptor, -1 when it is closed."""
        return self.socket.fileno()

    def getHost(self) -> IAddress:
        """The address that it listens on."""
        return self._address(self.socket.getsockname())

    def startListening(self) -> None:
        """Begin to accept."""
        name = self.socket.getsockname()
        if self._on_ip:
            # Answers are small and ready at once: waiting to join them with later ones only makes them late.
            # Connections have it from the socket that they were accepted on.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._realPortNumber = name[1] if self._on_ip else None
        self.factory.doStart()
        self._reserve()
        self.connected = True
        self._reactor.addReader(self)

    def stopListening(self) -> defer.Deferred[None]:
        """
        Accept no more and close the socket.

        @return: fires when it is closed.
        """
        self.disconnecting = True
        self._reactor.removeReader(self)
        self._cancel_rest()
        if not self.connected:
            self.socket.close()
            return defer.succeed(None)
        return deferLater(self._reactor, 0, self.connectionLost, Failure(main.CONNECTION_DONE))

    # What the reactor calls when the descriptor failed, and what stopListening is called in a transport.
    loseConnection = stopListening

    def connectionLost(self, reason: Failure) -> None:
        """The socket is done with; see `IReadDescriptor`."""
        if not self.connected:
            return
        BasePort.connectionLost(self, reason)
        self.connected = False
        self._realPortNumber = None
        self._cancel_rest()
        self.socket.close()
        self._release()
        self.factory.doStop()

    def doRead(self) -> None:
        """Accept who is waiting, up to a number; see `IReadDescriptor`."""
        for _ in range(_PER_TURN):
            try:
                connection, peer = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    if not self._turn_away():
                        return
                elif error.errno not in _GONE:
                    self._rest(error)
                    return
            else:
                self._accepted(connection, peer)

    def take_in(self) -> None:
        """Accept all who wait, now, as the last thing before `end`; who cannot be accepted waits on."""
        self._cancel_rest()
        for _ in range(_DEEPEST_BACKLOG // _PER_TURN):
            self.doRead()
            if self._resting is not None:
                return

    def end(self) -> None:
        """Close the socket now; `stopListening` has nothing left to do then."""
        self._reactor.removeReader(self)
        self.connectionLost(Failure(main.CONNECTION_DONE))

    def logPrefix(self) -> str:
        """How the reactor's log names it."""
        return "netsvc"

    @property
    def _on_ip(self) -> bool:
        return self._family != socket.AF_UNIX

    def _address(self, name: Any) -> IAddress:
        if self._family == socket.AF_INET6:
            return address.IPv6Address("TCP", *name)
        if self._family == socket.AF_INET:
            return address.IPv4Address("TCP", *name)
        return address.UNIXAddress(name or None)

    def _accepted(self, connection: socket.socket, peer: Any) -> None:
        transport = None
        try:
            protocol = self.factory.buildProtocol(self._address(peer))
            if protocol is None:
                connection.close()
                return
            transport = self._transport(connection, peer, protocol)
            protocol.makeConnection(transport)
        except Exception:  # noqa: BLE001 - the reactor would close the port for it: one connection's fault ends that one
            self._rare.failure("connection", "a connection to {port} could not begin", port=self.getHost())
            if transport is None:
                connection.close()
            else:
                transport.abortConnection()

    def _transport(self, connection: socket.socket, peer: Any, protocol: IProtocol) -> Server:
        self._sessions += 1
        port: Any = self
        if not self._on_ip:
            return UNIXServer(connection, protocol, (peer,), port, self._sessions, self._reactor)
        return Server(connection, protocol, _with_scope(peer), port, self._sessions, self._reactor)

    def _turn_away(self) -> bool:
        """Out of descriptors: free one, close one who waits with it, take it back. False: try no more."""
        self._release()
        try:
            connection, peer = self.socket.accept()
        except BlockingIOError:
            # Out of descriptors, the system says so before it looks whether anybody waits. Nobody did.
            self._reserve()
            return False
        except OSError as error:
            self._reserve()
            if error.errno not in _GONE:
                # There was none to free, or somebody else has taken it.
                self._rest(error)
                return False
            return True
        connection.close()
        self._reserve()
        self._turned_away(self._address(peer))
        return True

    def _reserve(self) -> None:
        if self._spare is None:
            try:
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                self._log.debug("no descriptor to spare: {error}", error=str(error))

    def _release(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _rest(self, error: OSError) -> None:
        """Clients wait, and none can be accepted just now."""
        self._log.error("cannot accept on {port} for now: {error}", port=self.getHost(), error=error.strerror)
        self._reactor.removeReader(self)
        self._resting = self._reactor.callLater(_REST, self._wake)

    def _wake(self) -> None:
        self._resting = None
        self._reserve()
        self._reactor.addReader(self)

    def _cancel_rest(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None


def _with_scope(peer: tuple[Any, ...]) -> tuple[Any, ...]:
    """A link-local IPv6 peer's address with its scope written into it (RFC 4007 section 11)."""
    if len(peer) == 4 and peer[3]:
        host = socket.getnameinfo(peer, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        return (host, *peer[1:])
    return peer
