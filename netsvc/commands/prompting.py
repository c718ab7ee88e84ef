"""
A prompt on a terminal, with history and line editing, while a peer can say something at any time.

prompt_toolkit runs in asyncio's loop, and so the reactor must be the one that runs there too. What a peer
says appears above the prompt, and the line that is being typed stays whole.

Nothing that is typed between two prompts gets lost. While a terminal edits lines itself, it swallows the end
of input (Ctrl-D) that nobody reads at that time (termios(3), canonical mode); so it does that at no time from
the first prompt to the last, and the next prompt finds every key.
"""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from types import TracebackType
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from netsvc.commands.standard_output import written


class Interrupted(Exception):  # noqa: N818 - the user did it
    """Ctrl-C was pressed at the prompt."""


def install_prompting_reactor() -> None:
    """Make the process's reactor one in which a `Prompt` works; to be called before there is another."""
    from twisted.internet import asyncioreactor

    asyncioreactor.install(asyncio.new_event_loop())


class Prompt:
    """Asks for lines on the terminal that is standard input and output; for the time of a with statement."""

    def __init__(self, reactor: Any, text: str) -> None:
        """
        @param reactor: see `install_prompting_reactor`.
        @param text: stands before what the user types.
        """
        # Else it asks the terminal where its cursor is, and waits for those that do not know.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        self._reactor = reactor
        # With a style, a blank at its end is written too: a program that waits for the prompt finds it whole.
        self._text = FormattedText([("fg:ansidefault", text)])
        # KeyboardInterrupt would end the loop, and with it the reactor.
        self._session: PromptSession[str] = PromptSession(interrupt_exception=Interrupted)
        self._asking: asyncio.Task[str] | None = None
        self._stopped = False
        self._terminal = sys.stdin.fileno()
        # As the terminal was, while it is not.
        self._before: list[Any] | None = None
        # A reactor that stops must wait until the terminal is as it was.
        reactor.addSystemEventTrigger("before", "shutdown", self._leave)

    def __enter__(self) -> Prompt:
        self._before = termios.tcgetattr(self._terminal)
        changed = list(self._before)
        changed[0] &= ~termios.ICRNL
        # Ctrl-C stays a signal where no prompt reads it.
        changed[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self._terminal, termios.TCSANOW, changed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    async def line(self) -> str | None:
        """
        Ask for a line.

        @return: without its end; None at the end of input (Ctrl-D), and after `stop`.
        @raise Interrupted: Ctrl-C was pressed.
        """
        # The loop runs for certain only when the reactor has called us.
        await deferLater(self._reactor, 0)
        if self._stopped:
            return None
        self._asking = asyncio.ensure_future(self._session.prompt_async(self._text, handle_sigint=False))
        try:
            return await Deferred.fromFuture(self._asking)
        except EOFError:
            return None
        except asyncio.CancelledError:
            # Where it was not our own `stop`, whoever waits for the line is cancelled.
            if not self._is_stopped():
                raise CancelledError from None
            return None
        finally:
            self._asking = None

    def stop(self) -> None:
        """Ask no more: a prompt that is there goes away."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()

    def write(self, text: str) -> None:
        """
        Write something above the prompt.

        @param text: whole lines.
        @raise BrokenPipeError: see `written`.
        @raise NotDone: see `written`.
        """
        application = self._session.app
        # prompt_toolkit's own run_in_terminal lets the terminal edit lines meanwhile.
        if application.is_running:
            application.renderer.erase()
        with written():
            sys.stdout.write(text)
        if application.is_running:
            application.invalidate()

    def _leave(self) -> Deferred[None] | None:
        if self._asking is None:
            self._restore()
            return None
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: self._restore())
        self._asking.add_done_callback(lambda _: gone.callback(None))
        self._asking.cancel()
        return gone

    def _restore(self) -> None:
        before, self._before = self._before, None
        if before is not None:
            try:
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, before)
            except termios.error:
                # It has hung up: nothing can be as it was.
                return

    def _is_stopped(self) -> bool:
        return self._stopped
