"""The contracts between the rooms of netsvc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from zope.interface import Attribute, Interface


class INetService(Interface):
    """A declaration of one service, found through `twisted.plugin`; see `netsvc.service.NetService`."""

    name = Attribute("str: unique; its option, its table in the configuration and its path under /ws/")
    summary = Attribute("str: one line for a person who lists the services")
    port = Attribute("int or None: the default port; None where a WHERE must always be given")
    stream = Attribute("str: dotted name of a callable that returns a Factory, or ''")
    datagram = Attribute("str: dotted name of a callable that returns a DatagramProtocol, or ''")
    settings = Attribute("tuple of Setting: passed to those callables as keyword arguments")
    needs = Attribute("tuple of str: what else they are passed: reactor, clients, timeline")
    shared = Attribute("str: dotted name of a callable whose one result all listeners share, or ''")
    limits = Attribute("mapping of str to value: this service's own defaults for [limits]")
    first = Attribute("str: what a client owes at once: '', 'segment' or 'line'")
    log = Attribute("mapping of a fact's kind to the line that the log has for it")


class IFactSink(Interface):
    """Something that facts flow to: the ring, the counters, the log."""

    def note(row: tuple[Any, ...]) -> None:
        """
        Take one fact.

        It is called in the reactor's thread for every message, so it must be quick and must not wait. An
        exception is counted against the sink and reaches nobody else.

        @param row: a row as `netsvc.facts` describes it.
        """


class IClientStore(Interface):
    """Who is here. Read from memory, synchronously; entries are plain dictionaries ready for JSON."""

    def register(name: str, address: str, port: int | None, ttl: float, max_clients: int) -> None:
        """
        Enter a client, or renew and replace the entry of that name.

        @param name: 1 to 255 bytes as UTF-8.
        @param address: an IP address, the path of a UNIX socket, or ``""``.
        @param port: None for a UNIX socket.
        @param ttl: seconds after which the entry leaves by itself; 0 keeps it.
        @param max_clients: the most entries that there may be after this one; the oldest leave first.
        """

    def hold(name: str, address: str, port: int | None, max_clients: int) -> Callable[[], None]:
        """
        Enter a client whose entry has no time to live but lasts until it lets go.

        @return: call it once to remove the entry; it does nothing when another client has meanwhile taken
            the name.
        """

    def encoded() -> bytes:
        """The whole list as one JSON object keyed by name, without a newline."""

    def pieces() -> Iterator[bytes]:
        """
        What `encoded` gives, in pieces that are read from the list when they are asked for.

        It is for readers that take their time: a snapshot for each of them would cost a list each. A client
        that is there throughout is in it, one that leaves meanwhile may be missing, and none is there twice.
        """

    def entries() -> dict[str, dict[str, Any]]:
        """The whole list as dictionaries ``{"name", "address", "port"}`` keyed by name."""

    def name_of(address: str) -> str | None:
        """The name of the one living entry with that address; None where there is none or more than one."""

    def subscribe(changed: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
        """
        Be told of every change.

        @param changed: called with ``"joined"`` or ``"left"`` and the entry.
        @return: call it to be told no more.
        """


class IJournal(Interface):
    """Facts on disk. Declared for those who will write to one; this version has none."""


@dataclass(frozen=True)
class TLSArrival:
    """
    What TLS said of a connection.

    @ivar version: such as ``TLSv1.3``.
    @ivar cipher: OpenSSL's name of the suite.
    @ivar server_name: what the client asked for (RFC 6066 section 3), or None.
    @ivar client_subject: the client certificate's subject as RFC 4514 text, or None.
    """

    version: str
    cipher: str
    server_name: str | None
    client_subject: str | None


@dataclass(frozen=True)
class ProxyArrival:
    """
    What a PROXY header said.

    @ivar version: 1 or 2.
    @ivar source: the client's address, or None where the header does not tell (LOCAL, UNKNOWN).
    @ivar source_port: the client's port, or None.
    @ivar destination: the address that the client connected to, or None.
    @ivar destination_port: its port, or None.
    @ivar via: the address of the proxy itself.
    @ivar server_name: the TLS server name that the proxy saw (v2's authority), or None.
    """

    version: int
    source: str | None
    source_port: int | None
    destination: str | None
    destination_port: int | None
    via: str
    server_name: str | None = None


@dataclass(frozen=True)
class Arrival:
    """
    How a client arrived.

    @ivar transport: ``tcp``, ``tls``, ``unix``, ``udp`` or ``unix-datagram``.
    @ivar address: the client's address (a path or ``""`` on a UNIX socket), IPv4 never as ``::ffff:…``.
    @ivar port: the client's port; None on a UNIX socket.
    @ivar local_address: the address that the client reached.
    @ivar local_port: and its port; None on a UNIX socket.
    @ivar tls: what TLS said, where there is TLS.
    @ivar proxy: what a PROXY header said, where there was one.
    """

    transport: str
    address: str
    port: int | None
    local_address: str
    local_port: int | None
    tls: TLSArrival | None = None
    proxy: ProxyArrival | None = None


class IArrivalTransport(Interface):
    """A stream transport that knows how its client arrived; every transport that netsvc gives does."""

    def arrival() -> Arrival:
        """How the client arrived."""


class IArrivalDatagramTransport(Interface):
    """The same for datagrams, where each one may come from somewhere else."""

    def arrival_of(addr: tuple[str, int] | str) -> Arrival:
        """
        How the datagram that is being handled arrived.

        @param addr: its source, as `DatagramProtocol.datagramReceived` was given it.
        """
