"""A daemon that is killed under load, again and again, on the same journal."""

from __future__ import annotations

import time
from pathlib import Path

from tests.live.acknowledged import Load
from tests.live.daemon import Daemon, eventually

#: The listeners.
RECEIVERS = ("--udp=udp://127.0.0.1:0?ack=recorded", "--receiver=tcp://127.0.0.1:0?ack=recorded")

#: Seconds of load before the end, between which it comes.
_SHORTEST, _LONGEST = 0.05, 0.8


def crash_once(directory: Path, load: Load) -> None:
    """
    Start a daemon, load it, and kill it at a random moment.

    @param directory: where ``journal.db`` is.
    @param load: remembers what was acknowledged; its random numbers say when.
    """
    # Without a limit of its size, which a fast machine reaches: then the oldest messages leave, as they may.
    settings = ("--set=journal.size=0", "--set=receiver.log_rate=0")
    daemon = Daemon(directory, f"--journal={directory / 'journal.db'}", *settings, *RECEIVERS)
    try:
        with load.on(daemon.port("receiver", "udp"), daemon.port("receiver")):
            before = load.acknowledged
            time.sleep(load.random.uniform(_SHORTEST, _LONGEST))
            eventually(lambda: load.acknowledged != before)
            daemon.process.kill()
    finally:
        daemon.stop()
