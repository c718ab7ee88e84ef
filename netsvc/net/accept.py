"""
A port over a listening socket that is open already.

It stands where `twisted.internet.tcp.Port` does. It exists because that one asks a listening socket of ours to
listen again with a backlog of 50, removes socket files that others own, and, out of descriptors, writes one log
line for each client that it turns away.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twisted.internet import address, defer, main, tcp
from twisted.internet.base import BasePort
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

#: Connections accepted in one turn of the reactor, so that a storm of them cannot keep those inside waiting.
_PER_TURN = 64

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


class TCPServer(tcp.Server):
    """A TCP connection that was accepted."""


class UNIXServer(tcp.Server):
    """
    A UNIX stream connection that was accepted.

    Twisted's own reads with recvmsg and keeps descriptors open that a peer sends along; this one reads bytes,
    and the system drops the rest.
    """

    def getHost(self) -> address.UNIXAddress:
        """The socket's path."""
        return address.UNIXAddress(self.socket.getsockname() or None)

    def getPeer(self) -> address.UNIXAddress:
        """The client's path, None in it for the usual client that has none."""
        return address.UNIXAddress(self.client[0] or None)


@implementer(IListeningPort)
class AcceptPort(BasePort):  # type: ignore[misc]
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
        unlink: str | None = None,
    ) -> None:
        """
        @param sock: a listening stream socket, not blocking; it belongs to the port from now on.
        @param factory: builds the protocols.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        @param turned_away: told of each client that was closed because there was no descriptor for it.
        @param unlink: the socket's file, where it is to be removed at the end.
        """
        BasePort.__init__(self, reactor)
        self.socket = sock
        self.factory = factory
        self._turned_away = turned_away
        self._unlink = unlink
        self._sessions = 0
        self._spare: int | None = None
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
        self._realPortNumber = name[1] if self._on_ip else None
        self._reserve()
        self.factory.doStart()
        self.connected = True
        self.startReading()

    def stopListening(self) -> defer.Deferred[None]:
        """
        Accept no more and close the socket.

        @return: fires when it is closed.
        """
        self.disconnecting = True
        self.stopReading()
        if not self.connected:
            return defer.succeed(None)
        return deferLater(self.reactor, 0, self.connectionLost, Failure(main.CONNECTION_DONE))

    # What the reactor calls when the descriptor failed, and what stopListening is called in a transport.
    loseConnection = stopListening

    def connectionLost(self, reason: Failure) -> None:
        """The socket is done with; see `IReadDescriptor`."""
        if not self.connected:
            return
        BasePort.connectionLost(self, reason)
        self.connected = False
        self._realPortNumber = None
        if self._unlink is not None:
            self._remove_file(self._unlink)
        self.socket.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
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
                    self._log.error("cannot accept on {port}: {error}", port=self.getHost(), error=str(error))
                    return
            else:
                self._accepted(connection, peer)

    def logPrefix(self) -> str:
        """How the reactor's log names it."""
        return "netsvc"

    @property
    def _on_ip(self) -> bool:
        return self.socket.family != socket.AF_UNIX

    def _address(self, name: Any) -> IAddress:
        if self.socket.family == socket.AF_INET6:
            return address.IPv6Address("TCP", *name)
        if self.socket.family == socket.AF_INET:
            return address.IPv4Address("TCP", *name)
        return address.UNIXAddress(name or None)

    def _accepted(self, connection: socket.socket, peer: Any) -> None:
        connection.setblocking(False)
        self._sessions += 1
        make: type[tcp.Server] = UNIXServer
        client = (peer,)
        if self._on_ip:
            make = TCPServer
            client = _with_scope(peer)
            # Answers are small and ready at once: waiting to join them with later ones only makes them late.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = self.factory.buildProtocol(self._address(peer))
        if protocol is None:
            connection.close()
            return
        transport = make(connection, protocol, client, self, self._sessions, self.reactor)  # type: ignore[arg-type]
        protocol.makeConnection(transport)

    def _turn_away(self) -> bool:
        """Out of descriptors: free one, close with its help one who waits, take it back. False: nobody waits."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        try:
            connection, peer = self.socket.accept()
        except OSError:
            # Nobody waits any more, or somebody else took the descriptor: there is none to close.
            self._reserve()
            return False
        connection.close()
        self._reserve()
        self._turned_away(self._address(peer))
        return True

    def _reserve(self) -> None:
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError as error:
            self._log.debug("no descriptor to spare: {error}", error=str(error))

    def _remove_file(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            # Somebody tidied up already.
            return
        except OSError as error:
            self._log.warn("cannot remove the socket file {path}: {error}", path=path, error=error.strerror)


def _with_scope(peer: tuple[Any, ...]) -> tuple[Any, ...]:
    """A link-local IPv6 peer's address with its scope written into it (RFC 4007 section 11)."""
    if len(peer) == 4 and peer[3]:
        host = socket.getnameinfo(peer, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        return (host, *peer[1:])
    return peer
