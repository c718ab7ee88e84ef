"""
An ADDRESS, as the commands take it: ``HOST:PORT`` (TCP) or a URL. Its form is that of a WHERE's URL.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import click

from netsvc.commands.complaints import NotDone
from netsvc.commands.weburl import DEFAULT_PORTS, split_web_url
from netsvc.net.where import HostWhere, URLWhere, host_in_url, parse_where

STREAM_SCHEMES = ("tcp", "tls", "unix")
DATAGRAM_SCHEMES = ("udp", "unix-datagram")
WEBSOCKET_SCHEMES = ("ws", "wss")

#: Whatever carries a stream service.
SERVICE_SCHEMES = STREAM_SCHEMES + WEBSOCKET_SCHEMES

#: The schemes of what is spoken over TLS.
_SECURE = frozenset({"tls", "wss", "https"})

#: Bytes that a socket's path may have: what sockaddr_un has room for (unix(7)).
LONGEST_PATH = 107

_AFTER_SCHEME = {"unix": "/PATH", "unix-datagram": "/PATH", "ws": "HOST:PORT/PATH", "wss": "HOST:PORT/PATH"}

#: Characters of a wrong address that a message repeats.
_SHOWN = 200


@dataclass(frozen=True)
class Address:
    """
    Where to send, or to listen.

    @ivar scheme: ``tcp``, ``tls``, ``udp``, ``unix``, ``unix-datagram``, ``ws``, ``wss``, ``http`` or
        ``https``.
    @ivar host: a name or an IP address; ``""`` of a UNIX socket.
    @ivar port: None of a UNIX socket.
    @ivar path: of a UNIX socket; of a URL of the web its path and query; else ``""``.
    """

    scheme: str
    host: str
    port: int | None
    path: str = ""

    @property
    def is_datagram(self) -> bool:
        """Whether it is for datagrams."""
        return self.scheme in DATAGRAM_SCHEMES

    @property
    def is_websocket(self) -> bool:
        """Whether it is for WebSocket."""
        return self.scheme in WEBSOCKET_SCHEMES

    @property
    def has_messages(self) -> bool:
        """Whether what is sent arrives in the pieces in which it was sent, and needs no end of its own."""
        return self.is_datagram or self.is_websocket

    @property
    def is_secure(self) -> bool:
        """Whether it is over TLS."""
        return self.scheme in _SECURE

    @property
    def authority(self) -> str:
        """Host and port for HTTP's Host (RFC 9110 section 7.2), without a scope or the default port."""
        if self.port is None:
            return "localhost"
        host = host_in_url(self.host.partition("%")[0])
        return host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.port is None:
            return f"{self.scheme}://{self.path}"
        # Not the query: there may be a secret in it.
        return f"{self.scheme}://{host_in_url(self.host)}:{self.port}{self.path.partition('?')[0]}"


def path_of(address: Address) -> str:
    """
    The path of a UNIX socket's address.

    @raise NotDone: no socket can have it: Python, and Twisted in the reactor, would raise something else.
    """
    if len(os.fsencode(address.path)) > LONGEST_PATH:
        raise NotDone(f"{address}: a path of a socket has at most {LONGEST_PATH} bytes")
    return address.path


def parse_address(
    text: str, schemes: tuple[str, ...] = STREAM_SCHEMES + DATAGRAM_SCHEMES, lowest_port: int = 1
) -> Address:
    """
    Read an address.

    @param schemes: the kinds that can be used here.
    @param lowest_port: 0 where the system may choose.
    @raise ValueError: it is none; the text says in one line what was expected.
    """
    refusal = ValueError(f"{_shown(text)} is no address here; expected {_forms(schemes, lowest_port)}")
    try:
        if text.partition("://")[0].lower() in WEBSOCKET_SCHEMES and "ws" in schemes:
            return Address(*split_web_url(text))
        where = parse_where(text, frozenset())
    except ValueError:
        # What it says is of where a service may listen, which is more.
        raise refusal from None
    if isinstance(where, HostWhere):
        found = Address("tcp", where.host, where.port)
    elif isinstance(where, URLWhere) and not where.query:
        found = Address(where.scheme, where.host, where.port, where.path)
    else:
        raise refusal
    if found.scheme not in schemes:
        raise refusal
    if found.port is not None and (not found.host or found.port < lowest_port):
        raise refusal
    return found


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of a command's ADDRESS argument; what does not fit is wrong usage."""

    name = "address"

    def __init__(self, *schemes: str, lowest_port: int = 1) -> None:
        """
        @param schemes: the kinds that can be used; all of them if none is named.
        @param lowest_port: see `parse_address`.
        """
        self._schemes = schemes or STREAM_SCHEMES + DATAGRAM_SCHEMES
        self._lowest_port = lowest_port

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """See `click.ParamType`."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(str(value), self._schemes, self._lowest_port)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _forms(schemes: tuple[str, ...], lowest_port: int) -> str:
    urls = [f"{scheme}://{_AFTER_SCHEME.get(scheme, 'HOST:PORT')}" for scheme in schemes]
    forms = ["HOST:PORT", *urls] if "tcp" in schemes else urls
    return f"{', '.join(forms)}; HOST may be [IPv6], and PORT is {lowest_port} to 65535"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
