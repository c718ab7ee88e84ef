"""
Every setting of netsvc, once: its name, type, default, unit and reason.

A table of the configuration is a frozen dataclass whose fields are made by `setting`; a service declares
its own with `Setting`. Whatever shows or reads settings (the configuration file, the command line, a URL's
query, the annotated ``etc/netsvc.toml``) works from these definitions and from nothing else.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class SettingError(Exception):
    """Something that the user wrote cannot be used; the text is one whole line for that user."""


@dataclass(frozen=True)
class Networks:
    """
    A list of networks in CIDR form, as a setting.

    @ivar networks: the networks, in the order in which they were given.
    """

    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def of(cls, *texts: str) -> Networks:
        """
        Read networks or single addresses.

        @param texts: such as ``192.0.2.0/24`` or ``2001:db8::1``.
        @raise ValueError: one of them is neither.
        """
        return cls(tuple(ipaddress.ip_network(text, strict=False) for text in texts))

    def __contains__(self, address: IPAddress) -> bool:
        # A plain loop costs half of what `any` does, and every connection asks several times.
        for network in self.networks:  # noqa: SIM110
            if address in network:
                return True
        return False

    def __bool__(self) -> bool:
        return bool(self.networks)

    def texts(self) -> list[str]:
        """The networks as strings, as the configuration file holds them."""
        return [str(network) for network in self.networks]


#: How each type of setting is called towards a user, and which values of the configuration file it takes.
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list of texts",
    Networks: "a list of networks such as 192.0.2.0/24",
}


@dataclass(frozen=True)
class Setting:
    """
    The definition of one setting.

    @ivar name: the key in the configuration file; a Python identifier.
    @ivar type: bool, int, float, str, list (of str) or `Networks`.
    @ivar default: a value of that type.
    @ivar unit: of a number: ``bytes``, ``seconds``, ``connections`` …
    @ivar reason: what it is for and why the default is what it is, one sentence.
    @ivar choices: the texts allowed, for a setting of type str; empty allows every text.
    @ivar minimum: the smallest number allowed.
    @ivar maximum: the largest number allowed.
    @ivar least: the smallest number allowed beside 0, where 0 has a meaning of its own; None: any.
    """

    name: str
    type: type
    default: Any
    unit: str = ""
    reason: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"{self.name!r} cannot name a setting: expected an identifier")
        if self.type not in _KINDS:
            raise ValueError(f"setting {self.name}: {self.type!r} is no type of setting")
        if not isinstance(self.default, Networks):
            self.read(self.default)

    @property
    def expected(self) -> str:
        """What a value must be, for an error message: ``a whole number of seconds from 0``."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        text = _KINDS[self.type]
        if self.unit and self.type in (int, float):
            text += f" of {self.unit}"
        if self.minimum is not None and self.maximum is not None:
            text += f" from {self.minimum:.12g} to {self.maximum:.12g}"
        elif self.minimum is not None:
            text += f" from {self.minimum:.12g}" if self.least is None else f" from {self.least:.12g}, or 0"
        elif self.maximum is not None:
            text += f" up to {self.maximum:.12g}"
        return text

    def read(self, value: object) -> Any:
        """
        Take a value as the configuration file has it (TOML types).

        @return: the value in this setting's type.
        @raise ValueError: it does not fit; the text says what was expected.
        """
        if self.type is float and type(value) is int:
            value = self._as_float(value)
        if self.type in (list, Networks):
            return self._read_list(value)
        if type(value) is not self.type:
            raise ValueError(f"expected {self.expected}")
        if self.choices and value not in self.choices:
            raise ValueError(f"expected {self.expected}")
        if isinstance(value, int | float) and not self._in_range(value):
            raise ValueError(f"expected {self.expected}")
        return value

    def parse(self, text: str) -> Any:
        """
        Take a value as the command line or a URL's query has it; lists are separated by commas.

        @return: the value in this setting's type.
        @raise ValueError: it does not fit; the text says what was expected.
        """
        if self.type is str:
            return self.read(text)
        if self.type in (list, Networks):
            return self.read([part.strip() for part in text.split(",") if part.strip()])
        if self.type is bool:
            if text not in ("true", "false"):
                raise ValueError(f"expected {self.expected}")
            return text == "true"
        try:
            return self.read(self.type(text))
        except ValueError:
            raise ValueError(f"expected {self.expected}") from None

    def _as_float(self, value: int) -> float:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"expected {self.expected}") from None

    def _read_list(self, value: object) -> Any:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"expected {self.expected}")
        if self.type is list:
            return list(value)
        try:
            return Networks.of(*value)
        except ValueError as error:
            raise ValueError(f"expected {self.expected} ({error})") from None

    def _in_range(self, value: float) -> bool:
        above = (self.minimum is None or value >= self.minimum) and not 0 < value < (self.least or 0)
        below = self.maximum is None or value <= self.maximum
        # A whole number is finite, also where it is too large to be a float.
        return above and below and (isinstance(value, int) or math.isfinite(value))


