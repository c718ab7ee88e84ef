"""
The command line of the twistd plugin: ``twistd -n netsvc …`` and ``twist netsvc …``.

There is one option for each installed service, so what options there are is known only once the plugins
have been looked for: when an instance is made, never when this module is imported.

Twisted answers a wrong command line with all of its help on standard output. Here it is one line on standard
error and exit status 1, as for everything else that is wrong at start.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

from twisted import copyright as twisted_version
from twisted.logger import Logger
from twisted.python import usage

from netsvc import __version__
from netsvc.configuration import DEFAULT_SERVICES, CommandLine, Configuration, configuration_of
from netsvc.given import did_you_mean, read_document, shown
from netsvc.net.machine import inherited_names
from netsvc.registry import Registry, discover
from netsvc.service import NetService

_log = Logger()

_LONG_DESCRIPTION = (
    "WHERE is a port (8009), a URL (tcp://127.0.0.1:8009, udp://:6667, unix:///run/echo.sock, "
    "tls://:2007), an endpoint description of Twisted's (tcp:8009), or HOST:PORT; port 0 lets the system "
    "choose. Without an --interface or a host netsvc listens on loopback alone. With no service named, "
    "the default set starts. Options with a star may be given several times."
)


class Options(usage.Options):
    """
    The options of the twistd plugin.

    @ivar registry: the installed services.
    """

    synopsis = "[options]"

    optFlags = [
        ["all", None, "start every built-in service, at its default port unless told where"],
        ["inherited", None, "start a service on every socket that systemd passed, by the sockets' names"],
    ]

    optParameters = [
        ["config", None, None, "a TOML file with everything that can be set; the command line wins"],
        ["ready", None, None, "a file that is written, as JSON, once every listener is open"],
        ["journal", None, None, "a file that keeps every fact, and whatever is acknowledged as recorded"],
        ["tls-certificate", None, None, "PEM file with the server's certificate and its chain"],
        ["tls-key", None, None, "PEM file with the certificate's private key"],
        ["tls-client-ca", None, None, "PEM file of authorities; clients must show a certificate of theirs"],
    ]

    def __init__(self, registry: Registry | None = None) -> None:
        """@param registry: the installed services, if they are not to be looked for."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.registry = discover() if registry is None else registry
        left_out = [f" Left out: {name}: {why}." for name, why in self.registry.left_out.items()]
        self.longdesc = "".join((_LONG_DESCRIPTION, *left_out))
        self._wheres: dict[str, list[str]] = {name: [] for name in self.registry.services}
        self._inherited: tuple[str, ...] | None = None
        self._file = ""
        self._lists: dict[str, list[str]] = {"tcp": [], "udp": [], "interface": [], "set": [], "without": []}
        for service in self.registry.services.values():
            self._add(service.name, _help(service), self._wheres[service.name].append)
        for name, text in (
            ("tcp", "timestamp on streams alone"),
            ("udp", "receiver on datagrams alone"),
            ("interface", "an address to listen on, instead of loopback; :: is every address"),
            ("set", "table.key=value: one setting, as limits.idle_timeout=60 or timestamp.style=plain"),
            ("without", "the name of a service that does not start"),
        ):
            self._add(name, f"* {text}", self._lists[name].append)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Read a command line.

        @param options: the arguments; None means those of the process.
        @raise SystemExit: with one line, when they cannot be used; without, after ``--help`` and
            ``--version``.
        """
        arguments = list(sys.argv[1:] if options is None else options)
        try:
            self._refuse_unknown(arguments)
            super().parseOptions(arguments)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise SystemExit(f"netsvc: {shown(str(error))}") from None
        _choose_reactor()

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            raise usage.UsageError(
                f"unexpected argument {arguments[0]!r}; expected options only, such as --tcp 8009"
            )

    def opt_version(self) -> NoReturn:
        """Show the versions of netsvc, Twisted and Python, and exit."""
        sys.stdout.write(
            f"netsvc {__version__}, Twisted {twisted_version.version}, Python {platform.python_version()}\n"
        )
        raise SystemExit(0)

    def command_line(self) -> CommandLine:
        """What has been parsed."""
        lists = {name: tuple(values) for name, values in self._lists.items()}
        return CommandLine(
            listen={name: tuple(wheres) for name, wheres in self._wheres.items() if wheres},
            all=bool(self["all"]),
            inherited=self._inherited_names() if self["inherited"] else None,
            ready=self["ready"],
            tls_certificate=self["tls-certificate"],
            tls_key=self["tls-key"],
            tls_client_ca=self["tls-client-ca"],
            journal=self["journal"],
            **lists,
        )

    def configuration(self) -> Configuration:
        """
        What has been parsed, with the configuration file that it names, as it is now.

        @raise netsvc.settings.SettingError: the file cannot be read, or something cannot be used.
        """
        file = self["config"]
        if file is None:
            return _told(configuration_of(self.command_line(), self.registry))
        if not self._file:
            # Now, because a daemon changes its directory.
            self._file = os.path.abspath(file)
        document = read_document(self._file, file)
        return _told(configuration_of(self.command_line(), self.registry, document, file))

    def _inherited_names(self) -> tuple[str, ...]:
        """Found out once: after a fork the sockets are no longer known to be for this process."""
        if self._inherited is None:
            self._inherited = tuple(inherited_names())
        return self._inherited

    def _add(self, name: str, text: str, take: Callable[[str], None]) -> None:
        """Add an option with a value that may be given several times, which `usage.Options` has none of."""
        self.longOpt.append(f"{name}=")
        self.docs[name] = text
        self.synonyms[name] = name
        self._dispatch[name] = lambda _, value: take(value)

    def _refuse_unknown(self, arguments: list[str]) -> None:
        """
        Refuse what is no option, before getopt takes it for the beginning of another.

        If it did, ``--shout`` would start shoutcast wherever shout is not installed, or is left out.
        """
        known = {f"--{option.removesuffix('=')}": option.endswith("=") for option in self.longOpt}
        for option in _long_options(arguments, known):
            if option not in known:
                why = self.registry.why_left_out(option.removeprefix("--"))
                unknown = "no such option" + (did_you_mean(option, known) or "; --help lists them")
                raise usage.UsageError(f"{shown(option)}: {why or unknown}")


def _told(configuration: Configuration) -> Configuration:
    """Tell the log what is given and does not hold, as far as it shows here."""
    for key in configuration.unused:
        _log.warn(
            "{key} is opened only where it says systemd://, because --inherited gives its service sockets",
            key=key,
        )
    return configuration


def _choose_reactor() -> None:
    """
    Take our reactor where nobody has chosen one and the system can have it.

    twistd imports none before the options of its plugins have been read; ``twistd --reactor``, a program that
    embeds netsvc or a plugin that imports one has chosen.
    """
    if sys.platform == "linux" and "twisted.internet.reactor" not in sys.modules:
        from netsvc.net.fast.reactor import install

        install()


def _long_options(arguments: list[str], known: Mapping[str, bool]) -> Iterator[str]:
    """
    The long options among the arguments, in the way that getopt walks them.

    @param known: each option, and whether an argument follows it.
    """
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--") or argument == "--":
            return
        option, equals, _ = argument.partition("=")
        yield option
        if known.get(option) and not equals:
            next(rest, None)


def _help(service: NetService) -> str:
    where = "no default port" if service.port is None else f"default port {service.port}"
    star = "default set; " if service.name in DEFAULT_SERVICES else ""
    return f"* {service.summary} ({star}{where})"
