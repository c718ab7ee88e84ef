"""The contracts between the rooms of netsvc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from zope.interface import Attribute, Interface

from twisted.internet.defer import Deferred


class INetService(Interface):
    """A declaration of one service, found through `twisted.plugin`; see `netsvc.service.NetService`."""

    name = Attribute("str: unique; its option, its table in the configuration and its path under /ws/")
    summary = Attribute("str: one line for a person who lists the services")
    port = Attribute("int or None: the default port; None where a WHERE must always be given")
    stream = Attribute("str: dotted name of a callable that returns a Factory, or ''")
    datagram = Attribute("str: dotted name of a callable that returns a DatagramProtocol, or ''")
    websocket = Attribute(
        "str: the same as stream for those who come over WebSocket, or '' where that serves them"
    )
    settings = Attribute("tuple of Setting: passed to those callables as keyword arguments")
    needs = Attribute(
        "tuple of str: what else they are passed: reactor, clients, timeline, daemon, journal, listener, "
        "limits"
    )
    shared = Attribute("str: dotted name of a callable whose one result all listeners share, or ''")
    limits = Attribute("mapping of str to value: this service's own defaults for [limits]")
    first = Attribute("str: what a client owes at once: '', 'segment' or 'line'")
    log = Attribute("mapping of a fact's kind to the line that the log has for it")
    noted = Attribute("bool: whether its connections and messages are facts")


class IFactSink(Interface):
    """Something that facts flow to one by one: the log."""

    def note(row: tuple[Any, ...]) -> None:
        """
        Take one fact.

        It is called in the reactor's thread for every message, so it must be quick and must not wait. An
        exception is counted against the sink and reaches nobody else.

        @param row: a row as `netsvc.facts` describes it.
        """


class IFactArchive(Interface):
    """Something that takes facts by the batch, because there are many: the ring."""

    def take(first: int, notes: tuple[tuple[Any, ...], ...]) -> None:
        """
        Take a batch.

        It is called in the reactor's thread, so it must be quick and must not wait.

        @param first: the seq of the first note; each has one more than the one before it.
        @param notes: the values of at least one note, flat, as `netsvc.facts` describes them; see
            `netsvc.facts.rows_of`.
        """


class IFactStore(Interface):
    """Facts that were kept, to be read a few at a time and in order: what the ring has, or a journal."""

    last = Attribute("int: the seq of the newest fact, 0 where there is none")
    gone = Attribute("int: nothing with a seq up to this one is there any more; 0 where nothing ever left")
    began = Attribute("int: all facts of this process have a greater seq; 0 where that is not known")
    taken = Attribute("int: how many facts it was ever given")
    left = Attribute("int: how many of them have left; those that are there are the last of those taken")

    def since(after: int, limit: int) -> list[tuple[Any, ...]]:
        """
        The oldest facts with a seq greater than one, as rows, oldest first.

        @param after: a seq; 0 begins with the oldest that is there.
        @param limit: the most facts to give, at least 1.
        """

    def before(seq: int, limit: int) -> list[tuple[Any, ...]]:
        """
        The newest facts with a seq less than one, as rows, newest first.

        @param seq: a seq; it need not be that of a fact.
        @param limit: the most facts to give, at least 1.
        """


class IFactHistory(Interface):
    """Facts that are kept for longer than an `IFactStore` has them; reading them takes time."""

    written = Attribute("int: what is not there with a seq up to this one will not come any more")
    stalled = Attribute("bool: whether what is still to come, is not to come soon")
    removed = Attribute("int: since this process began, facts with a seq up to this one have been removed")

    def hurry() -> None:
        """Have what is still to come, come at once."""

    def missing(after: int, until: int) -> tuple[int, int, int] | None:
        """
        Facts of this process that were never kept.

        @param after: behind this seq.
        @param until: up to this one.
        @return: the seqs of the first and of the last of them, and how many they are.
        """

    def find(
        wanted: Any,
        after: int,
        until: int,
        newest_first: bool,
        limit: int,
        limit_bytes: int,
        matcher: Any = None,
    ) -> Deferred[Any]:
        """
        Look for facts; see `netsvc.journal.disk.reader.Reader.find`.

        @return: fires with a `netsvc.journal.disk.search.Part`; fails with
            `netsvc.journal.disk.schema.JournalError` where they cannot be read. It may be cancelled.
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

    def newest(limit: int) -> bytes:
        """As `encoded`, of so many who came last at the most."""

    def __len__() -> int:
        """How many are here."""

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


