"""
Which daemon a command asks, and what it shows to be let in: ``--at``, ``NETSVC_URL`` and ``NETSVC_TOKEN``.
"""

from __future__ import annotations

import os
import re
from typing import Any

import click

from netsvc.commands.address import Address, parse_address
from netsvc.commands.complaints import NotDone
from netsvc.commands.dialing import Command
from netsvc.commands.weburl import split_web_url

#: Where the web service is unless somebody says otherwise.
DEFAULT_URL = "http://127.0.0.1:8080"

#: What a Bearer header can hold (RFC 6750 section 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


def parse_at(text: str) -> Address:
    """
    Read where the daemon's web service is.

    @return: an address of ``http``, ``https`` or ``unix``; its path is what stands before ``/api``.
    @raise ValueError: it is none; the text says what was expected.
    """
    try:
        if text.lower().startswith("unix:"):
            return parse_address(text, ("unix",))
        scheme, host, port, path = split_web_url(text if "://" in text else f"http://{text}")
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https"):
        raise ValueError("expected http://HOST:PORT, https://HOST:PORT or unix:///PATH")
    if "?" in path:
        raise ValueError("expected a URL without a query; a token is given in NETSVC_TOKEN")
    return Address(scheme, host, port, path.rstrip("/"))


class _AtType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of ``--at``."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """See `click.ParamType`."""
        if isinstance(value, Address):
            return value
        try:
            return parse_at(str(value))
        except ValueError as error:
            # Not the value itself: somebody may have put the token into it.
            self.fail(str(error), param, ctx)


def at_option(command: Command) -> Command:
    """
    Decorate a click command with ``--at``.

    @param command: gets ``address``, of the daemon's web service.
    """
    option = click.option(
        "--at",
        "address",
        type=_AtType(),
        envvar="NETSVC_URL",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"The daemon's web service; NETSVC_URL if not said, else {DEFAULT_URL}.",
    )
    return option(command)


def token() -> str | None:
    """
    What is shown to a daemon that wants a token.

    @return: ``NETSVC_TOKEN``; None where it is not set.
    @raise NotDone: it cannot be a token.
    """
    given = os.environ.get("NETSVC_TOKEN", "").strip()
    if given and not _TOKEN.fullmatch(given):
        raise NotDone("NETSVC_TOKEN: expected letters, digits and -._~+/= only")
    return given or None


def token_for(address: Address) -> str | None:
    """
    The same for an address that is not ``--at``: for the daemon of ``NETSVC_URL`` alone, so that nobody
    else gets it.

    @raise NotDone: see `token`.
    """
    try:
        daemon: Any = parse_at(os.environ.get("NETSVC_URL") or DEFAULT_URL)
    except ValueError:
        return None
    same = (daemon.host, daemon.port, daemon.is_secure) == (address.host, address.port, address.is_secure)
    return token() if same else None
