"""
A reactor for Linux that spends less on each event; `twistd --reactor=netsvc`.

It is Twisted's `EPollReactor` with four things done otherwise, none of which a program can tell:

- Twisted wraps each event in a log context of its own, two dictionaries and a call of `logPrefix`, in case
  that something writes a line. Here the context of an event is a single object, which asks for the prefix
  and makes a dictionary when somebody reads it.
- The commonest event by far, that something can be read and nothing else, goes straight to `doRead`. Every
  other one takes Twisted's own way.
- Twisted looks twice in each turn for what is due, reads the clock each time, and guards each turn against
  errors. Here one look is enough where nothing is due, and the guard is put up anew only after an error.
- A turn takes at most a fixed number of events from the system. Twisted's sets aside room for as many as
  there are descriptors: with ten thousand connections that room costs more than the events in it. Those left
  over are the first of the next turn, for the system hands them out in turn.

What it makes for `listenTCP`, `connectTCP` and the like are the transports of `netsvc.net.fast.stream`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from select import EPOLLIN
from typing import Any

from twisted.internet import error
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IConnector, IListeningPort, IProtocolFactory
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python import context, log

from netsvc.net.fast.stream import Client, Connector, Port, Server

#: Events taken from the system in one turn. Enough that what a turn costs beside them does not show, and 12
#: bytes of room for each.
EVENTS_PER_TURN = 512

#: Seconds. A call that is further away is left to Twisted, which knows how long the system can wait.
_FAR = 1_000_000.0

_log = Logger()
_turns = _log.failureHandler("Unexpected error in main loop")

_GONE = error.ConnectionFdescWentAway("File descriptor lost")
_OURS = frozenset({Server, Client})
_IP = (socket.AF_INET, socket.AF_INET6)


class _Context:
    """
    The context of one event, for `twisted.python.context`: who is at work is looked up when it is asked for.

    Each event has its own, because what it gives to a thread takes the context along and may ask much later.

    @ivar selectable: whose event it is.
    @ivar around: the contexts that the reactor runs in, the innermost last.
    """

    __slots__ = ("around", "selectable")
    selectable: Any
    around: Sequence[Mapping[object, Any]]

    def __contains__(self, key: object) -> bool:
        return key is log.ILogContext

    def __getitem__(self, key: object) -> dict[str, Any]:
        if key is not log.ILogContext:
            raise KeyError(key)
        known: Mapping[str, Any] = next((one[key] for one in reversed(self.around) if key in one), {})
        return {**known, "system": _prefix_of(self.selectable)}


def _prefix_of(selectable: Any) -> str:
    try:
        return str(selectable.logPrefix())
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - anybody's, and the line that it was wanted for is still to be written
        return "(buggy logPrefix method)"


def _logged(call: Callable[..., object], *arguments: object) -> None:
    """Call, and log what it raises; see `twisted.python.log.callWithLogger`."""
    try:
        call(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - as Twisted has it
        log.err()


class NetsvcReactor(EPollReactor):
    """The reactor."""

    def mainLoop(self) -> None:
        """Take turns until stopped; what a turn raises is logged, and ends that turn alone."""
        while self._started:
            with _turns:
                while self._started:
                    wait = self._prepared()
                    self.doIteration(self.running and wait)
        _log.info("Main loop terminated.")

    def _prepared(self) -> float | None:
        """
        Do what is due, as `runUntilCurrent` does, and find what `timeout` does: how long to wait for events.

        Nearly always nothing is due but a call that is to come, and then the first look at it is enough.
        """
        calls = self._pendingTimedCalls
        if calls and not (
            self.threadCallQueue
            or self._newTimedCalls
            or self._justStopped
            or (self._cancellations > 50 and self._cancellations > len(calls) >> 1)
        ):
            wait: float = calls[0].time - self.seconds()
            if 0.0 < wait < _FAR:
                return wait
        self.runUntilCurrent()
        return self.timeout()

    def doPoll(self, timeout: float | None) -> None:
        """
        Wait for events and dispatch them.

        @param timeout: seconds to wait at most; None waits for ever.
        """
        try:
            events = self._poller.poll(-1 if timeout is None else timeout, EVENTS_PER_TURN)
        except OSError as failure:
            if failure.errno == errno.EINTR:
                return
            raise
        if events:
            # As `context.call` does, without asking for the thread's contexts twice.
            contexts = context.theContextTracker.currentContext().contexts
            around = tuple(contexts)
            contexts.append({})
            try:
                self._dispatch(events, contexts, around)
            finally:
                contexts.pop()

    doIteration = doPoll

    def _dispatch(
        self,
        events: list[tuple[int, int]],
        contexts: list[object],
        around: Sequence[Mapping[object, Any]],
    ) -> None:
        """
        @param contexts: the thread's stack of contexts; its last place is the events'.
        @param around: those below that place.
        """
        selectables: Mapping[int, Any] = self._selectables
        for fd, event in events:
            selectable = selectables.get(fd)
            if selectable is None:
                # One that was dispatched before has closed it.
                continue
            # Made and filled from outside, which takes a third of the time that `__init__` would.
            contexts[-1] = own = _Context()
            own.selectable = selectable
            own.around = around
            if event != EPOLLIN:
                _logged(self._doReadOrWrite, selectable, fd, event)
                continue
            try:
                # Some tell so that they have lost their descriptor; ours never do while they are here.
                if type(selectable) in _OURS or selectable.fileno() != -1:
                    why = selectable.doRead()
                else:
                    why = _GONE
                reading = True
            except BaseException as raised:  # noqa: BLE001 - Twisted's way: whatever it is, it ends this one alone
                why = raised
                log.err()
                reading = False
            if why:
                _logged(self._disconnectSelectable, selectable, why, reading)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See `IReactorTCP`."""
        listening = Port(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30.0,
        bindAddress: Any = None,
    ) -> IConnector:
        """See `IReactorTCP`."""
        connector = Connector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: socket.AddressFamily, factory: IProtocolFactory
    ) -> IListeningPort:
        """See `IReactorSocket`."""
        if addressFamily not in _IP:
            return super().adoptStreamPort(fileDescriptor, addressFamily, factory)  # type: ignore[no-any-return, no-untyped-call]
        listening = Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]
        listening.startListening()
        return listening  # type: ignore[no-any-return]

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: socket.AddressFamily, factory: IProtocolFactory
    ) -> Any:
        """See `IReactorSocket`; as Twisted's own does, it returns the transport, None without a protocol."""
        if addressFamily not in _IP:
            return super().adoptStreamConnection(fileDescriptor, addressFamily, factory)  # type: ignore[no-untyped-call]
        return Server._fromConnectedSocket(fileDescriptor, addressFamily, factory, self)  # type: ignore[no-untyped-call]


def install() -> None:
    """
    Make it the process's reactor; see `twisted.application.reactors.IReactorInstaller`.

    @raise twisted.internet.error.ReactorAlreadyInstalledError: there is one already.
    """
    from twisted.internet.main import installReactor

    installReactor(NetsvcReactor())  # type: ignore[no-untyped-call]