class IDaemonView(Interface):
    """What there is to see of the running daemon, for the page, the API and the metrics."""

    started = Attribute("float: when the daemon was made, in seconds since the epoch")
    version = Attribute("str: netsvc's version")
    facts = Attribute("netsvc.facts.Facts: the dispatcher")
    timeline = Attribute("netsvc.journal.timeline.Timeline: the newest facts")
    watchers = Attribute("netsvc.journal.watch.Watchers: all who watch the timeline or wait for facts")
    clients = Attribute("IClientStore: who is here")

    def listeners() -> list[dict[str, Any]]:
        """
        Every listener, ready for JSON, in the order in which they were asked for.

        Keys: service, listener (its URL), transport, address, port, max_connections (None for datagrams),
        opened, closed, open, messages_in, bytes_in, messages_out, bytes_out, refused (reason to number),
        dropped (datagrams that the system dropped for want of room).
        """

    def connections() -> Iterator[dict[str, Any]]:
        """
        Every open connection, ready for JSON, of each listener the oldest first; each is read when it is
        asked for.

        Keys: connection, service, listener, transport, address, port, local, name (of the client list, or
        None), opened (nanoseconds since the epoch, as a string), bytes_in, bytes_out, messages_in,
        messages_out.
        """

    def newest_connections(limit: int) -> Iterator[dict[str, Any]]:
        """So many of them that opened last at the most, of all listeners together, the oldest first."""

    def connections_open() -> int:
        """How many there are."""

    def health() -> list[str]:
        """What is wrong, one line each; empty is healthy."""

    def ready() -> bool:
        """Whether every listener is open and the daemon is not stopping."""

    def lines_hidden() -> int:
        """Lines that the log left out for their rate."""

    def missed() -> dict[str, int]:
        """How many facts each sink lost, by the sink's name."""

    def sink_lag() -> dict[str, float]:
        """How old the oldest fact is that a sink has not taken yet, in seconds, by the sink's name."""

    def stream_services() -> list[str]:
        """The names of the services that WebSocket can carry: those that listen, and echo and chat."""

    def guard_for(service: str, listener: str) -> Any:
        """
        What serves a service's connections over WebSocket: the same guard, limits and facts as its sockets'.

        @param service: one of `stream_services`.
        @param listener: the URL that the connections are counted and noted under, such as
            ``ws://127.0.0.1:8080/ws/echo``. The same again gives the same factory.
        @return: an `IProtocolFactory`.
        @raise KeyError: it is no such service.
        @raise SettingError: it cannot be made, or cannot start; the log says why.
        """

    def shared(service: str) -> Any:
        """
        What all listeners of a service share, such as the chat's room.

        @raise KeyError: it is no service that runs, or it shares nothing.
        """


class IKeptWhole(Interface):
    """
    Marks a factory, or a datagram protocol, whose messages are kept whole, however long they are.

    That is what one provides that tells its clients what is on disk: `capture` cuts everybody else's.
    """


class IJournal(Interface):
    """Facts on disk."""

    broken = Attribute("str: why nothing can be recorded at the moment, '' while it can")
    lost = Attribute("int: facts that it was given and does not have, because it could not write them")
    lag = Attribute("float: the age of the oldest fact that is not on disk yet, in seconds")

    def recorded() -> Deferred[bool]:
        """
        Wait until the message that is being handled is on disk; to be asked while it is being handled.

        @return: fires with True once it is there and survives the end of the process and of the machine, or
            with False: nobody knows whether it ever will be. Of several those that are there are told in the
            order in which they came.
        """


@dataclass(frozen=True)
class ListenerAddress:
    """
    Where a listener listens, for a service that must know.

    @ivar url: its name in facts, such as ``tcp://127.0.0.1:8009``; of an endpoint its description.
    @ivar transport: ``tcp``, ``tls``, ``unix`` or ``endpoint``.
    @ivar address: an IP address, the path of a UNIX socket, or ``""`` for an endpoint.
    @ivar port: None for UNIX sockets and endpoints.
    """

    url: str
    transport: str
    address: str
    port: int | None


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

    def answer_to(addr: tuple[str, int] | str) -> Callable[[bytes], None]:
        """
        For who answers later: what sends a datagram back from the address to which this one came.

        `write` sends from the address that the source has asked last, and a client that asked another one
        drops the answer.

        @param addr: as for `arrival_of`, and to be asked while the datagram is being handled.
        @return: call it with each answer, as often as needed; not once the transport has been taken away.
        """
