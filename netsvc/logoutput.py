"""
Where the log goes and in which form, in the place of twistd's own choice.

twistd would write text alone, with a time that journald has already, with whatever control characters are
in it, and to a file whose old parts it never removes. It takes another observer from the application
(`twisted.application.app.AppLogger`), and where its options name one, or syslog, it is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

from twisted.logger import FileLogObserver, LogEvent, Logger
from twisted.python.logfile import LogFile

from netsvc.loglines import journal_line, json_line, text_line
from netsvc.settings import Log, SettingError

_log = Logger()

_LINES: Mapping[str, Callable[[LogEvent], str]] = {
    "text": text_line,
    "journal": journal_line,
    "json": json_line,
}


def log_observer(log: Log, options: Mapping[str, Any] | None, reactor: Any) -> FileLogObserver | None:
    """
    Make what writes the log of this process.

    @param log: the settings.
    @param options: twistd's own; those of ``twist``, or None, are somebody else's log.
    @param reactor: an `IReactorFromThreads`, which SIGUSR1 has the log file begun anew in, as twistd does.
    @return: None where it is not for netsvc to say.
    @raise SettingError: the log file cannot be written.
    """
    if options is None or "nodaemon" not in options or options.get("logger") or options.get("syslog"):
        if log.format != "auto":
            _log.warn("log.format is not used: it is for the log of twistd without --logger and --syslog")
        return None
    name = options.get("logfile") or ("-" if options["nodaemon"] else "twistd.log")
    if name != "-":
        return FileLogObserver(
            _file(name, log, reactor), _LINES["text" if log.format == "auto" else log.format]
        )
    if not options["nodaemon"]:
        # It has nowhere to go to, and twistd says so.
        return None
    stream = sys.stdout
    if hasattr(stream, "reconfigure"):
        # No terminal has every letter, and no line is lost for that.
        stream.reconfigure(errors="backslashreplace")
    form = log.format
    if form == "auto":
        form = "journal" if is_journal(stream, os.environ) else "text"
    return FileLogObserver(stream, _LINES[form])


def is_journal(stream: IO[str], environ: Mapping[str, str]) -> bool:
    """
    Whether journald reads what is written to a stream.

    @param environ: with JOURNAL_STREAM, the device and inode of journald's socket (systemd.exec(5)); it alone
        would not do, because a child whose output goes elsewhere inherits it too.
    """
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _file(name: str, log: Log, reactor: Any) -> Any:
    try:
        file = LogFile.fromFullPath(name, rotateLength=log.file_size, maxRotatedFiles=log.files)
    except OSError as error:
        shown = name if name.isprintable() else repr(name)
        raise SettingError(f"--logfile {shown}: cannot be written: {error.strerror}") from None
    # As twistd does, unless somebody has taken the signal.
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(file.rotate))
    return file
