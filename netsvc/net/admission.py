"""
May this peer come in? Pure: it is told who asks and what the time is, and keeps the counts.

A connection is counted twice: as a socket, as soon as it is accepted, and for the client's address, which is
known only later where a proxy stands in between.

When a listener's limits change, a new `Admission` goes on counting where the former one is. Each connection
leaves by the one that it came by, whose limits say whether it was counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from netsvc.net.addresses import NetworkKey, network_key, parse
from netsvc.settings import Limits

#: Bytes that services may write, all in all, to those clients of one listener that do not read: a few such
#: clients may have as much as each may, and a thousand of them may not.
SHARED_BUDGET = 64 * 1024 * 1024


class TokenBuckets:
    """
    A rate for each of many keys: `rate` a second, one second's worth (at least one) at once.

    The keys unused for longest are forgotten first; a forgotten key begins with a full bucket.

    @ivar rate: tokens per second.
    @ivar most: keys to remember.
    """

    def __init__(self, rate: float, most: int, seconds: Callable[[], float]) -> None:
        """
        @param rate: tokens per second.
        @param most: keys to remember.
        @param seconds: the time; set back, it gives no tokens for a while and takes none away.
        """
        self.rate = rate
        self.most = most
        self._depth = max(1.0, rate)
        self._seconds = seconds
        self._buckets: OrderedDict[NetworkKey, tuple[float, float]] = OrderedDict()

    def take(self, key: NetworkKey) -> bool:
        """Take one token; False where there is none left."""
        now = self._seconds()
        tokens, then = self._buckets.pop(key, (self._depth, now))
        tokens = min(self._depth, tokens + max(0.0, now - then) * self.rate)
        taken = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if taken else tokens, now)
        if len(self._buckets) > self.most:
            self._buckets.popitem(last=False)
        return taken


class _Inside:
    """Who is in, whatever the limits are."""

    def __init__(self) -> None:
        self.sockets = 0
        self.stalled = 0
        self.per_address: dict[NetworkKey, int] = {}


class Admission:
    """
    The limits on one listener's connections.

    Its methods return None for yes, and otherwise the name of the limit that says no.
    """

    def __init__(self, limits: Limits, seconds: Callable[[], float]) -> None:
        """
        @param limits: the listener's.
        @param seconds: the time.
        """
        self._limits = limits
        self._inside = _Inside()
        self._new = TokenBuckets(limits.new_per_second, limits.tracked_peers, seconds)

    def follow(self, former: Admission) -> None:
        """
        Take over from another one: who is in is counted here too from now on.

        @param former: it may still let in, and lets go, those who came by it.
        """
        self._inside = former._inside
        if (former._new.rate, former._new.most) == (self._new.rate, self._new.most):
            self._new = former._new

    def open_socket(self) -> str | None:
        """Count a socket in; call `close_socket` when it is gone, if this said yes."""
        if self._inside.sockets >= self._limits.max_connections:
            return "max_connections"
        self._inside.sockets += 1
        return None

    def close_socket(self) -> None:
        """A socket that was counted is gone."""
        self._inside.sockets -= 1

    def stall(self) -> None:
        """A client does not read any more; call `flow` when it does again, or is gone."""
        self._inside.stalled += 1

    def flow(self) -> None:
        """A client that did not read does, or is gone."""
        self._inside.stalled -= 1

    def write_budget(self) -> int:
        """Bytes that a service may write to one client while it does not read: fewer, if many do not."""
        return min(self._limits.write_budget, SHARED_BUDGET // max(1, self._inside.stalled))

    def enter(self, host: str | None) -> str | None:
        """
        Count a client in; call `leave` with the same host when it is gone, if this said yes.

        @param host: an IP address; None for a UNIX socket, which only the total limits.
        """
        address = None if host is None else parse(host)
        if host is None or address is None:
            return None
        limits = self._limits
        if address in limits.deny:
            return "deny"
        if limits.allow and address not in limits.allow:
            return "allow"
        if address in limits.trusted:
            return None
        key = network_key(host, 32, 64)
        inside = self._inside.per_address
        if inside.get(key, 0) >= limits.per_address:
            return "per_address"
        if not self._new.take(key):
            return "new_per_second"
        inside[key] = inside.get(key, 0) + 1
        return None

    def leave(self, host: str | None) -> None:
        """A client that had entered is gone."""
        address = None if host is None else parse(host)
        if host is None or address is None or address in self._limits.trusted:
            # Never counted: taking it away would take it from others of its network.
            return
        key = network_key(host, 32, 64)
        inside = self._inside.per_address
        count = inside[key] - 1
        if count:
            inside[key] = count
        else:
            del inside[key]
