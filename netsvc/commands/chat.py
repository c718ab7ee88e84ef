"""
``netsvc chat``: the chat room, in a terminal or between pipes.

The protocol has no word for "you are in": a server that will not have somebody says why and closes. What goes
on in the room is told from that by its form, ``name: text`` or ``* name joined``, which no refusal has, and
by its time: a refusal comes first, and at once.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import click

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from netsvc.commands.address import SERVICE_SCHEMES, Address, AddressType
from netsvc.commands.chatmessages import open_messages
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import TLSOptions, tls_options
from netsvc.commands.linestream import LineStream, open_lines
from netsvc.commands.running import run
from netsvc.commands.shown import Output, inert_lines
from netsvc.commands.standard_input import StandardInput

#: Bytes of one line of the room's; netsvc's own have at most 8,192 of text.
LONGEST_LINE = 1 << 20

#: Seconds that the server has, after our last line, to send what it still has for us.
GOODBYE = 5.0

#: Seconds in which a server says that it will not have us: a name in use needs one way there and back.
ENTERING = 0.5

#: Gives the next line to say, without its end, or None when there is no more.
NextLine = Callable[[], Awaitable[bytes | None]]


def is_talk(line: bytes) -> bool:
    """Whether a line is what goes on in the room, and not what the server says to us alone."""
    return line.startswith(b"* ") or b": " in line


class Entering:
    """
    The first moment in the room, in which the server may still refuse us.

    What it says then that is no talk is held back: it is a refusal if the connection ends with it.

    @ivar over: fires when it is over: by its time, by the first talk, or by the end of the connection.
    """

    def __init__(self, reactor: Any, show: Callable[[bytes], None], abort: Callable[[], None]) -> None:
        """
        @param reactor: an `IReactorTime`.
        @param show: shows a line.
        @param abort: ends the connection when a line cannot be shown; `close` tells why.
        """
        self.over: Deferred[None] = Deferred()
        self._show = show
        self._abort = abort
        self._held: bytes | None = None
        self._failure: BrokenPipeError | NotDone | None = None
        self._call = reactor.callLater(ENTERING, self._time_is_over)

    def take(self, line: bytes) -> None:
        """A line has come."""
        held, self._held = self._held, None
        if held is not None:
            self._show(held)
        if is_talk(line):
            self._end()
        if self.over.called:
            self._show(line)
        else:
            self._held = line

    def close(self) -> bytes | None:
        """
        The connection has ended; gives the refusal, if it was one.

        @raise BrokenPipeError: nobody reads what is shown any more.
        @raise NotDone: it cannot be shown.
        """
        refusal, self._held = self._held, None
        self._end()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return refusal

    def _time_is_over(self) -> None:
        try:
            self._end()
        except (BrokenPipeError, NotDone) as error:
            self._failure = error
            self._abort()

    def _end(self) -> None:
        if self._call.active():
            self._call.cancel()
        held, self._held = self._held, None
        try:
            if held is not None:
                self._show(held)
        finally:
            if not self.over.called:
                self.over.callback(None)


async def hear(stream: LineStream, entering: Entering) -> bytes | None:
    """
    Show what others say until the connection has ended.

    @param entering: shows it.
    @return: why the server would not have us, or None.
    @raise NotDone: the connection broke.
    """
    try:
        while (line := await stream.line()) is not None:
            entering.take(line)
    except NotDone:
        # Its own words say more than that it did not close in order.
        if (refusal := entering.close()) is not None:
            return refusal
        raise
    return entering.close()


async def say(stream: LineStream, next_line: NextLine, entering: Entering) -> None:
    """Say each line that is not empty, and then, once the server had its moment, that there is no more."""
    while (line := await next_line()) is not None:
        if line.strip():
            await stream.send(line)
    await entering.over
    stream.finish()


async def converse(
    reactor: Any,
    address: Address,
    stream: LineStream,
    next_line: NextLine,
    stop: Callable[[], None] | None,
    show: Callable[[bytes], None],
) -> None:
    """
    Speak and hear until there is nothing more to say, or the server ends it.

    @param stream: on which the name has been said.
    @param next_line: what to say.
    @param stop: makes `next_line` return None at once; None: it can be cancelled.
    @param show: shows a line of another's.
    @raise NotDone: the server would not have us, or ended it of its own accord.
    """
    entering = Entering(reactor, show, stream.abort)
    speaking = _Speaking(reactor, stream, say(stream, next_line, entering), stop)
    try:
        refusal = await hear(stream, entering)
        ours = speaking.is_over
    finally:
        entering.close()
        await speaking.end()
    if refusal is not None:
        raise NotDone(f"{address}: {refusal.decode(errors='backslashreplace')}")
    if not ours:
        raise NotDone(f"{address}: closed by the server")


class _Speaking:
    """Our half of a conversation, which goes on while the other is heard."""

    def __init__(
        self,
        reactor: Any,
        stream: LineStream,
        saying: Coroutine[Deferred[None], Any, None],
        stop: Callable[[], None] | None,
    ) -> None:
        self.is_over = False
        self._reactor = reactor
        self._stream = stream
        self._problem: Failure | None = None
        self._goodbye: Any = None
        self._over: Deferred[None] = Deferred()
        begun = Deferred.fromCoroutine(saying)
        self._stop = begun.cancel if stop is None else stop
        begun.addCallbacks(self._said, self._failed).addBoth(self._over.callback)

    async def end(self) -> None:
        """Be silent; raises what went wrong."""
        if not self.is_over:
            # From now on it is no failure to be stopped.
            self.is_over = True
            self._stop()
        await self._over
        if self._goodbye is not None and self._goodbye.active():
            self._goodbye.cancel()
        if self._problem is not None:
            self._problem.raiseException()

    def _said(self, _: object) -> None:
        if not self.is_over:
            self.is_over = True
            self._goodbye = self._reactor.callLater(GOODBYE, self._close)

    def _failed(self, failure: Failure) -> None:
        if not self.is_over:
            self.is_over = True
            self._problem = failure
            self._close()

    def _close(self) -> None:
        Deferred.fromCoroutine(self._stream.close())


@click.command("chat")
@click.argument("address", type=AddressType(*SERVICE_SCHEMES))
@click.option("-n", "--name", metavar="NAME", required=True, help="The name that others see.")
@tls_options
def command(address: Address, name: str, tls: TLSOptions) -> None:
    """
    Join the chat room at ADDRESS.

    Each line that you type is said to everyone else. End with Ctrl-D; a pipe ends at its end.
    """
    if not name.strip() or "\n" in name:
        raise click.UsageError("a name is at least one character, and one line")

    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal:
        # Imported here because it takes long, and pipes need none.
        from netsvc.commands.prompting import install_prompting_reactor

        install_prompting_reactor()
    join = _at_prompt if on_terminal else _through_pipes
    said_name = name.encode("utf-8", "surrogateescape")
    run(lambda reactor: join(reactor, address, tls, said_name))


async def _at_prompt(reactor: Any, address: Address, tls: TLSOptions, name: bytes) -> None:
    from netsvc.commands.prompting import Interrupted, Prompt

    async def typed() -> bytes | None:
        line = await prompt.line()
        return None if line is None else line.encode("utf-8", "surrogateescape")

    def show(line: bytes) -> None:
        prompt.write(inert_lines(line + b"\n"))

    with Prompt(reactor, "> ") as prompt:
        try:
            async with _entered(reactor, address, tls, name) as stream:
                await converse(reactor, address, stream, typed, prompt.stop, show)
        except Interrupted:
            raise SystemExit(128 + signal.SIGINT) from None


async def _through_pipes(reactor: Any, address: Address, tls: TLSOptions, name: bytes) -> None:
    output = Output()

    def show(line: bytes) -> None:
        output.write(line + b"\n")

    async with _entered(reactor, address, tls, name) as stream:
        await converse(reactor, address, stream, StandardInput(reactor).line, None, show)


@asynccontextmanager
async def _entered(reactor: Any, address: Address, tls: TLSOptions, name: bytes) -> AsyncIterator[LineStream]:
    """The room, for the time of a with statement; the name has been said."""
    if address.is_websocket:
        stream = await open_messages(reactor, address, tls, LONGEST_LINE)
    else:
        stream = await open_lines(reactor, address, tls, LONGEST_LINE)
    try:
        await stream.send(name)
        yield stream
    finally:
        await stream.close()
