"""
Which datagrams may be answered; pure: it keeps accounts, and opens and sends nothing.

The source of a datagram can be forged, so an answer may hit somebody who never asked. To one address and
port never goes more than a multiple of what came from it, to one network only so many datagrams a second,
and nothing at all goes to sources that no honest client has: ports below 1024 and netsvc's own (two services
that answer each other never stop, CERT CA-1996-01), multicast and broadcast addresses (they multiply).

What remains is a loop with somebody else's service, such as the echo of a second daemon. In a loop only what
has been seen comes again, so repeated contents are counted; too many in a minute, and nothing is sent to that
peer for a second. That ends every loop, for a loop lives on the datagrams under way alone.

The accounts are kept in one table with a bound, out of which the longest unheard fall.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from netsvc.net.addresses import NetworkKey, network_key, parse
from netsvc.net.here import is_here
from netsvc.settings import Limits

#: The source of a datagram as a service sees it: (address, port), or the path of a UNIX socket.
PeerAddress = tuple[str, int] | str

#: What each datagram costs beside its bytes: an IPv4 and a UDP header.
HEADERS = 28

#: Ports below this belong to services of the system, not to clients (RFC 6335 section 6).
FIRST_CLIENT_PORT = 1024

#: Seconds that one step of the accounts lasts, and how many make the minute over which the budget holds.
STEP = 5.0
STEPS = 12

#: Seconds without an answer, longer than any datagram of a loop is under way.
SILENCE = 1.0

#: Bytes by which one content is told from another: all of a short datagram, both ends of a longer one.
_CONTENT = 64
_HEAD = 8

#: Contents that may lie between two equal ones for these to be noticed; more than sockets hold under way.
_LONGEST_CYCLE = 16_384


class OwnAddresses:
    """
    The addresses and ports on which this daemon receives datagrams.

    @ivar version: changes whenever the addresses do, so that what was concluded from them can be remembered.
    """

    def __init__(self, local: Callable[[str], bool] = is_here) -> None:
        """@param local: tells whether an address is this machine's."""
        self.version = 0
        self._is_local = local
        self._listening: Counter[tuple[str, int]] = Counter()

    def add(self, host: str, port: int) -> None:
        """
        A socket receives here.

        @param host: the address, folded; ``0.0.0.0`` or ``::`` for every address.
        """
        self._listening[host, port] += 1
        self.version += 1

    def discard(self, host: str, port: int) -> None:
        """One socket fewer receives here; nothing happens where none did."""
        if self._listening[host, port] <= 1:
            del self._listening[host, port]
        else:
            self._listening[host, port] -= 1
        self.version += 1

    def covers(self, address: str, port: int, local_address: str) -> bool:
        """
        Whether something sent to an address and port would come back to this daemon.

        @param address: the source of a datagram, folded.
        @param local_address: the address at which it arrived, which is this machine's.
        """
        if (address, port) in self._listening:
            return True
        version = 6 if ":" in address else 4
        every = ("::", port) in self._listening or (version == 4 and ("0.0.0.0", port) in self._listening)
        return every and (address == local_address or _is_loopback(address) or self._is_local(address))


