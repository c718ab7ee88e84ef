"""
What a user wrote where a service shall listen, taken apart.

Only the text is looked at here, so that every form can be tried without a socket or a name server. The forms
are tried in this order, which is part of netsvc's contract: a port, a URL, a Twisted endpoint description,
HOST:PORT. What a form means for a certain service is `netsvc.net.binding`'s.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Set
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

#: The schemes of a URL that says where to listen.
SCHEMES = ("tcp", "udp", "tls", "unix", "unix-datagram", "systemd", "ws", "wss")

_FORMS = "a port (8009), a URL (tcp://127.0.0.1:8009), HOST:PORT or a Twisted endpoint description"

_PORT = re.compile(r":?([0-9]+)")
# urllib.parse.urlsplit is not used: it drops newlines and tabs without a word and makes hosts lower case.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?")
_NAME = re.compile(r"[\w.-]{1,253}")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_SCOPE = re.compile(r"[A-Za-z0-9._~-]+")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class PortWhere:
    """
    A port on the default interfaces.

    @ivar port: 0 to 65535; 0 lets the system choose.
    """

    port: int

    def __str__(self) -> str:
        return str(self.port)


@dataclass(frozen=True)
class URLWhere:
    """
    A URL.

    @ivar scheme: one of `SCHEMES`.
    @ivar host: an IP address (IPv6 without brackets), a name, or ``""``; of ``systemd`` the sockets' name.
    @ivar port: 0 to 65535; None where the scheme has none.
    @ivar path: of ``unix`` and ``unix-datagram`` the absolute path of the socket, of ``ws`` and ``wss`` the
        resource; ``""`` elsewhere. Percent-decoded.
    @ivar query: the keys, with ``_`` for ``-``, and values, percent-decoded, in the order given.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.scheme == "systemd":
            authority = quote(self.host, safe="@")
        else:
            authority = host_in_url(self.host) + ("" if self.port is None else f":{self.port}")
        pairs = "&".join(f"{key}={quote(value, safe='/:,+*@')}" for key, value in self.query)
        return f"{self.scheme}://{authority}{quote(self.path, safe='/@')}" + (f"?{pairs}" if pairs else "")


@dataclass(frozen=True)
class EndpointWhere:
    """
    A Twisted endpoint description.

    @ivar description: the whole of it.
    @ivar prefix: what stands before its first colon.
    """

    description: str
    prefix: str

    def __str__(self) -> str:
        return self.description


