"""Which of the listeners that run are those that a new configuration asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netsvc.assembly.planning import Wanted
from netsvc.assembly.running import Address, Running, address_of, wish_of
from netsvc.configuration import ServiceConfiguration
from netsvc.net.binding import Binding


class Matching:
    """
    The listeners that run, each given to the first who asks for it.

    The one on an address is whoever's the address will be, also another service's: a socket that is open
    there goes on. Where any port would do, it is the one that the same wish had got. Endpoints may have one
    description and be several all the same, such as `tcp:0`; each goes to its own service first.
    """

    def __init__(self, running: Iterable[Running]) -> None:
        """@param running: those that run."""
        self._left = {id(one): one for one in running}
        self._by_address: dict[Address, list[Running]] = {}
        self._by_wish: dict[Address, list[Running]] = {}
        for one in self._left.values():
            self._by_address.setdefault(one.address, []).append(one)
            if one.any_port:
                self._by_wish.setdefault(one.wish, []).append(one)

    def each(self, wanted: Sequence[Wanted]) -> list[list[Running | None]]:
        """
        Find those that WHEREs ask for.

        @param wanted: all that is wanted.
        @return: for each of them those that it asks for, in the order of its bindings; None for what is not
            there yet.
        """
        # What a service asks for again is not given to another one that happens to ask first.
        own = [[self._own_endpoint(one.service, binding) for binding in one.bindings] for one in wanted]
        return [
            [
                found or self._there(one.service, binding)
                for binding, found in zip(one.bindings, its, strict=True)
            ]
            for one, its in zip(wanted, own, strict=True)
        ]

    def left(self) -> list[Running]:
        """Those that nobody has asked for."""
        return list(self._left.values())

    def _own_endpoint(self, service: ServiceConfiguration, binding: Binding) -> Running | None:
        if binding.transport != "endpoint":
            return None
        there = self._by_address.get(address_of(binding), ())
        return self._take(one for one in there if one.service.service.name == service.service.name)

    def _there(self, service: ServiceConfiguration, binding: Binding) -> Running | None:
        if binding.port == 0:
            return self._take(self._by_wish.get(wish_of(service, binding), ()))
        return self._take(self._by_address.get(address_of(binding), ()))

    def _take(self, candidates: Iterable[Running]) -> Running | None:
        for one in candidates:
            if self._left.pop(id(one), None) is not None:
                return one
        return None
