"""
The query of a URL: what one listener has of its own.

A key is, in this order, one of the transport's options, a setting of the service, or one of ``[limits]``. All
of them are `Setting`s, so that a value is read here as the command line reads it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netsvc.net.where import URLWhere
from netsvc.settings import TLS, Limits, Setting, setting, settings_of


@dataclass(frozen=True)
class TransportOptions:
    """What belongs to a transport and stands in no table of the configuration, only in a URL's query."""

    mode: str = setting(
        "600",
        reason="the octal permissions of a UNIX socket; the default lets in the daemon's own user alone, as "
        "loopback lets in this machine alone",
    )
    backlog: int = setting(
        65_535,
        unit="connections",
        minimum=1,
        maximum=2_147_483_647,
        reason="that may wait to be accepted; the system cuts it to its own limit (net.core.somaxconn), so "
        "the default is as deep as the system allows",
    )
    proxy: str = setting(
        "off",
        choices=("off", "optional", "required"),
        reason="whether a connection begins with a PROXY header; off, because anyone could send one",
    )
    origin: list[str] = setting(
        [],
        reason="origins whose pages may open a WebSocket, such as https://app.example.org; * is every one; "
        "empty is the listener's own alone, for a page elsewhere could come here by its visitor's browser",
    )


_OPTIONS = {one.name: one for one in (*settings_of(TransportOptions), *settings_of(TLS))}
_LIMITS = {one.name: one for one in settings_of(Limits)}
_TLS_KEYS = tuple(one.name for one in settings_of(TLS))

#: Which options each transport has.
_OPTIONS_OF: Mapping[str, tuple[str, ...]] = {
    "tcp": ("backlog", "proxy"),
    "tls": ("backlog", "proxy", *_TLS_KEYS),
    "udp": (),
    "ws": ("backlog", "proxy", "origin"),
    "wss": ("backlog", "proxy", "origin", *_TLS_KEYS),
    "unix": ("mode", "backlog", "proxy"),
    "unix-datagram": ("mode",),
    "systemd": ("proxy", *_TLS_KEYS),
}


@dataclass(frozen=True)
class Own:
    """
    What one listener has of its own, complete.

    @ivar settings: the service's, every one.
    @ivar limits: the listener's.
    @ivar mode: the permissions of a UNIX socket, 0 to 0o777.
    @ivar backlog: connections that may wait to be accepted.
    @ivar proxy: ``off``, ``optional`` or ``required``.
    @ivar tls: certificate and key, where the listener speaks TLS.
    @ivar origin: whose pages may open a WebSocket.
    """

    settings: Mapping[str, Any]
    limits: Limits
    mode: int = int(TransportOptions.mode, 8)
    backlog: int = TransportOptions.backlog
    proxy: str = TransportOptions.proxy
    tls: TLS | None = None
    origin: tuple[str, ...] = ()


def read_query(url: URLWhere, definitions: Sequence[Setting], base: Own, tls: TLS) -> Own:
    """
    Lay a URL's query over what its service has anyway.

    @param definitions: the service's settings.
    @param base: what holds where the query says nothing.
    @param tls: ``[tls]``, for what the query does not say of TLS.
    @raise ValueError: a key or value cannot be used; the text says what was expected.
    """
    services = {one.name: one for one in definitions}
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for key, text in url.query:
        if key in _OPTIONS_OF[url.scheme]:
            options[key] = _value(_OPTIONS[key], text)
        elif key in services:
            settings[key] = _value(services[key], text)
        elif key in _LIMITS:
            limits[key] = _value(_LIMITS[key], text)
        else:
            raise ValueError(_unknown(key, url.scheme, services))
    return Own(
        settings={**base.settings, **settings},
        limits=dataclasses.replace(base.limits, **limits),
        mode=_mode(options["mode"]) if "mode" in options else base.mode,
        backlog=options.get("backlog", base.backlog),
        proxy=options.get("proxy", base.proxy),
        tls=_tls(url, options, tls),
        origin=tuple(options.get("origin", base.origin)),
    )


def _value(definition: Setting, text: str) -> Any:
    try:
        return definition.parse(text)
    except ValueError as error:
        raise ValueError(f"{definition.name}={text!r}: {error}") from None


def _mode(text: str) -> int:
    # Set-id bits and sticky bits mean nothing on a socket, so that four digits begin with 0.
    if len(text) > 4 or not text.isascii() or not text.isdigit() or set(text) & set("89"):
        raise ValueError(f"mode={text!r}: expected octal permissions such as 660")
    mode = int(text, 8)
    if mode > 0o777:
        raise ValueError(f"mode={text!r}: expected octal permissions up to 777")
    return mode


def _tls(url: URLWhere, options: Mapping[str, Any], table: TLS) -> TLS | None:
    given = {key: options[key] for key in _TLS_KEYS if key in options}
    if url.scheme not in ("tls", "wss") and not given:
        return None
    # A key belongs to its certificate. client_ca on the other hand is inherited, lest a listener with a
    # certificate of its own silently let everybody in.
    if "certificate" in given:
        given.setdefault("key", "")
    tls = dataclasses.replace(table, **given)
    if not tls.certificate:
        raise ValueError(
            "TLS needs a certificate; expected ?certificate=FILE, or certificate in [tls] (--tls-certificate)"
        )
    return tls


def _unknown(key: str, scheme: str, services: Iterable[str]) -> str:
    shown = key.replace("_", "-")
    if key in _TLS_KEYS:
        return f"{shown} is for TLS; use {'wss' if scheme == 'ws' else 'tls'}:// instead of {scheme}://"
    if key == "proxy":
        return "datagrams have no PROXY header; proxy is for streams"
    if key in _OPTIONS:
        schemes = ", ".join(f"{one}://" for one, keys in _OPTIONS_OF.items() if key in keys)
        return f"{scheme}:// has no {shown}; it is for {schemes}"
    known = [*_OPTIONS_OF[scheme], *services, *_LIMITS]
    if close := difflib.get_close_matches(key, known, n=1):
        return f"there is no setting {shown}; did you mean {close[0]}?"
    return f"there is no setting {shown}; expected one of {', '.join(known)}"
