"""
What services are installed: netsvc's own and those of other distributions, found through `twisted.plugin`.

A plugin that cannot be used never keeps the rest from starting. It is left out, by name and with a reason,
and is an error only for a user who names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from types import ModuleType

from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from twisted.plugin import CachedDropin, getCache
from twisted.python.modules import getModule

from netsvc import __version__
from netsvc.interfaces import INetService
from netsvc.service import NetService

#: The plugin module that holds netsvc's own declarations.
OWN_MODULE = "netsvc_plugin"

#: Options of the command line that are no service's; a service of such a name could not be given one.
OWN_OPTIONS = frozenset(
    {
        "all",
        "inherited",
        "config",
        "help",
        "interface",
        "journal",
        "ready",
        "set",
        "tcp",
        "tls-certificate",
        "tls-client-ca",
        "tls-key",
        "udp",
        "version",
        "without",
    }
)


@dataclass(frozen=True)
class Registry:
    """
    The installed services.

    @ivar services: each service by its name: netsvc's own in their order, then the others by name.
    @ivar builtin: the names of netsvc's own.
    @ivar left_out: why a plugin was left out, one line each, by the name of the service or, where that is not
        known, of the plugin module.
    @ivar modules: for each service the plugin module that declares it, with its package.
    """

    services: Mapping[str, NetService] = field(default_factory=dict)
    builtin: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """
        Where a service comes from.

        @return: ``acme-shout 1.2``; where no distribution owns its plugin module, that module's name.
        @raise KeyError: there is no service of that name.
        """
        if name in self.builtin:
            return f"netsvc {__version__}"
        module = self.modules[name]
        return _distribution_of(module.replace(".", "/") + ".py") or module

    def why_left_out(self, name: str) -> str | None:
        """
        Why there is no service of some name, if a plugin was left out that would have had it.

        Of a module that could not be imported only its own name is known. By custom that has the name of
        the service in it, as ``netsvc_shout`` has ``shout``.

        @return: one line, or None.
        """
        if name in self.left_out:
            return f"left out: {self.left_out[name]}"
        wanted = f"_{name.replace('-', '_')}_"
        for plugin, reason in self.left_out.items():
            if wanted in f"_{plugin}_":
                return f"its plugin {plugin} is left out: {reason}"
        return None


def discover(package: ModuleType | None = None) -> Registry:
    """
    Find what is installed. Nothing that a declaration names is imported.

    @param package: where to look for plugin modules; `twisted.plugins` unless a test says otherwise.
    """
    if package is None:
        package = import_module("twisted.plugins")
    found = _Found()
    cache = getCache(package)
    # The built-in services come first and so win every clash; among the others the module's name decides.
    for module in sorted(cache, key=lambda name: (name != OWN_MODULE, name)):
        found.take_module(module, cache[module])
    for module in sorted(_module_names(package) - set(cache)):
        found.leave_out(module, _import_failure(f"{package.__name__}.{module}"))
    return found.registry()


class _Found:
    """What has been found so far."""

    def __init__(self) -> None:
        self._own: dict[str, NetService] = {}
        self._others: dict[str, NetService] = {}
        self._modules: dict[str, str] = {}
        self._left_out: dict[str, str] = {}

    def take_module(self, module: str, dropin: CachedDropin) -> None:
        try:
            for declared in _declarations(dropin):
                self._take(module, dropin.moduleName, declared)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the module may be anybody's
            # The cache knew what the module declares, but to import it fails now.
            self.leave_out(module, one_line(error))

    def leave_out(self, name: str, reason: str) -> None:
        before = self._left_out.get(name)
        self._left_out[name] = f"{before}; {reason}" if before else reason

    def registry(self) -> Registry:
        services = {**self._own, **dict(sorted(self._others.items()))}
        return Registry(services, tuple(self._own), self._left_out, self._modules)

    def _take(self, module: str, module_name: str, declared: object) -> None:
        try:
            service = _checked(declared)
        except Exception as error:  # noqa: BLE001 - a declaration may be anybody's and may raise anything
            self.leave_out(module, one_line(error))
            return
        name = service.name
        holder = self._modules.get(name)
        if name in OWN_OPTIONS:
            self.leave_out(name, f"{module} names a service as the option --{name} is named")
        elif holder is not None:
            self.leave_out(
                name, f"{module} declares it, but {holder.rpartition('.')[2]} has that name already"
            )
        else:
            (self._own if module == OWN_MODULE else self._others)[name] = service
            self._modules[name] = module_name


def one_line(error: BaseException) -> str:
    """An exception for a person: its text, behind its type where that says more than "wrong value"."""
    text = " ".join(str(error).split())
    if text and type(error) in (ValueError, Invalid):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _declarations(dropin: CachedDropin) -> Iterator[object]:
    """The declarations in a module, each once, under however many names it is there."""
    seen: list[object] = []
    for plugin in dropin.plugins:
        # Imports the module only where the cache says that the plugin is one of ours.
        declared = INetService(plugin, None)
        if declared is not None and not any(declared is other for other in seen):
            seen.append(declared)
            yield declared


def _checked(declared: object) -> NetService:
    """
    A declaration of any class as one of ours, which has been checked by being made.

    @raise Exception: of any kind, when it is no good.
    """
    verifyObject(INetService, declared)
    if isinstance(declared, NetService):
        return declared
    attributes = {name: getattr(declared, name) for name in INetService.names()}
    return NetService(**attributes)


def _module_names(package: ModuleType) -> set[str]:
    """The plugin modules that are there, whether or not they can be imported."""
    return {found.name.rpartition(".")[2] for found in getModule(package.__name__).iterModules()}


def _import_failure(module: str) -> str:
    """
    Why a module could not be imported. Twisted has tried, but keeps the reason to itself; so we try again.
    """
    try:
        import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module may be anybody's
        return one_line(error)
    return "it could not be imported at first"


def _distribution_of(path: str) -> str | None:
    """The name and version of the distribution that installed a file."""
    for distribution in metadata.distributions():
        if any(str(file) == path for file in distribution.files or ()):
            return f"{distribution.name} {distribution.version}"
    return None
