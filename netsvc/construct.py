"""
From a declaration's dotted names to the objects that serve: imported here, when a service really starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import AbstractDatagramProtocol, Factory
from twisted.python.reflect import namedAny

from netsvc.settings import SettingError


def named(service: str, name: str) -> Callable[..., Any]:
    """
    Import what a declaration names.

    @param service: the service's name, for the error.
    @param name: a dotted name.
    @raise SettingError: it cannot be imported, or cannot be called.
    """
    try:
        # First, because namedAny says of a module that is not there only that the name means nothing.
        import_module(name.partition(".")[0])
        found = namedAny(name)
    except Exception as error:
        # A module may raise anything while it is imported; which one did, and why, is what its user needs.
        raise SettingError(f"service {service}: cannot import {name}: {one_line(error)}") from error
    if not callable(found):
        raise SettingError(f"service {service}: {name} is no factory; expected something that can be called")
    return found  # type: ignore[no-any-return]


def stream_factory(service: str, name: str, arguments: Mapping[str, Any]) -> IProtocolFactory:
    """
    Make the factory of a listener.

    @param service: the service's name, for errors.
    @param name: dotted name of a callable that returns a factory, or of a Protocol class.
    @param arguments: its keyword arguments.
    @raise SettingError: it cannot be made with these arguments, or is no factory.
    """
    make = named(service, name)
    if inspect.isclass(make) and IProtocol.implementedBy(make) and not IProtocolFactory.implementedBy(make):
        _check(service, name, make, arguments)
        factory = Factory()
        factory.noisy = False
        factory.protocol = partial(make, **arguments)  # type: ignore[assignment]
        return factory
    made = _call(service, name, make, arguments)
    if not IProtocolFactory.providedBy(made):
        raise SettingError(f"service {service}: {name} returned {made!r}; expected an IProtocolFactory")
    return made


def datagram_protocol(service: str, name: str, arguments: Mapping[str, Any]) -> AbstractDatagramProtocol:
    """
    Make the protocol of a datagram listener; the arguments and errors are `stream_factory`'s.
    """
    made = _call(service, name, named(service, name), arguments)
    if not isinstance(made, AbstractDatagramProtocol):
        raise SettingError(f"service {service}: {name} returned {made!r}; expected a DatagramProtocol")
    return made


def _call(service: str, name: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return make(**arguments)
    except ValueError as error:
        # A setting that it refuses: what it says of that is for the user as it stands.
        raise SettingError(f"service {service}: {one_line(error)}") from error
    except Exception as error:
        # As above: it may be anybody's, and what it objects to is what its user needs.
        raise SettingError(f"service {service}: {name}: {one_line(error)}") from error


def _check(service: str, name: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that a Protocol class does not take now, instead of with each connection."""
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise SettingError(f"service {service}: {name}: {one_line(error)}") from error
    except ValueError:
        # A class that is not written in Python may not tell what it takes.
        return


def one_line(error: BaseException) -> str:
    """What an exception says, without its line breaks; its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
