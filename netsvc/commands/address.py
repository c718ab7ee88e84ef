"""
An ADDRESS, as the commands take it: ``HOST:PORT`` (TCP) or a URL. Its form is that of a WHERE's URL.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from netsvc.net.where import HostWhere, URLWhere, host_in_url, parse_where

STREAM_SCHEMES = ("tcp", "tls", "unix")
DATAGRAM_SCHEMES = ("udp", "unix-datagram")


@dataclass(frozen=True)
class Address:
    """
    Where to send, or to listen.

    @ivar scheme: ``tcp``, ``tls``, ``udp``, ``unix`` or ``unix-datagram``.
    @ivar host: a name or an IP address; ``""`` with a path.
    @ivar port: None with a path.
    @ivar path: of a UNIX socket, else ``""``.
    """

    scheme: str
    host: str
    port: int | None
    path: str = ""

    @property
    def is_datagram(self) -> bool:
        """Whether it is for datagrams."""
        return self.scheme in DATAGRAM_SCHEMES

    def __str__(self) -> str:
        if self.port is None:
            return f"{self.scheme}://{self.path}"
        return f"{self.scheme}://{host_in_url(self.host)}:{self.port}"


def parse_address(text: str, schemes: tuple[str, ...] = STREAM_SCHEMES + DATAGRAM_SCHEMES) -> Address:
    """
    Read an address.

    @param schemes: the kinds that can be used here.
    @raise ValueError: it is none; the text says in one line what was expected.
    """
    where = parse_where(text, frozenset())
    if isinstance(where, HostWhere):
        found = Address("tcp", where.host, where.port)
    elif isinstance(where, URLWhere) and where.scheme != "systemd" and not where.query:
        found = Address(where.scheme, where.host, where.port, where.path)
    else:
        raise ValueError(f"{text!r} is no address; expected HOST:PORT or {_urls(schemes)}")
    if found.scheme not in schemes:
        raise ValueError(f"{text!r}: {found.scheme}:// cannot be used here; expected {_urls(schemes)}")
    if found.port is not None and not found.host:
        raise ValueError(f"{text!r} has no host; expected {found.scheme}://HOST:PORT")
    return found


class AddressType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of a command's ADDRESS argument; what does not fit is wrong usage."""

    name = "address"

    def __init__(self, *schemes: str) -> None:
        """@param schemes: the kinds that can be used; all of them if none is named."""
        self._schemes = schemes or STREAM_SCHEMES + DATAGRAM_SCHEMES

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """See `click.ParamType`."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(str(value), self._schemes)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _urls(schemes: tuple[str, ...]) -> str:
    return ", ".join(
        f"{scheme}:///PATH" if scheme.startswith("unix") else f"{scheme}://HOST:PORT" for scheme in schemes
    )
