"""
What becomes of each listener in a reload, in two parts: what may fail first, for all of them, and then what
cannot.

As long as something can still fail nobody notices anything, and everything can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from netsvc.assembly.running import Running
from netsvc.net.listener import SocketListener
from netsvc.net.sockets import OpenSocket, close_sockets

_log = Logger()


class Step(Protocol):
    """
    One listener's part.

    @ivar running: the listener, as it will be.
    """

    running: Running

    def begin(self) -> Deferred[None]:
        """Do what may fail; the Deferred fails with whatever it failed with."""

    def undo(self) -> None:
        """Nothing comes of it: be as before, whether it has begun or not."""

    def commit(self) -> None:
        """It is so."""


class Keep:
    """A listener that goes on as it is."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def begin(self) -> Deferred[None]:
        """See `Step`."""
        return succeed(None)

    def undo(self) -> None:
        """See `Step`."""

    def commit(self) -> None:
        """See `Step`."""
        _adjust(self.running)


@dataclass(frozen=True)
class Renewal:
    """
    How what serves is replaced.

    @ivar start: starts what is to serve; it may raise anything, and then has started nothing.
    @ivar stop: stops it again, because nothing came of it.
    @ivar serve: lets it serve.
    """

    start: Callable[[], None]
    stop: Callable[[], None]
    serve: Callable[[], None]


class Renew:
    """A listener on the same socket that serves otherwise from now on."""

    def __init__(self, running: Running, renewal: Renewal) -> None:
        self.running = running
        self._renewal = renewal
        self._started = False

    def begin(self) -> Deferred[None]:
        """See `Step`."""
        return maybeDeferred(self._start)

    def undo(self) -> None:
        """See `Step`."""
        if self._started:
            quietly(self._renewal.stop)

    def commit(self) -> None:
        """See `Step`."""
        self._renewal.serve()
        _adjust(self.running)

    def _start(self) -> None:
        self._renewal.start()
        self._started = True


class Open:
    """
    A new listener, on a socket of its own or on one that another listener leaves to it.

    @ivar former: the one whose place it takes, and whose connections end; None where it takes nobody's.
    """

    def __init__(self, running: Running, opened: OpenSocket | None, former: Running | None = None) -> None:
        """
        @param running: the new listener.
        @param opened: its socket; None where a Twisted endpoint has it.
        """
        self.running = running
        self.former = former
        self._opened = opened
        self._begun = False

    def begin(self) -> Deferred[None]:
        """See `Step`."""
        self._begun = True
        return maybeDeferred(self.running.listener.start)

    def undo(self) -> None:
        """See `Step`."""
        if self._begun or self._opened is None:
            quietly(self.running.listener.stop_accepting)
            quietly(self.running.listener.abort)
        else:
            close_sockets([self._opened])

    def commit(self) -> None:
        """See `Step`."""
        listener = self.running.listener
        if self.former and isinstance(listener, SocketListener):
            former: Any = self.former.listener
            listener.follow(former)
            _adjust(self.running)


def _adjust(running: Running) -> None:
    """Let a listener that goes on know who asks for it now, and with which mode and backlog."""
    listener = running.listener
    if isinstance(listener, SocketListener):
        listener.adjust(running.binding)
    else:
        listener.origin = running.binding.origin


def start_all(factories: Sequence[IProtocolFactory]) -> None:
    """Start factories, or none and raise what one of them raised."""
    started: list[IProtocolFactory] = []
    try:
        for factory in factories:
            factory.doStart()
            started.append(factory)
    except BaseException:
        stop_all(started)
        raise


def stop_all(factories: Sequence[IProtocolFactory]) -> None:
    """Stop factories; what one of them raises hinders no other."""
    for factory in factories:
        quietly(factory.doStop)


def quietly(call: Callable[[], object]) -> None:
    """Call something whose failure is no reason to stop half-way; it is logged."""
    try:
        call()
    except Exception:  # noqa: BLE001 - it may be anybody's
        _log.failure("part of reading the configuration again failed, the rest goes on")
