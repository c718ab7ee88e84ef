"""
The lines that the log has for traffic, limited in rate.

Which facts are lines, and their texts, is the services' declarations' to say; every listener's refusals are
lines too. What peers sent appears as a Python literal only, so that no byte of theirs acts on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import MappingProxyType

from zope.interface import implementer

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from netsvc.facts import REFUSED, Fact, Room, Row
from netsvc.interfaces import IFactSink

#: Refusals that the process is the reason of, not one listener: counted together, because they come on all
#: listeners at once.
_OF_THE_PROCESS = frozenset({"descriptors"})


class _Rate:
    """
    Lines of one kind within the current second; a `netsvc.facts.Room`.

    @ivar allowed: how many there may be.
    @ivar full: no line more, until the second is over.
    @ivar hidden: how many were left out.
    """

    __slots__ = ("_written", "allowed", "full", "hidden")

    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.begin()

    def begin(self) -> None:
        """A new second."""
        self._written = 0
        # Also where no line is allowed: of each second the first is asked for, and begins the second.
        self.full = False
        self.hidden = 0

    def take(self) -> bool:
        """Whether there is room for a line, which is taken."""
        if self._written < self.allowed:
            self._written += 1
            self.full = self._written >= self.allowed
            return True
        self.full = True
        self.hidden += 1
        return False


@implementer(IFactSink)
class TrafficLog:
    """
    Writes facts to the log.

    @ivar hidden: lines that were left out for their rate since the start.
    @ivar shown: bytes of a message that its line shows at most; some facts have more of it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        lines: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        rates: Mapping[str, float] = MappingProxyType({}),
        refusal_rates: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """
        @param clock: ends each second's count.
        @param lines: for each service the text of the line for each kind of fact, with ``{peer}`` and
            ``{data}``.
        @param rates: for each listener's URL the lines that it may write in a second; a listener that is
            not here has no limit.
        @param refusal_rates: the same for its refusals, for each reason; a listener that is not here may
            write one.
        """
        self.hidden = 0
        self.shown = sys.maxsize
        self._clock = clock
        self._lines = dict(lines)
        self._rates = dict(rates)
        self._refusal_rates = dict(refusal_rates)
        self._seconds: dict[tuple[str, str], _Rate] = {}
        self._second: IDelayedCall | None = None
        self._logs: dict[str, Logger] = {}

    def introduce(self, service: str, lines: Mapping[str, str]) -> None:
        """
        Write lines for a service too; what notes its messages asks `wants` afterwards.

        @param lines: the text of the line for each kind of fact.
        """
        self._lines[service] = lines

    def allow(self, listener: str, rate: float, refusal_rate: float) -> None:
        """
        Set how many lines a listener may write in a second, from the next second on.

        @param listener: its URL.
        @param rate: lines for its messages.
        @param refusal_rate: lines for its refusals, for each reason.
        """
        self._rates[listener] = rate
        self._refusal_rates[listener] = refusal_rate
        for (other, reason), second in self._seconds.items():
            if other == listener:
                second.allowed = refusal_rate if reason else rate

    def forget(self, listener: str) -> None:
        """There is no such listener any more."""
        self._rates.pop(listener, None)
        self._refusal_rates.pop(listener, None)
        for key in [key for key in self._seconds if key[0] == listener]:
            self.hidden += self._seconds.pop(key).hidden

    def wants(self, service: str, kind: str) -> bool:
        """Whether there is a line for such facts."""
        return kind == REFUSED or kind in self._lines.get(service, {})

    def room(self, listener: str) -> Room:
        """The room for the lines of a listener's messages; see `Facts.tell`."""
        return self._second_of(listener, "")

    def note(self, row: Row) -> None:
        """Write a fact's line, if it has one and there is room; see `IFactSink`."""
        kind, origin = row[2], row[3]
        if kind == REFUSED:
            text = "refused {peer}: {reason}"
        else:
            text = self._lines.get(origin[0], {}).get(kind, "")
        if text and self._may_write(origin[1], row[6] if kind == REFUSED else ""):
            fact = Fact.of(row)
            line = text.format(peer=_peer(fact), data=_data(fact, self.shown), reason=_reason(fact))
            self._log(fact.origin.service).info("{line}", line=line, **_fields(fact))

    def stop(self) -> None:
        """Write the counts that are due and keep none."""
        if self._second is not None:
            self._second.cancel()
            self._end_second()

    def _may_write(self, listener: str, reason: str) -> bool:
        if self._second is None:
            self._second = self._clock.callLater(1.0, self._end_second)
        return self._second_of("all listeners" if reason in _OF_THE_PROCESS else listener, reason).take()

    def _second_of(self, listener: str, reason: str) -> _Rate:
        rate = self._seconds.get((listener, reason))
        if rate is None:
            rates = self._refusal_rates if reason else self._rates
            allowed = rates.get(listener, 1.0 if reason else float("inf"))
            rate = self._seconds[listener, reason] = _Rate(allowed)
        return rate

    def _end_second(self) -> None:
        self._second = None
        for (listener, reason), rate in self._seconds.items():
            if rate.hidden:
                self.hidden += rate.hidden
                self._log("log").info(
                    "{listener}: {count} more in this second, not shown here: {what}",
                    listener=listener,
                    count=rate.hidden,
                    what=f"refused, {reason}" if reason else "messages",
                )
            rate.begin()

    def _log(self, service: str) -> Logger:
        log = self._logs.get(service)
        if log is None:
            log = self._logs[service] = Logger(namespace=f"netsvc.{service}")
        return log


def _fields(fact: Fact) -> dict[str, object]:
    """What a log for programs has beside the line, by the names that facts have everywhere."""
    origin = fact.origin
    return {
        "kind": fact.kind,
        "listener": origin.listener,
        "address": origin.address,
        "port": origin.port,
        "connection": origin.connection,
        "length": fact.length,
        "reason": fact.reason,
    }


def _peer(fact: Fact) -> str:
    origin = fact.origin
    # A UNIX client's path may have any letters, and not every terminal's encoding has all of them.
    return ascii(origin.address if origin.port is None else (origin.address, origin.port))


def _reason(fact: Fact) -> str:
    """Why, and what else is known of that: the alert of a TLS handshake, what was wrong with a header."""
    more = ", ".join(_told(value) if key == "error" else ascii(value) for key, value in fact.detail)
    return f"{fact.reason} ({more})" if more else str(fact.reason)


def _told(value: object) -> str:
    """A text of ours, which may quote a peer: as it is, unless something in it is no plain line of ASCII."""
    text = str(value)
    return text if text.isascii() and text.isprintable() else ascii(text)


def _data(fact: Fact, most: int) -> str:
    if fact.data is None:
        return ""
    data = fact.data[:most]
    if fact.length is not None and fact.length > len(data):
        return f"{data!r}... ({fact.length} bytes)"
    return repr(data)
