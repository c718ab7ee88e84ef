"""
How a plugin declares a service.

    # twisted/plugins/netsvc_shout.py
    from netsvc.service import NetService, Setting
    shout = NetService(name="shout", summary="Answers in capitals", port=7001,
                       stream="shout.ShoutFactory", datagram="shout.ShoutDatagram",
                       settings=[Setting("times", int, 1, unit="repeats", reason="how often it shouts")])

A declaration holds names, not classes: importing it imports none of the service's code, so that
``twistd --help`` stays fast however many services are installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zope.interface import implementer

from twisted.plugin import IPlugin

from netsvc.interfaces import INetService
from netsvc.settings import RESERVED, TRANSPORT_OPTIONS, Limits, Setting, settings_of

__all__ = ["NetService", "Setting"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_NEEDS = frozenset({"reactor", "clients", "timeline", "daemon", "journal", "listener", "limits"})
_FIRST = frozenset({"", "segment", "line"})
_KINDS = frozenset({"opened", "received", "sent", "closed", "refused"})
_LIMITS = {one.name: one for one in settings_of(Limits)}

#: Names that something else has in a service's table, in a URL's query or among its callables' arguments.
_TAKEN = TRANSPORT_OPTIONS | _NEEDS | {"listen", "shared"} | set(_LIMITS)


@implementer(IPlugin, INetService)
@dataclass(frozen=True, eq=False)
class NetService:
    """
    A service, declared.

    @ivar name: its option on the command line, its table in the configuration; lower case.
    @ivar summary: one line for a person who lists the services.
    @ivar port: the default port; None where a WHERE must be given.
    @ivar stream: dotted name of a callable, called once per listener with the settings as keyword
        arguments, that returns an `IProtocolFactory`; a Protocol class will do.
    @ivar datagram: the same for datagrams, returning a `DatagramProtocol`.
    @ivar websocket: the same as `stream` for those who come over WebSocket, where they are to be served
        otherwise than as a stream of bytes: each piece of data is one message, each write is one, and of
        `first` a message is the segment or the line. Empty: `stream` serves them too.
    @ivar settings: the service's settings.
    @ivar needs: what else the callables take as keyword arguments: ``reactor``, ``clients`` (the client
        list, `IClientStore`), ``timeline`` (the ring of facts), ``daemon`` (what there is to see of the whole
        daemon, `IDaemonView`), ``journal`` (`IJournal`, or None where there is none), ``listener`` (the
        `ListenerAddress`), ``limits`` (the listener's `Limits`).
    @ivar shared: dotted name of a callable, called once per daemon without arguments; its result is passed
        to every listener's callable as ``shared``. Given where all connections share state (a chat room).
    @ivar limits: the service's own defaults for ``[limits]``.
    @ivar first: what a client owes before anything else, within ``first_line_timeout``: ``"segment"`` (any
        bytes), ``"line"`` (up to a newline), or ``""``.
    @ivar log: for kinds of facts (``opened``, ``received``, ``closed`` …) the line that the log has;
        ``{peer}`` and ``{data}`` in it stand for the client's address and the bytes, both escaped.
    @ivar noted: whether its connections and messages are facts; what shows the timeline would otherwise show
        itself. Refusals are facts whatever this says.
    @raise ValueError: the declaration contradicts itself or takes a reserved name.
    """

    name: str
    summary: str
    port: int | None = None
    stream: str = ""
    datagram: str = ""
    settings: Sequence[Setting] = ()
    needs: Sequence[str] = ()
    shared: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)
    first: str = ""
    log: Mapping[str, str] = field(default_factory=dict)
    noted: bool = True
    websocket: str = ""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(f"service {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        if not _NAME.match(self.name):
            return "its name must be lower-case letters, digits, - and _, beginning with a letter"
        if self.name in RESERVED:
            return "its name is reserved for a table of the configuration"
        if not (self.stream or self.datagram or self.websocket):
            return "it has neither a stream nor a datagram side"
        if self.port is not None and not 0 < self.port < 65536:
            return f"{self.port} is no port"
        if unknown := set(self.needs) - _NEEDS:
            return f"it needs {', '.join(sorted(unknown))}; there is {', '.join(sorted(_NEEDS))}"
        if "journal" in self.needs and not self.noted:
            return "it needs the journal, but what is not noted is not recorded"
        if self.first not in _FIRST:
            return f"first={self.first!r}; expected 'segment', 'line' or ''"
        if unknown := set(self.log) - _KINDS:
            return f"it logs {', '.join(sorted(unknown))}, which is no kind of fact"
        names = [one.name for one in self.settings]
        for name in names:
            if names.count(name) > 1 or name in _TAKEN:
                return f"its setting {name!r} has the name of another one"
        for kind, text in self.log.items():
            try:
                text.format(peer="", data="")
            except (KeyError, IndexError, ValueError) as error:
                return f"its log line for {kind} has a placeholder that is not {{peer}} or {{data}}: {error}"
        for name, value in self.limits.items():
            if name not in _LIMITS:
                return f"{name} is no setting of [limits]"
            try:
                _LIMITS[name].read(value)
            except ValueError as error:
                return f"limits.{name}: {error}"
        return None

    @property
    def transports(self) -> frozenset[str]:
        """The kinds of socket that it answers on, ``stream``, ``datagram`` or both; else ``websocket``."""
        sides = (("stream", self.stream), ("datagram", self.datagram))
        return frozenset(kind for kind, given in sides if given) or frozenset({"websocket"})
