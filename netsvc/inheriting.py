"""
Which of a service's WHEREs are for sockets that systemd passed, for a daemon that has no other.

One configuration file serves a daemon with ports of its own and one with ``--inherited``. To the second, what
names a port is not addressed, and what says ``systemd://`` is. The one thing that must not come of that is a
socket that answers in plaintext where the file knows the service over TLS alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from netsvc.net.where import parse_url
from netsvc.settings import TLS, settings_of

#: How a WHERE begins that is for TLS, and one that nobody reaches by TCP.
_OVER_TLS = ("tls:", "wss:", "ssl:", "haproxy:ssl:", "haproxy:tls:")
_NOT_TCP = ("udp:", "unix:", "unix-datagram:")

_TLS_KEYS = frozenset(one.name for one in settings_of(TLS))


def inherited_name(where: str) -> str | None:
    """
    The name of the sockets that a WHERE takes over; None where it opens its own.

    @raise ValueError: it is a URL that cannot be used; the text, one line, says why.
    """
    url = parse_url(where)
    return url.host if url is not None and url.scheme == "systemd" else None


def tls_alone(wheres: Iterable[str]) -> bool:
    """Whether some of these WHEREs are reached by TCP, and all those with TLS."""
    by_tcp = [one for one in wheres if not one.lower().startswith(_NOT_TCP)]
    return bool(by_tcp) and all(map(_is_over_tls, by_tcp))


def _is_over_tls(where: str) -> bool:
    url = parse_url(where)
    if url is not None and url.scheme == "systemd":
        # It has no scheme of its own for TLS: anything of TLS in the query asks for it.
        return any(key in _TLS_KEYS for key, _ in url.query)
    return where.lower().startswith(_OVER_TLS)
