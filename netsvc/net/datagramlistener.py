"""A listener for datagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from netsvc.counters import Counts
from netsvc.facts import Facts
from netsvc.net.datagram import DatagramPort, OwnAddresses
from netsvc.net.listener import Place, SocketListener, unexpected
from netsvc.net.listening import Guarded, Listening
from netsvc.net.sockets import OpenSocket, unlink_path
from netsvc.settings import Limits

#: Seconds between looks at what the system dropped of a datagram socket's input.
_DROP_LOOKS = 1.0

#: Seconds in which a datagram protocol whose place another one has taken may still answer what it received:
#: longer than a disk takes for what is to be acknowledged as recorded.
_LAST_ANSWERS = 30.0

_log = Logger()


class DatagramListener(SocketListener):
    """A datagram socket that is open already."""

    listening: Listening | None = None

    def __init__(
        self,
        opened: OpenSocket,
        protocol: AbstractDatagramProtocol,
        service: str,
        limits: Limits,
        facts: Facts,
        own: OwnAddresses,
        reactor: Any,
    ) -> None:
        """
        @param opened: the socket.
        @param protocol: the service's.
        @param service: its name.
        @param limits: what peers may cost.
        @param facts: where facts go.
        @param own: all datagram addresses of this daemon, which are never answered.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        """
        super().__init__(opened)
        binding = opened.binding
        self._reactor = reactor
        self._service = service
        self._port = DatagramPort(
            opened.sock,
            protocol,
            reactor,
            facts,
            service,
            binding.url,
            binding.transport,
            limits,
            own,
        )
        # Those before, and what will stop them.
        self._leaving: dict[AbstractDatagramProtocol, IDelayedCall] = {}
        self._drops = LoopingCall(self._port.check_drops)
        self._drops.clock = reactor

    def start(self) -> Deferred[None]:
        """See `Listener`."""
        self._port.startListening()
        self._drops.start(_DROP_LOOKS, now=False).addErrback(unexpected)
        return succeed(None)

    def connect(self, protocol: AbstractDatagramProtocol) -> None:
        """
        Prepare to `renew`; what the protocol's `startProtocol` raises is raised.

        @param protocol: what the datagrams will go to.
        """
        if protocol is not self._port.protocol:
            protocol.makeConnection(self._port)

    def disconnect(self, protocol: AbstractDatagramProtocol) -> None:
        """Nothing comes of what `connect` has prepared."""
        if protocol is not self._port.protocol:
            protocol.doStop()

    def renew(self, protocol: AbstractDatagramProtocol, limits: Limits) -> None:
        """
        Hand whatever comes from now on to another protocol, under other limits.

        @param protocol: it has been connected.
        """
        former = self._port.protocol
        self._port.change(protocol, limits)
        if former is not protocol:
            self._leaving[former] = self._reactor.callLater(_LAST_ANSWERS, self._stop, former)

    def _stop(self, former: AbstractDatagramProtocol) -> None:
        call = self._leaving.pop(former)
        if call.active():
            call.cancel()
        try:
            former.doStop()
        except Exception:  # noqa: BLE001 - it may be anybody's; nobody waits for it
            _log.failure("{service} failed to stop", service=self._service)

    def place(self) -> Place:
        """See `Listener`."""
        return self.place_of(self._service)

    def leave_to(self, other: SocketListener) -> None:
        """See `SocketListener`; who has sent something already is answered by this one."""
        self._port.take_in()

    def connections(self) -> Sequence[Guarded]:
        """See `Listener`."""
        return ()

    def counted(self) -> Counts:
        """See `Listener`."""
        return replace(self._port.counts, refused=dict(self._port.counts.refused))

    def dropped(self) -> int:
        """See `Listener`."""
        return self._port.dropped

    def stop_accepting(self) -> Deferred[None]:
        """See `Listener`; a datagram is answered as it is read, so nothing is left to drain."""
        if self._drops.running:
            self._drops.stop()
        for former in tuple(self._leaving):
            self._stop(former)
        unlink_path(self.opened)
        return maybeDeferred(self._port.stopListening)

    def drain(self) -> Deferred[None]:
        """See `Listener`."""
        return succeed(None)

    def abort(self) -> None:
        """See `Listener`."""
