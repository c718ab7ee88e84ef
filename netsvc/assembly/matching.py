"""Which of the listeners that run are those that a new configuration asks for."""

from __future__ import annotations

from collections.abc import Iterable

from netsvc.assembly.planning import Wanted
from netsvc.assembly.running import Address, Running, address_of, wish_of


class Matching:
    """
    The listeners that run, each given to the first who asks for it.

    The one on an address is whoever's the address will be, also another service's: a socket that is open
    there goes on. Where any port would do, it is the one that the same wish had got.
    """

    def __init__(self, running: Iterable[Running]) -> None:
        """@param running: those that run."""
        self._left = {id(one): one for one in running}
        self._by_address: dict[Address, Running] = {}
        self._by_wish: dict[Address, list[Running]] = {}
        for one in self._left.values():
            self._by_address[one.address] = one
            if one.any_port:
                self._by_wish.setdefault(one.wish, []).append(one)

    def of(self, wanted: Wanted) -> list[Running | None]:
        """Those that one WHERE asks for, in the order of its bindings; None for what is not there yet."""
        return [
            self._take(self._by_wish.get(wish_of(wanted.service, binding), ()))
            if binding.port == 0
            else self._take([self._by_address.get(address_of(binding))])
            for binding in wanted.bindings
        ]

    def left(self) -> list[Running]:
        """Those that nobody has asked for."""
        return list(self._left.values())

    def _take(self, candidates: Iterable[Running | None]) -> Running | None:
        for one in candidates:
            if one is not None and self._left.pop(id(one), None) is not None:
                return one
        return None
