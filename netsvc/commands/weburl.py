"""
URLs of the web, ``http https ws wss``, taken apart as the commands take them: what is not plainly one is
refused.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

#: The ports that need not be said.
DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_URL = re.compile(
    r"([A-Za-z]+)://"
    r"(?:\[([0-9A-Fa-f:.]+)(%[A-Za-z0-9._~-]+)?\]|([A-Za-z0-9._-]{1,253}))"
    r"(?::([0-9]{1,5}))?"
    r"(/[!-\"$->@-~]*)?(\?[!-\"$-~]*)?"
)


def split_web_url(text: str) -> tuple[str, str, int, str]:
    """
    Take a URL apart (RFC 3986 section 3); names that are not ASCII are written as IDNA has them.

    @return: scheme, host (IPv6 without brackets), port, and path with query, ``""`` where there is neither.
    @raise ValueError: it is none of the web's, or has a user or a fragment.
    """
    found = _URL.fullmatch(text)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in DEFAULT_PORTS:
        raise ValueError(f"{text!r} is no URL of the web")
    _, literal, scope, name, digits, path, query = found.groups()
    host = name if literal is None else str(IPv6Address(literal)) + (scope or "")
    port = DEFAULT_PORTS[scheme] if digits is None else int(digits)
    if not 1 <= port <= 65_535:
        raise ValueError(f"{text!r}: {port} is no port")
    return scheme, host, port, (path or ("/" if query else "")) + (query or "")
