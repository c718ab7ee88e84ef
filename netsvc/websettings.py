"""
The settings of the web service, which are its table ``[web]`` beside where it listens and its own limits.

They are here and not in its declaration because ``ws://`` listeners of other services obey them too. Whose
``X-Forwarded-For`` is believed, and how long a request's head may take, are limits (``proxies``,
``handshake_timeout``), which the table can have of its own like every service's.
"""

from __future__ import annotations

from dataclasses import dataclass

from netsvc.settings import setting, settings_of


@dataclass(frozen=True)
class Web:
    """``[web]``: the page, the API, and every WebSocket."""

    token_file: str = setting(
        "",
        reason="a file with the token that whoever comes from beyond loopback must show; empty: one is made "
        "at start and logged as a URL to open",
    )
    hosts: list[str] = setting(
        [],
        reason="names by which the page may be reached beside localhost and the listener's addresses; any "
        "other is refused, because a page elsewhere could make a name of its own lead here",
    )
    origins: list[str] = setting(
        [],
        reason="origins such as https://app.example.org whose pages may use /ws/<service>, beside the "
        "daemon's own; * is every one; they never open the API",
    )
    keep_alive: float = setting(
        60.0,
        unit="seconds",
        minimum=1,
        maximum=3600,
        reason="for the next request of a connection; browsers keep connections that they may not need again",
    )
    max_body: int = setting(
        65_536,
        unit="bytes",
        minimum=0,
        maximum=16_777_216,
        reason="of a request's body, which is kept in memory; nothing that the API takes is near that",
    )
    max_message: int = setting(
        1_048_576,
        unit="bytes",
        minimum=125,
        maximum=1_073_741_824,
        reason="of one WebSocket message, whose fragments are collected until its end",
    )
    max_frame: int = setting(
        1_048_576,
        unit="bytes",
        minimum=125,
        maximum=1_073_741_824,
        reason="of one WebSocket frame (RFC 6455 section 5.2), which is collected whole",
    )
    max_inflated: int = setting(
        1_048_576,
        unit="bytes",
        minimum=125,
        maximum=1_073_741_824,
        reason="that a compressed WebSocket message (RFC 7692) may become, so that a few bytes cannot fill "
        "the memory",
    )
    ping_interval: float = setting(
        20.0,
        unit="seconds",
        minimum=0.05,
        maximum=86_400,
        reason="between two WebSocket pings, by which a client that vanished is found and boxes on the way "
        "see that the connection lives",
    )
    ping_timeout: float = setting(
        20.0,
        unit="seconds",
        minimum=0.05,
        maximum=86_400,
        reason="for the answer to a ping before the client is held for vanished",
    )
    max_watchers: int = setting(
        256,
        unit="watchers",
        minimum=1,
        maximum=1_000_000,
        reason="of the timeline at once, live and waiting together; every fact is looked at for each of them",
    )


#: The same as the service's declaration has them.
WEB = settings_of(Web)
