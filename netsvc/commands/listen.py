"""
``netsvc listen``: receives on one address and prints what arrives, as the receiver's log does.

The sockets are opened as the daemon opens its own, with the same refusals and the same room for bursts.
Everything is printed while it is read, so that a slow reader of our output slows us and fills no memory.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from os import fsdecode
from time import time_ns
from typing import Any, BinaryIO

import click

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from netsvc.commands.address import Address, AddressType
from netsvc.commands.datagrams import DatagramReader
from netsvc.commands.ending import interruptible
from netsvc.commands.running import NotDone, complain, run
from netsvc.net.addresses import fold
from netsvc.net.binding import bindings_of
from netsvc.net.machine import this_machine
from netsvc.net.sockets import OpenSocket, close_sockets, open_where
from netsvc.net.where import URLWhere
from netsvc.service import NetService
from netsvc.settings import TLS, Limits, Net, SettingError

#: What is said when nothing came in time; first programs say the same.
NOTHING_CAME = "No connection between client and server"

#: Seconds that the last replies have to leave.
GOODBYE = 2.0

#: Where a message came from: an IP address or a path, and the port, which a UNIX socket has not.
Peer = tuple[str, int | None]


@dataclass(frozen=True)
class Style:
    """
    How what arrives is printed.

    @ivar json: as lines of JSON.
    @ivar hex: bytes as hexadecimal digits, not as a Python literal.
    """

    json: bool = False
    hex: bool = False

    def message(self, url: str, peer: Peer, data: bytes) -> str:
        """The line for a datagram or a chunk."""
        if self.json:
            return _json("received", url, peer, length=len(data), data=b64encode(data).decode("ascii"))
        return f"Got message from {_shown(peer)}: {data.hex(' ') if self.hex else repr(data)}"

    def end(self, url: str, peer: Peer) -> str:
        """The line for the end of a connection."""
        return _json("closed", url, peer) if self.json else f"End of the connection from {_shown(peer)}"


class Reception:
    """
    What has come so far, and when it is enough.

    @ivar done: fires when enough has come or no more is waited for; with whether that is a success.
    """

    def __init__(
        self,
        reactor: Any,
        style: Style,
        count: int | None,
        timeout: float | None,
        payloads: BinaryIO | None = None,
        lines: Callable[[str], None] | None = click.echo,
    ) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param style: how it is printed.
        @param count: how many messages are enough; None for no end.
        @param timeout: seconds to wait for each message; None waits for ever.
        @param payloads: takes the bytes of each message as they are.
        @param lines: prints a line; None prints none.
        """
        self.done: Deferred[bool] = Deferred()
        self._style = style
        self._count = count
        self._received = 0
        self._payloads = payloads
        self._lines = lines
        self._timeout = timeout
        self._waiting = reactor.callLater(timeout, self._give_up) if timeout is not None else None

    def message(self, url: str, peer: Peer, data: bytes) -> bool:
        """
        A message has come.

        @return: whether more is wanted.
        """
        if self.done.called:
            return False
        self._received += 1
        if self._timeout is not None and self._waiting is not None:
            self._waiting.reset(self._timeout)
        self._write(self._style.message(url, peer, data), data)
        if self._received == self._count:
            self._finish(True)
        return not self.done.called

    def end(self, url: str, peer: Peer) -> None:
        """A connection has ended."""
        if not self.done.called:
            self._write(self._style.end(url, peer), b"")

    def _write(self, line: str, data: bytes) -> None:
        try:
            if self._payloads is not None and data:
                self._payloads.write(data)
                self._payloads.flush()
            if self._lines is not None:
                self._lines(line)
        except OSError as error:
            self._stop_waiting()
            self.done.errback(error)

    def _give_up(self) -> None:
        self._waiting = None
        # Silence is how one that was told no number ends.
        self._finish(self._count is None and self._received > 0)

    def _finish(self, success: bool) -> None:
        self._stop_waiting()
        self.done.callback(success)

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class Stream(Protocol):
    """One connection, each of whose chunks is a message."""

    transport: Any

    def __init__(self, streams: Streams, reception: Reception, url: str, reply: bytes) -> None:
        """
        @param streams: knows which are open.
        @param reception: where it goes.
        @param url: the listener's.
        @param reply: sent for each chunk.
        """
        self._streams = streams
        self._reception = reception
        self._url = url
        self._reply = reply
        self._peer: Peer = ("", None)

    def connectionMade(self) -> None:
        self._peer = _peer(self.transport.getPeer())
        self._streams.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        # Before the printing, which may end everything.
        if self._reply:
            self.transport.write(self._reply)
        self._reception.message(self._url, self._peer, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reception.end(self._url, self._peer)
        self._streams.lost(self)


class Streams(Factory[Stream]):
    """
    Makes the protocol of each connection of one socket.

    @ivar open: those that are connected.
    """

    noisy = False

    def __init__(self, reception: Reception, url: str, reply: bytes) -> None:
        """The arguments are `Stream`'s."""
        self.open: set[Stream] = set()
        self._empty: Deferred[None] = Deferred()
        self._closing = False
        self._reception = reception
        self._url = url
        self._reply = reply

    def buildProtocol(self, addr: IAddress | None) -> Stream:
        return Stream(self, self._reception, self._url, self._reply)

    def lost(self, stream: Stream) -> None:
        """One has lost its connection."""
        self.open.discard(stream)
        if self._closing and not self.open:
            self._empty.callback(None)

    async def close(self, reactor: Any) -> None:
        """Close the connections once the last replies have left, or after a while by force."""
        if not self.open:
            return
        self._closing = True
        call = reactor.callLater(GOODBYE, self._each, "abortConnection")
        self._each("loseConnection")
        await self._empty
        if call.active():
            call.cancel()

    def _each(self, end: str) -> None:
        for stream in tuple(self.open):
            getattr(stream.transport, end)()


def open_sockets(address: Address) -> list[OpenSocket]:
    """
    Open the sockets of an address, as the daemon would.

    @param address: its host may be a name: each of its addresses gets a socket.
    @raise NotDone: one of them cannot be opened.
    """
    # A declaration with both sides, neither of which is ever made.
    service = NetService("listen", "", stream="none", datagram="none")
    try:
        return open_where(
            bindings_of(
                URLWhere(address.scheme, address.host, address.port, address.path),
                service=service,
                transports=service.transports,
                settings={},
                limits=Limits(),
                net=Net(),
                tls=TLS(),
                origin="ADDRESS",
                machine=this_machine(),
            )
        )
    except SettingError as error:
        raise NotDone(str(error)) from None


async def listen(reactor: Any, opened: list[OpenSocket], reception: Reception, reply: bytes) -> bool:
    """
    Receive until it is enough.

    @param opened: the sockets; they are closed at the end.
    @param reception: what takes the messages.
    @param reply: sent back for each message; empty sends nothing.
    @return: whether what was wanted has come.
    """
    readers: list[Any] = []
    streams: list[Streams] = []
    try:
        for one in opened:
            if one.binding.kind == "stream":
                streams.append(Streams(reception, one.binding.url, reply))
                family = one.binding.family
                readers.append(reactor.adoptStreamPort(one.sock.fileno(), family, streams[-1]))
            else:
                readers.append(_datagrams(one, reception, reply))
                reactor.addReader(readers[-1])
            complain(f"listening on {one.binding.url}")
        return await reception.done
    finally:
        # Ports are not told to stop: they would remove the file of a UNIX socket, which is ours to remove.
        for reader in readers:
            reactor.removeReader(reader)
        close_sockets(opened)
        for some in streams:
            await some.close(reactor)


def _datagrams(opened: OpenSocket, reception: Reception, reply: bytes) -> DatagramReader:
    def received(data: bytes, host: str, port: int | None) -> bool:
        return reception.message(opened.binding.url, (fold(host), port), data)

    return DatagramReader(opened.sock, received, reply)


@click.command("listen")
@click.argument("address", type=AddressType("tcp", "udp", "unix", "unix-datagram"))
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Wait no longer for a message.",
)
@click.option("--hex", "as_hex", is_flag=True, help="Print bytes as hexadecimal digits.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Append what arrives, as it is, to a file; - is standard output, which then has nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each message.")
@click.option("--reply", metavar="TEXT", help="Answer each message with this text.")
def command(
    address: Address,
    count: int | None,
    timeout: float | None,
    as_hex: bool,
    file: str | None,
    as_json: bool,
    reply: str | None,
) -> None:
    """
    Receive on ADDRESS and print what arrives: each datagram, or each chunk of a stream.

    Where it listens is told on standard error; port 0 lets the system choose one. With --timeout it ends once
    nothing has come for so long: in failure if nothing came at all, or fewer messages than --count.
    """
    alone = file == "-"
    if alone and sys.stdout.isatty():
        raise click.UsageError("--file - is for a pipe or a file; what arrives could act on a terminal")
    if as_json and as_hex:
        raise click.UsageError("--json has the bytes as base64; leave --hex out")

    async def work(reactor: Any) -> None:
        payloads = _payloads(file)
        style = Style(as_json, as_hex)
        opened = open_sockets(address)
        reception = Reception(reactor, style, count, timeout, payloads, None if alone else click.echo)
        try:
            success = await listen(
                reactor, opened, reception, (reply or "").encode("utf-8", "surrogateescape")
            )
        except BrokenPipeError:
            raise
        except OSError as error:
            raise NotDone(f"cannot write what arrived: {error.strerror or error}") from None
        if not success:
            click.echo(NOTHING_CAME, err=alone or as_json)
            raise SystemExit(1)

    run(interruptible(work))


def _payloads(file: str | None) -> BinaryIO | None:
    if file is None:
        return None
    if file == "-":
        return sys.stdout.buffer
    try:
        return open(file, "ab")
    except OSError as error:
        raise NotDone(f"{file!r}: cannot write to it: {error.strerror or error}") from None


def _peer(address: Any) -> Peer:
    """An address of Twisted's."""
    host = getattr(address, "host", None)
    if host is None:
        return fsdecode(getattr(address, "name", None) or b""), None
    return fold(host), address.port


def _shown(peer: Peer) -> str:
    # A UNIX client's path may have any letters, and not every terminal's encoding has all of them.
    return ascii(peer[0] if peer[1] is None else peer)


def _json(kind: str, url: str, peer: Peer, **more: Any) -> str:
    row = {"time": str(time_ns()), "kind": kind, "listener": url, "address": peer[0], "port": peer[1], **more}
    return json.dumps(row)
