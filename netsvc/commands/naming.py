"""
What a name stands for: the system's getaddrinfo, with its refusals in one line, and a limit on its time.

It is asked in a thread that the end of the process does not wait for: Twisted joins its own threads, and a
name server that does not answer would keep a command, and the Ctrl-C that ends it, for half a minute.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from zope.interface import implementer

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.python.failure import Failure

from netsvc.commands.complaints import NotDone

#: Seconds that the system may look for a name.
LOOKUP_TIMEOUT = 10.0

# What getaddrinfo would take for a number, and reduce to 16 bits.
_NUMBER = re.compile(r"\s*[+-]?[0-9]*\s*")

_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Found:
    """
    One address of a name.

    @ivar family: ``IPv4`` or ``IPv6``.
    @ivar address: numeric; IPv6 with its scope where it has one.
    @ivar port: 0 where none was asked for.
    """

    family: str
    address: str
    port: int


def in_thread(
    reactor: Any,
    function: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **options: Arguments.kwargs,
) -> Deferred[Result]:
    """
    Have something called in a thread of its own, for which the process does not wait when it ends.

    @return: fires with its result, or with what it raised.
    """
    told: Deferred[Result] = Deferred()

    def work() -> None:
        try:
            result = function(*arguments, **options)
        except Exception:  # noqa: BLE001 - whatever it is, it is raised where the result is awaited
            reactor.callFromThread(told.errback, Failure())
        else:
            reactor.callFromThread(told.callback, result)

    Thread(target=work, daemon=True).start()
    return told


async def look_up(
    reactor: Any, host: str, service: str | int | None, kind: socket.SocketKind = socket.SOCK_STREAM
) -> list[Found]:
    """
    Ask for the addresses of a name, in the order in which a connection would try them.

    @param reactor: is called from the thread.
    @param host: a name or an address.
    @param service: a port, its name, or None.
    @param kind: of the sockets.
    @raise NotDone: there is none, the service is not known, or there is no answer in time.
    """
    unknown = NotDone(f"{service}: this host knows no such service or port")
    if service is not None and not _can_be_service(str(service)):
        raise unknown
    asking = in_thread(reactor, socket.getaddrinfo, host, service, 0, kind)
    asking.addTimeout(LOOKUP_TIMEOUT, reactor)
    try:
        rows = await asking
    except DeferredTimeoutError:
        raise NotDone(f"{host}: no answer in time to what addresses the name has") from None
    except socket.gaierror as error:
        if error.errno == socket.EAI_SERVICE:
            raise unknown from None
        raise NotDone(f"{host}: the name has no address ({(error.strerror or str(error)).lower()})") from None
    except (UnicodeError, OverflowError, ValueError):
        raise NotDone(f"{host!r}, {service!r}: that can be no name of a host and a service") from None
    found = [Found(_FAMILIES[row[0]], str(row[4][0]), int(row[4][1])) for row in rows if row[0] in _FAMILIES]
    # The same address can come several times, from several lines of the hosts file.
    return list(dict.fromkeys(found))


@implementer(IHostnameResolver)
class Names:
    """Gives Twisted's endpoints what `look_up` finds."""

    def __init__(self, reactor: Any) -> None:
        """@param reactor: is called from the threads."""
        self._reactor = reactor

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See `IHostnameResolver`; endpoints ask for streams, of either family."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        async def resolve() -> None:
            try:
                found = await look_up(self._reactor, hostName, portNumber)
            except NotDone:
                # The receiver knows no other refusal than no addresses.
                found = []
            for one in found:
                kind = IPv6Address if one.family == "IPv6" else IPv4Address
                resolutionReceiver.addressResolved(kind("TCP", one.address, one.port))
            resolutionReceiver.resolutionComplete()

        Deferred.fromCoroutine(resolve())
        return resolution


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """See `IHostResolution`: nobody waits for the thread."""


def _can_be_service(service: str) -> bool:
    return not _NUMBER.fullmatch(service) or (service.isdigit() and int(service) <= 0xFFFF)
