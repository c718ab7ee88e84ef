"""
How a command runs: in Twisted's reactor until it is done, and what it says when it could not be.

A command's work is a coroutine. Whatever the network or the user does to it ends as `NotDone`: one line on
standard error and exit status 1, without a traceback.
"""

from __future__ import annotations

import signal
import traceback
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from netsvc.commands.complaints import NotDone, complain
from netsvc.commands.ending import Work, interruptible
from netsvc.commands.naming import Names


def run(work: Work) -> None:
    """
    Run a command's work in the reactor, and end the process with its exit status.

    @param work: takes the reactor; it is cancelled at a signal.
    @raise SystemExit: always: 0; 1 where the work raised `NotDone`, or nobody reads its output any more; 130
        after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    guarded = interruptible(work)

    async def reported(reactor: Any) -> None:
        reactor.installNameResolver(Names(reactor))
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            # The terminal's window was closed. Twisted knows no SIGHUP, and nohup has it ignored.
            signal.signal(signal.SIGHUP, reactor.sigTerm)
        try:
            await guarded(reactor)
        except NotDone as error:
            complain(str(error))
            raise SystemExit(1) from None
        except Exception:  # noqa: BLE001 - a defect is shown whatever a command makes of Twisted's log
            traceback.print_exc()
            raise SystemExit(1) from None

    react(lambda reactor: Deferred.fromCoroutine(reported(reactor)))
