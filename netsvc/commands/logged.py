"""
What Twisted's log has to say while a command runs that serves nothing: warnings, as lines of its own.

Plugins that cannot be imported are told of by name, so the traceback that Twisted logs for each is left out.
"""

from __future__ import annotations

from zope.interface import provider

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner

from netsvc.commands.complaints import complain
from netsvc.registry import Registry


def warnings_to_stderr() -> None:
    """Write warnings of the log to standard error, one line each; to be called once, first."""
    globalLogBeginner.beginLoggingTo([_complain], redirectStandardIO=False, discardBuffer=True)


def complain_of_left_out(registry: Registry) -> None:
    """Tell which plugins are left out, and why."""
    for name, why in registry.left_out.items():
        complain(f"plugin {name} is left out: {why}")


@provider(ILogObserver)
def _complain(event: LogEvent) -> None:
    # A failure of twisted.python.log, which Twisted's plugins use, says so in a key of its own.
    if event.get("log_failure") is not None or event.get("isError"):
        return
    if event.get("log_level", LogLevel.info) >= LogLevel.warn:
        complain(" ".join(formatEvent(event).split()))
