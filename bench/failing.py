"""A service whose datagram socket the system fails: every other read of it raises ENOBUFS."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from itertools import cycle
from typing import Any

from netsvc.services.echo import EchoDatagram


class FailingEcho(EchoDatagram):
    """echo, on a port whose reads fail."""

    def startProtocol(self) -> None:
        port: Any = self.transport
        # No public way leads there, for no service has business there; the port itself is as it always is.
        port._receive = _every_other_fails(port._receive)


def _every_other_fails(receive: Callable[[], Any]) -> Callable[[], Any]:
    fails = cycle((False, True))

    def read() -> Any:
        if next(fails):
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return receive()

    return read
