"""netsvc: small network services for people who need a socket to talk to."""

from __future__ import annotations

__version__ = "0.1.0"