def setting(
    default: Any,
    *,
    unit: str = "",
    reason: str,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    least: float | None = None,
) -> Any:
    """
    Make a dataclass field that is also the definition of a setting; the arguments are `Setting`'s.

    Its type is the type of the default.
    """
    definition = {
        "unit": unit,
        "reason": reason,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "least": least,
    }
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=definition)
    return field(default=default, metadata=definition)


def settings_of(table: type) -> tuple[Setting, ...]:
    """The definitions of a table's settings, in the order in which the table has them."""
    found = []
    for item in dataclasses.fields(table):
        default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
        found.append(Setting(item.name, type(default), default, **item.metadata))
    return tuple(found)


def defaults(settings: Iterable[Setting]) -> dict[str, Any]:
    """The default of each setting, by name."""
    return {one.name: one.default for one in settings}


@dataclass(frozen=True)
class Net:
    """``[net]``: where netsvc listens unless a WHERE says otherwise, and how it stops."""

    interface: list[str] = setting(
        [],
        reason="addresses that a bare port listens on; empty means loopback, so that netsvc is on no "
        "network until somebody says so",
    )
    shutdown_grace: float = setting(
        10.0,
        unit="seconds",
        minimum=0,
        maximum=3600,
        reason="how long a stop waits for buffered answers to leave; service supervisors wait longer",
    )
    ready: str = setting(
        "",
        reason="a file that is written, as JSON, once every listener is open; empty writes none",
    )


@dataclass(frozen=True)
class TLS:
    """``[tls]``: what a ``tls://`` without a query of its own uses."""

    certificate: str = setting("", reason="PEM file with the server's certificate and its chain")
    key: str = setting(
        "", reason="PEM file with the certificate's private key; empty: it is in the certificate's file"
    )
    client_ca: str = setting(
        "", reason="PEM file of authorities; given, clients must show a certificate of theirs"
    )
    ciphers: str = setting(
        "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20",
        reason="OpenSSL's names of the TLS 1.2 suites; the default has forward secrecy and no CBC suite",
    )


@dataclass(frozen=True)
class Limits:
    """``[limits]``: what peers may cost. Each service's table and each URL's query may have its own."""

    max_connections: int = setting(
        10_000,
        unit="connections",
        minimum=1,
        maximum=1_000_000,
        reason="open at once on one listener; more descriptors than that few machines allow unasked",
    )
    per_address: int = setting(
        256,
        unit="connections",
        minimum=1,
        reason="open at once from one address (a /32 or /64) on one listener, so that one host cannot "
        "take them all",
    )
    new_per_second: float = setting(
        50.0,
        unit="connections per second",
        minimum=0.01,
        reason="begun by one address (a /32 or /64) on one listener, with one second's worth at once",
    )
    idle_timeout: float = setting(
        900.0,
        unit="seconds",
        minimum=0,
        reason="without a byte either way before a connection is closed; 0 never closes it and uses "
        "TCP keep-alive instead",
    )
    handshake_timeout: float = setting(
        10.0,
        unit="seconds",
        minimum=0.05,
        reason="for the PROXY header and the TLS handshake together, then for the head of an HTTP request or "
        "the opening of a WebSocket; real ones take well under a second",
    )
    first_line_timeout: float = setting(
        60.0,
        unit="seconds",
        minimum=0.05,
        reason="for a client to send the first line that it owes; long enough for a person to type a name",
    )
    write_timeout: float = setting(
        30.0,
        unit="seconds",
        minimum=0.05,
        reason="without one byte of progress towards a client that does not read before it is aborted",
    )
    close_timeout: float = setting(
        2.0,
        unit="seconds",
        minimum=0,
        reason="for a client to close after netsvc has, so that what it still sends cannot reset the "
        "connection and destroy the answer",
    )
    write_budget: int = setting(
        4 * 1024 * 1024,
        unit="bytes",
        minimum=1,
        reason="that a service may write to a client while that client is not reading, before it is aborted",
    )
    trusted: Networks = setting(
        Networks.of("127.0.0.0/8", "::1/128"),
        reason="networks exempt from the per-address limits and the reply rate; loopback is this machine",
    )
    allow: Networks = setting(
        Networks(), reason="networks that may use netsvc; empty allows every network that is not denied"
    )
    deny: Networks = setting(Networks(), reason="networks that may not, also when they are allowed")
    proxies: Networks = setting(
        Networks.of("127.0.0.0/8", "::1/128"),
        reason="networks whose PROXY header is believed; anyone else could claim any address",
    )
    replies_per_second: float = setting(
        50.0,
        unit="datagrams per second",
        minimum=0.01,
        reason="sent to one /24 or /64, so that forged sources cannot make netsvc flood a network",
    )
    reply_factor: float = setting(
        3.0,
        unit="times",
        minimum=1,
        maximum=100,
        reason="what came from an address and port in the last minute, is the most that goes to it "
        "(RFC 9000 section 8); more would amplify an attack",
    )
    loop_limit: int = setting(
        10_000,
        unit="datagrams per minute",
        minimum=1,
        reason="from one address and port that repeat an earlier datagram or answer before netsvc falls "
        "silent towards it for a second: what two echo ports wired to each other do, and few clients",
    )
    tracked_peers: int = setting(
        16_384,
        unit="peers",
        minimum=16,
        maximum=10_000_000,
        reason="whose rates and budgets are remembered per listener; the longest unheard leave first",
    )
    refusal_log_rate: float = setting(
        5.0,
        unit="lines per second",
        minimum=0,
        reason="that one listener's refusals for one reason may add to the log; they come in floods, and "
        "one line then counts the rest",
    )
    log_rate: float = setting(
        50.0,
        unit="lines per second",
        minimum=0,
        reason="that one listener's traffic may add to the log; one line then counts the rest",
    )


