"""
Between a datagram socket and the service: Twisted's port, made safe to leave running.

Twisted's own port loses itself at the first ENOBUFS, cuts datagrams at 8 KiB, can be held for seconds by
empty ones, answers whomever a forged source names, and from the wrong address on a wildcard socket. This one
receives and sends the same way for every service: it screens the sources, notes facts, and sends only what
`netsvc.net.replies` allows. No error on one datagram ends it or reaches the service.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, time_ns
from typing import Any

from zope.interface import alsoProvides, implementer

from twisted.internet._multicast import MulticastMixin
from twisted.internet.base import BasePort
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IMulticastTransport,
    IReadDescriptor,
    ISystemHandle,
    IUNIXDatagramTransport,
)
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from netsvc.counters import Counts
from netsvc.facts import NO_DETAIL, RECEIVED, REFUSED, SENT, Detail, Facts, OriginRow
from netsvc.interfaces import Arrival, IArrivalDatagramTransport
from netsvc.net.addresses import fold
from netsvc.net.drops import Drops
from netsvc.net.listening import capture_of
from netsvc.net.outbox import Outbox, reason_of
from netsvc.net.pktinfo import ANCILLARY_SIZE, AskedAddresses, HostAddress, Place, asked_addresses, sole_place
from netsvc.net.rarelog import RareLog
from netsvc.net.replies import OwnAddresses, Peer, PeerAddress, Replies
from netsvc.net.socketoptions import SocketOptions, receive_no_more
from netsvc.net.source import FORMS, address_and_port, screen_of
from netsvc.settings import Limits

__all__ = ["DatagramPort", "OwnAddresses"]

#: The most that UDP carries over IPv4: 65,535 less the IPv4 and the UDP header.
LARGEST = 65_507

#: Room for one datagram; more than IPv6 carries too.
_BUFFER = 65_536

#: One turn ends after so many datagrams, empty ones too, or so many seconds: then it is the others' turn.
_TURN_DATAGRAMS = 64
_TURN_NANOSECONDS = 5_000_000

#: So many errors with nothing received in between, and the port waits so many seconds: if the system fails
#: for ever, the process must not spend all its time on being told so.
_ERRORS_IN_A_ROW = 64
_PAUSE_SECONDS = 0.1


@implementer(IListeningPort, IReadDescriptor, IMulticastTransport, ISystemHandle, IArrivalDatagramTransport)
class DatagramPort(SocketOptions, MulticastMixin, BasePort):
    """
    A datagram socket with a service behind it.

    To the service it is what Twisted's UDP port is (for a UNIX socket: Twisted's UNIX datagram port), save
    that `write` never raises: what may not or cannot be sent is a ``refused`` fact. Addresses are folded.

    @ivar counts: what happened until now.
    @ivar dropped: datagrams that the system dropped because the receive buffer was full.
    @ivar errors: errors of the system in receiving and sending.
    """

    _log = Logger()

    def __init__(
        self,
        sock: socket.socket,
        protocol: AbstractDatagramProtocol,
        reactor: Any,
        facts: Facts,
        service: str,
        listener: str,
        transport: str,
        limits: Limits,
        own: OwnAddresses,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], int] = time_ns,
    ) -> None:
        """
        @param sock: AF_INET, AF_INET6 or AF_UNIX, bound; the port closes it, and leaves a UNIX file.
        @param protocol: the service's.
        @param reactor: an `IReactorFDSet` and `IReactorTime`.
        @param facts: where facts go.
        @param service: the service's name, for facts.
        @param listener: the listener's URL, for facts.
        @param transport: ``udp`` or ``unix-datagram``, for facts.
        @param limits: what peers may cost.
        @param own: where this daemon receives datagrams; the port enters itself while it listens.
        @param clock: gives seconds, never running backwards.
        @param wall_clock: gives nanoseconds since the epoch.
        @raise OSError: the socket is unusable.
        """
        super().__init__(reactor)
        self.socket = sock
        self.protocol = protocol
        self.addressFamily = socket.AddressFamily(sock.family)
        self.socketType = socket.SOCK_DGRAM
        self.dropped = 0
        self.errors = 0
        self.counts = Counts()
        self._facts = facts
        self._received = facts.book(service, listener, (RECEIVED,))
        self._sent = facts.book(service, listener, (SENT,))
        self._capture = capture_of(protocol, facts)
        self._source = (service, listener, transport)
        self._own = own
        self._clock = clock
        self._wall_clock = wall_clock
        # The clock's time within a turn, all of whose datagrams share one look at it.
        self._turn: float | None = None
        self._say = RareLog(self._log, clock)
        self._replies = Replies(limits, own)
        self._outbox = Outbox(sock, self._left, self._send_failed)
        self._screen = None if sock.family == socket.AF_UNIX else screen_of(limits)
        self._errors_in_a_row = 0
        self._paused: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None
        self._connected: tuple[str, int] | None = None
        sock.setblocking(False)
        self._drops = Drops(sock)
        self._asked = asked_addresses(sock, limits.tracked_peers)
        self._place = sole_place(sock) if self._asked is None else self._asked.bound
        self._address_of = FORMS[self.addressFamily]
        # Where the datagram last received came to; None: it was cut, and is to go no further.
        self._came_to: Place | None = self._place
        self._receive: Callable[[], tuple[bytes, Any]]
        if self._asked is not None:
            receive = partial(sock.recvmsg, _BUFFER, ANCILLARY_SIZE)
            self._receive = partial(self._receive_asked, self._asked, receive)
        elif self.addressFamily == socket.AF_UNIX:
            # The only socket that may hold more than the buffer, which recvmsg would say.
            self._receive = partial(self._receive_uncut, partial(sock.recvmsg, _BUFFER))
            alsoProvides(self, IUNIXDatagramTransport)
        else:
            self._receive = partial(sock.recvfrom, _BUFFER)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._source[1]} ({self._source[0]})>"

    # IListeningPort

    def startListening(self) -> None:
        """Connect the protocol and begin to receive; what its `startProtocol` raises is raised."""
        self.connected = 1
        if self._place.port is not None:
            self._own.add(self._place.address, self._place.port)
        self.check_drops()
        self.protocol.makeConnection(self)
        self.startReading()  # type: ignore[no-untyped-call]

    def stopListening(self) -> Deferred[None]:
        """
        Receive no more, then close.

        @return: fires with None once the socket is closed.
        """
        if not self.connected:
            return succeed(None)
        if self._stopped is None:
            self._stopped = Deferred()
            self.disconnecting = 1
            self.stopReading()  # type: ignore[no-untyped-call]
            # Not at once, for the service may be stopping its own port and still want to answer.
            self.reactor.callLater(0, self._close)
        return self._stopped

    def getHost(self) -> HostAddress:  # type: ignore[override]
        """Where the socket is bound, also after it is closed."""
        return self._place.host(self.addressFamily)

    # IReadDescriptor

    def fileno(self) -> int:
        return self.socket.fileno()

    def logPrefix(self) -> str:
        return self._source[0]

    def doRead(self) -> None:
        """Receive what there is, for one turn at most."""
        self._turn = turn = self._clock()
        try:
            self._receive_some(turn)
        finally:
            self._turn = None
            if self._outbox:
                self._outbox.send()

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor will not look at this socket again: because it ends, or because it took an error that
        waited on the socket for the end of a stream; then receiving goes on.
        """
        if not self.connected:
            return
        if self.disconnecting or reason.check(ConnectionDone) is None:
            self._close(reason)
            return
        waiting = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._receive_failed(OSError(waiting, os.strerror(waiting)))
        self._pause()

    # IUDPTransport

    def write(self, packet: bytes, addr: Any = None) -> None:
        """
        Send a datagram, if that is allowed; nothing is raised for what is not sent.

        @param packet: at most 65,507 bytes.
        @param addr: as `datagramReceived` gave it; None for the address of `connect`.
        """
        if type(packet) is not bytes:
            packet = bytes(memoryview(packet))
        if addr is None:
            addr = self._connected
        peer = self._replies.known(addr)
        if peer is None:
            # Nothing came from there, and three times nothing is nothing.
            self._refuse(self._origin(*address_and_port(addr), self._place), packet, "reply_factor")
            return
        if len(packet) > LARGEST:
            reason: str | None = "message_length"
        elif not self.connected:
            reason = "closed"
        else:
            reason = self._replies.may_answer(peer, packet, self._turn or self._clock())
        if reason is not None:
            self._refuse(peer.origin, packet, reason)
            return
        self._outbox.add(peer, packet)
        if self._turn is None:
            self._outbox.send()

    def writeSequence(self, seq: Any, addr: Any = None) -> None:
        """Send one datagram that is put together of several pieces; see `write`."""
        self.write(b"".join(seq), addr)

    def connect(self, host: str, port: int) -> None:
        """
        Receive from one address only, and send there where `write` names none.

        @param host: an IP address.
        @raise OSError: the system refuses.
        """
        self.socket.connect((host, port))
        self._connected = (fold(host), port)

    # IArrivalDatagramTransport

    def arrival_of(self, addr: PeerAddress) -> Arrival:
        """See `IArrivalDatagramTransport`; of an address unheard of, the socket's own place is told."""
        peer = self._replies.known(addr)
        place = self._place if peer is None else peer.place
        address, port = address_and_port(addr)
        return Arrival(self._source[2], address, port, place.address, place.port)

    def answer_to(self, addr: PeerAddress) -> Callable[[bytes], None]:
        """See `IArrivalDatagramTransport`; what may not or cannot be sent is not raised, as in `write`."""
        peer = self._replies.known(addr)
        if peer is None or self._asked is None:
            return partial(self.write, addr=addr)
        return partial(self._answer_from, peer.place, peer.origin, addr)

    # For the listener

    def take_in(self) -> None:
        """Receive what waits, now, and close; `stopListening` has nothing left to do then."""
        receive_no_more(self.socket)
        for _ in range(_TURN_DATAGRAMS):
            self.doRead()
        self.stopReading()  # type: ignore[no-untyped-call]
        self._close()

    def change(self, protocol: AbstractDatagramProtocol, limits: Limits) -> None:
        """
        Hand what comes from now on to another protocol, under other limits; peers keep their accounts.

        @param protocol: it is connected to this port. That before is not stopped here.
        """
        self.protocol = protocol
        self._capture = capture_of(protocol, self._facts)
        self._screen = screen = None if self.addressFamily == socket.AF_UNIX else screen_of(limits)
        self._replies.change(limits, lambda address: screen and screen(address[0]), self._clock())

    def check_drops(self) -> None:
        """Note how many datagrams the system has dropped since the last look; to be called once a second."""
        if not self.connected:
            return
        new = self._drops.new()
        if not new:
            return
        self.dropped += new
        self.counts.refuse("receive_buffer", new)
        origin = self._origin("", None, self._place)
        self._facts.emit(REFUSED, origin, None, "receive_buffer", (("count", new),))
        self._say.warn(
            "drops",
            "{port}: the system dropped {count} datagrams, {total} so far: they came too fast",
            port=self,
            count=new,
            total=self.dropped,
        )

    # Receiving

    def _receive_some(self, turn: float) -> None:
        receive, take, clock = self._receive, self._take, self._wall_clock
        now = clock()
        end = now + _TURN_NANOSECONDS
        for _ in range(_TURN_DATAGRAMS):
            try:
                data, source = receive()
            except BlockingIOError:
                return
            except OSError as error:
                self._receive_failed(error)
                return
            self._errors_in_a_row = 0
            take(data, source, now, turn)
            before, now = now, clock()
            # A clock that is set back ends the turn too.
            if not before <= now < end or self.disconnecting:
                return

    def _take(self, data: bytes, source: Any, now: int, turn: float) -> None:
        """
        Let one datagram in and hand it to the service.

        @param now: nanoseconds since the epoch.
        @param turn: the clock's time.
        """
        address = source if self._address_of is None else self._address_of(source)
        replies, size = self._replies, len(data)
        more = None if size <= self._capture else (size, None, NO_DETAIL)
        peer = replies.known(address)
        if peer is None or peer.place is not self._came_to:
            peer = self._meet(address, source, data, turn)
            if peer is None:
                return
            # Its origin is new, and whoever keeps the fact counts what it costs by this.
            more = (size, None, NO_DETAIL)
        replies.came(peer, data, turn)
        counts, book = self.counts, self._received
        counts.messages_in += 1
        counts.bytes_in += size
        if not book:
            self._facts.begin(now)
        book += (now, RECEIVED, peer.origin, data if more is None else data[: self._capture], more)
        try:
            self.protocol.datagramReceived(data, address)
        except Exception:  # noqa: BLE001 - the service may be anybody's and may raise anything
            self._say.failure("service", "{port}: the service failed on a datagram", port=self)

    def _meet(self, address: Any, source: Any, data: bytes, turn: float) -> Peer | None:
        """
        Find out whether a datagram may come in whose source is new here or asked elsewhere before.

        @return: None if not.
        """
        place = self._came_to
        if place is None:
            self._refuse(self._origin(*address_and_port(address), self._place), data, "message_length")
            return None
        origin = self._origin(*address_and_port(address), place)
        reason = self._screen and self._screen(address[0])
        if reason:
            self._refuse(origin, data, reason)
            return None
        peer = self._replies.heard(address, place.address, turn)
        self._outbox.move(peer, place, origin)
        peer.target = source
        return peer

    def _receive_asked(self, asked: AskedAddresses, receive: Callable[[], Any]) -> tuple[bytes, Any]:
        """Receive where the system tells of each datagram to which address it came."""
        data, ancillary, flags, source = receive()
        self._came_to = None if flags & socket.MSG_TRUNC else asked.place_of(ancillary)
        return data, source

    def _receive_uncut(self, receive: Callable[[], Any]) -> tuple[bytes, Any]:
        """Receive where a datagram may be larger than the buffer."""
        data, _, flags, source = receive()
        self._came_to = None if flags & socket.MSG_TRUNC else self._place
        return data, source

    def _receive_failed(self, error: OSError) -> None:
        self.errors += 1
        self._say.warn("receive", "{port}: error in receiving: {error}", port=self, error=str(error))
        if self._connected is not None and error.errno == errno.ECONNREFUSED:
            self._tell_refused()
        self._errors_in_a_row += 1
        if self._errors_in_a_row >= _ERRORS_IN_A_ROW:
            self._errors_in_a_row = 0
            self._pause()

    def _tell_refused(self) -> None:
        try:
            self.protocol.connectionRefused()  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - as in _take
            self._say.failure("service", "{port}: the service failed on a refusal", port=self)

    def _pause(self) -> None:
        self.stopReading()  # type: ignore[no-untyped-call]
        if self._paused is None:
            self._paused = self.reactor.callLater(_PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        self._paused = None
        if self.connected and not self.disconnecting:
            self.startReading()  # type: ignore[no-untyped-call]

    # Sending

    def _answer_from(self, place: Place, origin: OriginRow, addr: PeerAddress, packet: bytes) -> None:
        """Send a datagram from a place that a peer has asked, whatever it has asked since."""
        peer = self._replies.known(addr)
        if peer is None or peer.place is place:
            self.write(packet, addr)
            return
        asked_last = peer.place, peer.origin
        self._outbox.move(peer, place, origin)
        self.write(packet, addr)
        self._outbox.move(peer, *asked_last)

    def _left(self, peer: Peer, packets: Sequence[bytes]) -> None:
        """Datagrams have left."""
        counts, book, capture, now = self.counts, self._sent, self._capture, self._wall_clock()
        if not book:
            self._facts.begin(now)
        origin = peer.origin
        for packet in packets:
            size = len(packet)
            counts.messages_out += 1
            counts.bytes_out += size
            if size <= capture:
                book += (now, SENT, origin, packet, None)
            else:
                book += (now, SENT, origin, packet[:capture], (size, None, NO_DETAIL))

    def _send_failed(self, peer: Peer, packet: bytes, error: OSError) -> None:
        self.errors += 1
        name = errno.errorcode.get(error.errno or 0, str(error))
        self._refuse(peer.origin, packet, reason_of(error), (("error", name),))
        self._say.warn("send", "{port}: error in sending: {error}", port=self, error=str(error))

    # Facts

    def _refuse(self, origin: OriginRow, data: bytes, reason: str, detail: Detail = NO_DETAIL) -> None:
        self.counts.refuse(reason)
        self._facts.emit(REFUSED, origin, data, reason, detail)

    def _origin(self, address: str, port: int | None, place: Place) -> OriginRow:
        return (*self._source, address, port, place.text, None)

    # The end

    def _close(self, reason: Failure | None = None) -> None:
        if not self.connected:
            return
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        # Clears `connected`, so that nothing is sent from here on.
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self._place.port is not None:
            self._own.discard(self._place.address, self._place.port)
        self.socket.close()
        try:
            # One that could not start has nothing to stop.
            if self.protocol.numPorts:
                self.protocol.doStop()
        except Exception:  # noqa: BLE001 - as in _take
            self._say.failure("service", "{port}: the service failed to stop", port=self)
        if self._stopped is not None:
            self._stopped.callback(None)
