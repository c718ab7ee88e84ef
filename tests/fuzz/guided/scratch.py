"""Files that targets need, in a directory of the process's own."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from functools import cache
from pathlib import Path

from netsvc.net.tls import server_context
from netsvc.settings import TLS
from tests.certificates import make_authority


@cache
def directory() -> Path:
    """It is there as long as the process is."""
    made = tempfile.mkdtemp(prefix="netsvc-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


@cache
def serving() -> ssl.SSLContext:
    """A server's side of TLS."""
    made = make_authority(directory())
    return server_context(TLS(str(made.server_certificate), str(made.server_key)))