@dataclass(frozen=True)
class Timeline:
    """``[timeline]``: what is remembered of what happened."""

    timeline_memory: int = setting(
        64 * 1024 * 1024,
        unit="bytes",
        minimum=65_536,
        reason="of memory for the newest facts; the oldest leave first",
    )
    capture: int = setting(
        4096,
        unit="bytes",
        minimum=0,
        maximum=1_048_576,
        reason="of each message kept in its fact, and shown in the log; the true length is always kept",
    )


@dataclass(frozen=True)
class Journal:
    """``[journal]``: facts on disk."""

    file: str = setting(
        "", reason="a database that every fact is written to; empty keeps them in memory alone"
    )
    commit_delay: float = setting(
        0.25,
        unit="seconds",
        minimum=0,
        maximum=60,
        reason="that a fact waits at most for others to be written with, because every commit wears the "
        "disk; what is to be acknowledged as recorded is written at once, with all that came meanwhile",
    )
    commit_count: int = setting(
        5000,
        unit="facts",
        minimum=1,
        maximum=1_000_000,
        reason="after which a commit waits for no more; with so many, writing them takes longer than waiting "
        "for the disk",
    )
    queue: int = setting(
        64 * 1024 * 1024,
        unit="bytes",
        minimum=65_536,
        reason="of memory for facts that wait to be written; what does not fit is lost to the journal and "
        "counted, and never acknowledged as recorded",
    )
    age: float = setting(
        30.0,
        unit="days",
        minimum=0,
        maximum=36_500,
        reason="after which a fact leaves; 0 keeps it; a month shows how it was before the fault came",
    )
    count: int = setting(
        0, unit="facts", minimum=0, reason="that there may be, beyond which the oldest leave; 0 is no limit"
    )
    size: int = setting(
        1024 * 1024 * 1024,
        unit="bytes",
        minimum=0,
        least=2_000_000,
        reason="that they may take on disk, beyond which the oldest leave; 0 is no limit; a gateway's flash "
        "memory has so much, and it holds millions of messages",
    )


@dataclass(frozen=True)
class Log:
    """
    ``[log]``: the form of the log, where twistd writes it. How much of it there is, ``limits.log_rate`` and
    ``limits.refusal_log_rate`` say.
    """

    format: str = setting(
        "auto",
        choices=("auto", "text", "journal", "json"),
        reason="text is for people; journal has the severity, which journald reads, and no time, which it "
        "has itself; json is an object for each event, for programs; auto is journal where journald "
        "listens (JOURNAL_STREAM), else text",
    )
    file_size: int = setting(
        10_000_000,
        unit="bytes",
        minimum=10_000,
        reason="of the log file (twistd's --logfile, or twistd.log in the background), after which it is "
        "renamed to .1 and a new one begun",
    )
    files: int = setting(
        9,
        unit="files",
        minimum=1,
        maximum=10_000,
        reason="of the log kept beside the present one; the oldest is removed, so that a log fills no disk",
    )


#: The tables that belong to netsvc itself; no service can have one of these names.
TABLES: Mapping[str, type] = {
    "net": Net,
    "tls": TLS,
    "limits": Limits,
    "timeline": Timeline,
    "journal": Journal,
    "log": Log,
}

#: What a URL's query says of the transport; no setting of a service can have one of these names.
TRANSPORT_OPTIONS = frozenset({"mode", "backlog", "proxy", "origin"}) | {one.name for one in settings_of(TLS)}

#: Names that no service may take: the tables above, and the one that holds services of the file's own.
RESERVED = frozenset(TABLES) | {"service"}
