"""
The daemon, for as long as standard input is open.

Whoever started it ends it by closing that, and has closed it however it ended itself: so no daemon stays
behind a test run that was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def main(arguments: list[str]) -> None:
    """
    Run the daemon in the foreground, as ``netsvc serve`` does.

    @param arguments: the options of twistd's netsvc plugin.
    """
    threading.Thread(target=_end_with_input, daemon=True).start()
    sys.argv = ["twistd", "-n", "--pidfile=", "netsvc", *arguments]
    # Imported here, for twistd chooses the reactor.
    from twisted.scripts.twistd import run

    run()


def _end_with_input() -> None:
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
