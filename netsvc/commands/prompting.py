"""
A prompt on a terminal, with history and line editing, while a peer can say something at any time.

prompt_toolkit runs in asyncio's loop, and so the reactor must be the one that runs there too. What a peer
says appears above the prompt, and the line that is being typed stays whole.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater


class Interrupted(Exception):  # noqa: N818 - the user did it
    """Ctrl-C was pressed at the prompt."""


def install_prompting_reactor() -> None:
    """Make the process's reactor one in which a `Prompt` works; to be called before there is another."""
    from twisted.internet import asyncioreactor

    asyncioreactor.install(asyncio.new_event_loop())


class Prompt:
    """Asks for lines on the terminal that is standard input and output."""

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
        self._above: list[str] = []
        self._stopped = False
        # A reactor that stops must wait until the terminal is as it was.
        reactor.addSystemEventTrigger("before", "shutdown", self._leave)

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
            if not self._stopping():
                raise CancelledError from None
            return None
        finally:
            self._asking = None
            self._flush()

    def stop(self) -> None:
        """Ask no more: a prompt that is there goes away."""
        self._stopped = True
        if self._asking is not None:
            self._asking.cancel()

    def write(self, text: str) -> None:
        """
        Write something above the prompt.

        @param text: whole lines.
        """
        scheduled = bool(self._above)
        self._above.append(text)
        if self._asking is None:
            self._flush()
        elif not scheduled:
            run_in_terminal(self._flush)

    def _flush(self) -> None:
        text, self._above = "".join(self._above), []
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()

    def _leave(self) -> Deferred[None] | None:
        if self._asking is None:
            return None
        gone: Deferred[None] = Deferred()
        self._asking.add_done_callback(lambda _: gone.callback(None))
        self._asking.cancel()
        return gone

    def _stopping(self) -> bool:
        return self._stopped
