"""
How a command ends when its work does not: by Ctrl-C, by SIGTERM, or because nobody reads its output.

Twisted stops its reactor at a signal and leaves a waiting coroutine where it is. Here it is cancelled, so
that what it has opened is closed, and the exit status is the one that a shell gives to a signal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from netsvc.commands.standard_output import close_output

#: What a command does: it takes the reactor.
Work = Callable[[Any], Coroutine[Deferred[Any], Any, None]]

#: A shell's exit status for a signal is so much more than its number.
_SIGNALLED = 128


def interruptible(work: Work) -> Work:
    """
    Make work that is cancelled at a signal, and ends without a word when standard output is closed.

    The reactor waits until what is cancelled has tidied up; a second Ctrl-C does not.

    @param work: takes the reactor.
    @return: the same; it raises SystemExit with 130 at Ctrl-C, 143 at SIGTERM, and 1 when nobody reads any
        more.
    """

    async def guarded(reactor: Any) -> None:
        # Before the reactor runs, Ctrl-C is an exception in whatever happens to be going on.
        await deferLater(reactor, 0)
        working: Deferred[None] = Deferred.fromCoroutine(work(reactor))
        over: Deferred[None] = Deferred()
        interrupted = False

        def interrupt() -> Deferred[None] | None:
            nonlocal interrupted
            if working.called:
                return None
            interrupted = True
            signal.signal(signal.SIGINT, signal.SIG_DFL)
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