class _NetworkRate:
    """What may still be sent to one network; the budget fills by the second up to one second's worth."""

    __slots__ = ("__weakref__", "filled", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.filled = now

    def may_send(self, now: float, rate: float) -> bool:
        """Take one datagram out of the budget, if there is one in it."""
        # At rates below one a second, a budget of less than one would never be enough.
        self.tokens = min(max(rate, 1.0), self.tokens + (now - self.filled) * rate)
        self.filled = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Peer:
    """
    The account of one source of datagrams.

    @ivar address: (address, port) or path.
    @ivar local_address: the address of this machine at which its last datagram arrived.
    @ivar place: where the last datagram arrived, from where answers leave. This and what follows is left to
        whoever receives the datagrams, so that this table is the only one of its peers.
    @ivar target: the system's form of the address.
    @ivar origin: what facts have for it.
    """

    __slots__ = (
        "address",
        "answer_heads",
        "came",
        "came_before",
        "counted_from",
        "ends",
        "last",
        "local_address",
        "mark",
        "network",
        "never",
        "origin",
        "own_version",
        "past",
        "place",
        "reach",
        "repeats",
        "sent",
        "sent_before",
        "silent_until",
        "since_mark",
        "step",
        "target",
    )

    def __init__(self, address: PeerAddress, local_address: str, network: _NetworkRate | None) -> None:
        self.address = address
        self.local_address = local_address
        self.network = network
        self.place: Any = None
        self.target: Any = None
        self.origin: Any = None
        # Why it is never answered, and the version of the own addresses from which that follows.
        self.never: str | None = None
        self.own_version = -1
        # The budget. `came` and `sent` hold for the last minute, this step included; `past` has the steps
        # before as (number, bytes in, bytes out), and the sums as they were when this step began.
        self.came = self.came_before = 0
        self.sent = self.sent_before = 0
        self.step = 0
        self.ends = 0.0
        self.past: list[tuple[int, int, int]] = []
        # The search for loops; see `Replies._repeats`.
        self.last = b""
        self.mark: bytes | None = None
        # One at most; a tuple, because with an empty one nothing begins.
        self.answer_heads: tuple[bytes, ...] = ()
        self.since_mark = 0
        self.reach = 1
        self.repeats = 0
        self.counted_from = 0
        self.silent_until = 0.0


class Replies:
    """
    The accounts of all peers of one listener.

    Per datagram: `heard` and `came`, and per answer `known` and `may_answer`.
    """

    def __init__(self, limits: Limits, own: OwnAddresses | None = None) -> None:
        """
        @param limits: of these: ``reply_factor``, ``replies_per_second``, ``loop_limit``, ``tracked_peers``,
            ``trusted``.
        @param own: where this daemon receives datagrams.
        """
        self._own = OwnAddresses() if own is None else own
        self._take(limits)
        self._peers: OrderedDict[PeerAddress, Peer] = OrderedDict()
        # A network's budget lives as long as one of its peers is in the table, which bounds both.
        self._networks: WeakValueDictionary[NetworkKey, _NetworkRate] = WeakValueDictionary()
        #: The peer of an address, or None where nothing came from it or that is too long ago.
        self.known: Callable[[PeerAddress], Peer | None] = self._peers.get
        self._refresh = self._peers.move_to_end

    def __len__(self) -> int:
        return len(self._peers)

    def change(self, limits: Limits, refused: Callable[[PeerAddress], object], now: float) -> None:
        """
        Go on under other limits; what came and went stays in the accounts.

        @param refused: tells of a source whether it is not heard any more; its account is closed.
        """
        self._take(limits)
        for address, peer in tuple(self._peers.items()):
            if refused(address):
                del self._peers[address]
            else:
                peer.network = self._network_of(address, now)
        while len(self._peers) > self._most:
            self._peers.popitem(last=False)

    def _take(self, limits: Limits) -> None:
        self._factor = limits.reply_factor
        self._rate = limits.replies_per_second
        self._loop_limit = limits.loop_limit
        self._most = limits.tracked_peers
        self._trusted = limits.trusted

    def heard(self, address: PeerAddress, local_address: str, now: float) -> Peer:
        """
        Find or open the account of a source from which a datagram has come.

        @param address: as the service sees it, addresses folded.
        @param local_address: where it arrived, folded.
        @param now: seconds, never running backwards, as for the other methods.
        """
        peer = self.known(address)
        if peer is None:
            return self._open(address, local_address, now)
        if peer.local_address != local_address:
            peer.local_address = local_address
            peer.own_version = -1
        return peer

    def came(self, peer: Peer, data: bytes, now: float) -> None:
        """Enter a datagram that came."""
        if now >= peer.ends:
            self._next_step(peer, now)
        size = len(data)
        peer.came += size + HEADERS
        peer.last = data if size <= _CONTENT else _content(data)
        refresh = self._refresh
        refresh(peer.address)

    def may_answer(self, peer: Peer, data: bytes, now: float) -> str | None:
        """
        Whether a datagram may be sent to a peer now; if so, it is entered as sent.

        @return: None, or the name of what forbids it: ``no_address``, ``source_port``, ``own_listener``,
            ``unspecified``, ``multicast``, ``broadcast``, ``loop_limit``, ``reply_factor``,
            ``replies_per_second``.
        """
        if peer.own_version != self._own.version:
            self._judge(peer)
        if peer.never is not None:
            return peer.never
        if now >= peer.ends:
            self._next_step(peer, now)
        if now < peer.silent_until:
            return "loop_limit"
        last, heads = peer.last, peer.answer_heads
        peer.since_mark += 1
        if last == peer.mark or peer.since_mark >= peer.reach or last.startswith(heads):
            self._look_for_repeats(peer)
            if peer.repeats > self._loop_limit:
                peer.repeats = 0
                peer.silent_until = now + SILENCE
                return "loop_limit"
        size = len(data)
        cost = size + HEADERS
        if peer.sent + cost > self._factor * peer.came:
            return "reply_factor"
        if peer.network is not None and not peer.network.may_send(now, self._rate):
            return "replies_per_second"
        peer.sent += cost
        if size >= _HEAD and not data.startswith(heads) and _content(data) != last:
            # An echo is found by what it repeats; of any other answer the head is remembered.
            peer.answer_heads = (data[:_HEAD],)
        return None

    def _open(self, address: PeerAddress, local_address: str, now: float) -> Peer:
        peer = self._peers[address] = Peer(address, local_address, self._network_of(address, now))
        if len(self._peers) > self._most:
            self._peers.popitem(last=False)
        return peer

    def _network_of(self, address: PeerAddress, now: float) -> _NetworkRate | None:
        """The budget that a peer shares with its network; None where its rate has no limit."""
        if isinstance(address, str):
            return None
        found = parse(address[0])
        if found is not None and found in self._trusted:
            return None
        key = network_key(address[0], 24, 64)
        network = self._networks.get(key)
        if network is None:
            network = self._networks[key] = _NetworkRate(max(self._rate, 1.0), now)
        return network

    def _judge(self, peer: Peer) -> None:
        """Find out whether a peer may be answered at all, until an address of this daemon changes."""
        peer.own_version = self._own.version
        address = peer.address
        if isinstance(address, str):
            peer.never = None if address else "no_address"
        elif address[1] < FIRST_CLIENT_PORT:
            peer.never = "source_port"
        elif self._own.covers(*address, peer.local_address):
            peer.never = "own_listener"
        else:
            peer.never = _never_a_source(address[0])

    def _next_step(self, peer: Peer, now: float) -> None:
        """
        Begin a new step of the account and leave out of it what is a minute old.

        So that the budget holds over every minute, a step's bytes in leave as soon as some of them may be
        older than that, its bytes out only when all of them are.
        """
        peer.past.append((peer.step, peer.came - peer.came_before, peer.sent - peer.sent_before))
        step = int(now // STEP)
        peer.past = [entry for entry in peer.past if entry[0] >= step - STEPS]
        peer.came = peer.came_before = sum(came for past, came, _ in peer.past if past > step - STEPS)
        peer.sent = peer.sent_before = sum(sent for _, _, sent in peer.past)
        peer.step = step
        peer.ends = (step + 1) * STEP
        if step - peer.counted_from >= STEPS:
            peer.counted_from = step
            peer.repeats = 0

    def _look_for_repeats(self, peer: Peer) -> None:
        """
        Count what repeats itself: a peer that does so too often is taken for one side of a loop.

        Contents that come round in a cycle of any length are found in constant memory (R. P. Brent, An
        Improved Monte Carlo Factorization Algorithm, 1980): one of them is kept as a mark, and replaced
        after ever longer stretches. When it comes again, all that came in between is repetition too. And
        where each answer differs from the last (it has the time in it), the other side's begin as ours do.
        """
        last = peer.last
        if last == peer.mark:
            peer.repeats += peer.since_mark
            peer.since_mark = 0
        elif last.startswith(peer.answer_heads):
            peer.repeats += 1
        else:
            peer.mark = last
            peer.since_mark = 0
            peer.reach = peer.reach * 2 if peer.reach < _LONGEST_CYCLE else 1


def _content(data: bytes) -> bytes:
    """What one content is told from another by."""
    return data if len(data) <= _CONTENT else data[: _CONTENT // 2] + data[-_CONTENT // 2 :]


def _never_a_source(address: str) -> str | None:
    """Why no honest client has an address, or None."""
    found = parse(address)
    if found is None:
        return "no_address"
    if found.is_multicast:
        return "multicast"
    if str(found) == "255.255.255.255":
        return "broadcast"
    # All of 0.0.0.0/8 means "this network" (RFC 6890 section 2.2.2).
    if found.is_unspecified or (found.version == 4 and int(found) >> 24 == 0):
        return "unspecified"
    return None


def _is_loopback(address: str) -> bool:
    found = parse(address)
    return found is not None and found.is_loopback