@dataclass(frozen=True)
class HostWhere:
    """
    A port on every address that a host has.

    @ivar host: an IP address (IPv6 without brackets) or a name.
    @ivar port: 0 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Where = PortWhere | URLWhere | EndpointWhere | HostWhere


def endpoint_prefixes() -> frozenset[str]:
    """The prefixes of the endpoint descriptions that Twisted and the plugins installed here know."""
    # These three are in Twisted's code itself; all others, third parties' too, are plugins.
    plugins = getPlugins(IStreamServerEndpointStringParser)
    return frozenset({"tcp", "ssl", "unix"}) | {plugin.prefix for plugin in plugins}


def host_in_url(host: str) -> str:
    """
    A host as it stands in a URL: IPv6 addresses in brackets, their scope behind ``%25`` (RFC 6874 section 2).

    @param host: a name, an address, or ``""``.
    """
    return "[" + host.replace("%", "%25") + "]" if ":" in host else host


def parse_where(text: str, endpoint_prefixes: Set[str]) -> Where:
    """
    Read what a user wrote where a service shall listen.

    @param text: in any of the forms; nothing around it is stripped.
    @param endpoint_prefixes: what begins an endpoint description, see `endpoint_prefixes`.
    @raise ValueError: it has none of the forms; the text, one line, says what is wrong and what was expected.
    """
    try:
        return _parse(text, endpoint_prefixes)
    except ValueError as error:
        shown = text if len(text) <= 200 else text[:200] + "…"
        raise ValueError(f"{shown!r}: {error}") from None


def parse_url(text: str) -> URLWhere | None:
    """
    Read a WHERE that is a URL, without asking which endpoint descriptions there are.

    @return: None for each of the other forms.
    @raise ValueError: it is a URL that cannot be used; the text is that of `parse_where`.
    """
    where = parse_where(text, frozenset()) if _URL.match(text) else None
    return where if isinstance(where, URLWhere) else None


def _parse(text: str, endpoint_prefixes: Set[str]) -> Where:
    if not text:
        raise ValueError(f"expected {_FORMS}")
    if not text.isprintable():
        raise ValueError("it holds a character that cannot be printed; in a URL write it as %XX")
    if match := _PORT.fullmatch(text):
        return PortWhere(_port(match[1]))
    if match := _URL.fullmatch(text):
        return _parse_url(*match.groups())
    prefix, colon, rest = text.partition(":")
    if colon and prefix in endpoint_prefixes:
        if not rest:
            raise ValueError(f"nothing follows {prefix}:")
        return EndpointWhere(text, prefix)
    if not colon:
        raise ValueError(f"expected {_FORMS}")
    host, port = _split(text)
    if port is None or not host:
        raise ValueError(f"expected {_FORMS}")
    return HostWhere(_host(host, "%"), _port(port))


def _parse_url(scheme: str, authority: str, path: str, query: str | None, fragment: str | None) -> URLWhere:
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme}; expected one of {', '.join(SCHEMES)}")
    if fragment is not None:
        raise ValueError("a URL to listen on has no #fragment; write # as %23")
    pairs = _query(query or "")
    if scheme in ("unix", "unix-datagram"):
        return URLWhere(scheme, "", None, _socket_path(scheme, authority, path), pairs)
    if scheme == "systemd":
        return URLWhere(scheme, _socket_name(authority, path), None, "", pairs)
    if "@" in authority:
        raise ValueError("a URL to listen on has no user@")
    host, port = _split(authority)
    if port is None:
        raise ValueError(f"the port is missing; expected {scheme}://HOST:PORT, or {scheme}://:PORT")
    if scheme not in ("ws", "wss"):
        if path not in ("", "/"):
            raise ValueError(f"{scheme}:// has no path; expected {scheme}://HOST:PORT")
        path = ""
    return URLWhere(scheme, host and _host(host, "%25"), _port(port), _decode(path), pairs)


def _port(text: str) -> int:
    # The length is looked at first because int() has its own opinion of numbers with thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"{_short(text)} is no port; expected 0 to 65535")
    return int(text)


def _split(text: str) -> tuple[str, str | None]:
    """Divide HOST:PORT; IPv6 addresses keep their brackets. Without a colon the port is None."""
    if text.startswith("["):
        inside, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("expected an IPv6 address in brackets and a port, such as [::1]:8009")
        return inside + "]", rest[1:] if rest else None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    if ":" in host:
        raise ValueError("an IPv6 address needs brackets, such as [::1]:8009")
    return host, port


def _host(text: str, scope_mark: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1], scope_mark)
    return host_name(text)


def host_name(text: str) -> str:
    """
    Read a name or an IPv4 address.

    @return: it, as it stands.
    @raise ValueError: it is neither.
    """
    if not _NAME.fullmatch(text):
        raise ValueError(f"{_short(text)} is no host; expected a name or an IP address")
    # The system would read 0 as 0.0.0.0 and 127.1 as 127.0.0.1: nobody shall be on the network by a slip.
    if _NUMERIC.fullmatch(text.rstrip(".").rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(f"{_short(text)} is no IPv4 address; expected four numbers up to 255") from None
    return text


def _ipv6(text: str, scope_mark: str) -> str:
    address, percent, scope = text.partition("%")
    if percent:
        # In a URL the percent sign is written %25, but what people paste has it as it is.
        if scope_mark == "%25":
            scope = scope.removeprefix("25")
        if not _SCOPE.fullmatch(scope):
            raise ValueError(f"[{_short(text)}] has no interface behind its %")
    try:
        return str(ipaddress.IPv6Address(address)) + (f"%{scope}" if percent else "")
    except ValueError:
        raise ValueError(f"[{_short(text)}] is no IPv6 address") from None


def _socket_path(scheme: str, authority: str, path: str) -> str:
    if authority.startswith("@"):
        raise ValueError(
            "abstract sockets have no permissions and are not opened here; let systemd open it (systemd://)"
        )
    if authority or not path:
        raise ValueError(f"expected an absolute path behind three slashes, such as {scheme}:///run/a.sock")
    path = _decode(path)
    if path.endswith("/"):
        raise ValueError("the path names a directory; expected the path of a socket")
    if not path.isprintable():
        raise ValueError("the path holds a character that cannot be printed")
    return path


def _socket_name(authority: str, path: str) -> str:
    name = _decode(authority)
    if not name or path or ":" in name or not (name.isascii() and name.isprintable()):
        raise ValueError("expected systemd://NAME with the name of an inherited socket")
    return name


def _query(text: str) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    for part in text.split("&") if text else ():
        key, equals, value = part.partition("=")
        key = key.replace("-", "_")
        if not equals or not (key.isascii() and _KEY.fullmatch(key)):
            raise ValueError(f"{_short(part)} in the query; expected key=value, separated by &")
        if key in pairs:
            raise ValueError(f"{key} is given twice")
        pairs[key] = _decode(value)
    return tuple(pairs.items())


def _decode(text: str) -> str:
    """Percent-decoding (RFC 3986 section 2.1); ``+`` stays a plus, which OpenSSL's cipher names have."""
    if _BAD_PERCENT.search(text):
        raise ValueError(f"{_short(text)}: a % must be followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{_short(text)} is not UTF-8") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")
