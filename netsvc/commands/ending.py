"""
How a command ends when its work does not: by a signal, or because nobody reads its output.

Twisted stops its reactor at a signal and leaves a waiting coroutine where it is. Here it is cancelled, so
that what it has opened is closed, and the exit status is the one that a shell gives to a signal.
"""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from netsvc.commands.standard_output import close_output

#: What a command does: it takes the reactor.
Work = Callable[[Any], Coroutine[Deferred[Any], Any, None]]

# Standard input, where a prompt changes what the keys do.
_TERMINAL = 0

#: A shell's exit status for a signal is so much more than its number.
_SIGNALLED = 128


def interruptible(work: Work) -> Work:
    """
    Make work that is cancelled at a signal, and ends without a word when standard output is closed.

    The reactor waits until what is cancelled has tidied up. A second Ctrl-C, and SIGQUIT (Ctrl-\\), do not,
    but leave the terminal as it is now.

    @param work: takes the reactor.
    @return: the same; it raises SystemExit with 128 more than the signal's number (130 at Ctrl-C), and 1 when
        nobody reads any more.
    """

    async def guarded(reactor: Any) -> None:
        # Before the reactor runs, Ctrl-C is an exception in whatever happens to be going on.
        await deferLater(reactor, 0)
        end_at_once = _ending_at_once()
        signal.signal(signal.SIGQUIT, end_at_once)
        working: Deferred[None] = Deferred.fromCoroutine(work(reactor))
        over: Deferred[None] = Deferred()
        interrupted = False

        def interrupt() -> Deferred[None] | None:
            nonlocal interrupted
            if working.called:
                return None
            interrupted = True
            signal.signal(signal.SIGINT, end_at_once)
            working.cancel()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", interrupt)
        try:
            await working
        except BrokenPipeError:
            close_output()
            raise SystemExit(1) from None
        except Exception:
            if not interrupted:
                raise
            number = getattr(reactor, "_exitSignal", None) or signal.SIGINT
            raise SystemExit(_SIGNALLED + number) from None
        finally:
            over.callback(None)

    return guarded


def _ending_at_once() -> Callable[[int, FrameType | None], None]:
    """Make what takes a signal, and ends as that signal does, with the terminal's modes as they are now."""
    modes = termios.tcgetattr(_TERMINAL) if os.isatty(_TERMINAL) else None

    def end(number: int, frame: FrameType | None) -> None:
        if modes is not None:
            # It can have hung up.
            with suppress(termios.error):
                termios.tcsetattr(_TERMINAL, termios.TCSANOW, modes)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    return end
